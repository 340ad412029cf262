"""The dead man's switch beats while all is well, and only then."""

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.support.virtual_time import VirtualLoop, wall
from watcher.core.errors import StoreError
from watcher.core.settings import HeartbeatSettings
from watcher.daemon.heartbeat import Heartbeat
from watcher.telemetry.health import Health
from watcher.telemetry.liveness import LivenessMonitor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class World:
    """What a heartbeat looks at."""

    def __init__(self) -> None:
        self.beats: list[float] = []
        self.status = 200
        self.store_error: StoreError | None = None
        self.oldest = 0.0
        self.answered_at: float | None = wall()
        self.pulse = LivenessMonitor(anyio.current_time)
        self.keep_beating = True

    async def ping(self) -> None:
        if self.store_error:
            raise self.store_error

    async def oldest_pending(self) -> float:
        return self.oldest

    def receive(self, request: httpx.Request) -> httpx.Response:
        self.beats.append(anyio.current_time())
        return httpx.Response(self.status, headers={"location": "https://elsewhere.example/"})

    async def live(self) -> None:
        """Keep every loop and the source going."""
        while True:
            if self.keep_beating:
                self.pulse.beat()
            await anyio.sleep(10)

    async def run(self, seconds: float) -> list[float]:
        """Run for a while, and return when it beat."""
        heartbeat = Heartbeat(
            settings=HeartbeatSettings.model_validate({"url": "https://beat.example/hidden"}),
            transport=httpx.MockTransport(self.receive),
            health=Health(self.ping, lambda: {"poller": self.pulse}),
            answered_at=lambda: {"mixpeek": self.answered_at},
            oldest_pending=self.oldest_pending,
            wall=wall,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.live)
            tasks.start_soon(heartbeat.run)
            await anyio.sleep(seconds)
            tasks.cancel_scope.cancel()
        return self.beats


async def test_it_beats_every_minute_while_all_is_well() -> None:
    assert await World().run(290) == [0, 60, 120, 180, 240]


async def test_it_stops_when_a_loop_stands_still() -> None:
    world = World()
    world.keep_beating = False
    assert await world.run(600) == [0, 60]


async def test_it_stops_when_the_store_cannot_be_written() -> None:
    world = World()
    world.store_error = StoreError("the disk is full")
    assert await world.run(600) == []


async def test_it_stops_when_a_source_has_not_answered_for_five_minutes() -> None:
    assert await World().run(900) == [0, 60, 120, 180, 240, 300]


async def test_a_source_that_never_answered_counts_from_the_start() -> None:
    world = World()
    world.answered_at = None
    assert await world.run(900) == [0, 60, 120, 180, 240, 300]


async def test_it_stops_when_a_delivery_is_older_than_a_quarter_of_an_hour() -> None:
    world = World()
    world.oldest = 901.0
    assert await world.run(300) == []


async def test_a_redirect_is_not_followed_and_trouble_is_said_once_without_the_url(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    world = World()
    world.status = 302
    await world.run(290)
    assert len(world.beats) == 5
    assert [record.message for record in caplog.records] == [
        "heartbeat suppressed: the receiver answered HTTP 302"
    ]
