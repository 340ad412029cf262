"""The dead man's switch beats while all is well, and only then."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.support.virtual_time import VirtualLoop
from watcher.core.errors import StoreError
from watcher.core.settings import HeartbeatSettings
from watcher.daemon.heartbeat import Heartbeat, Wait, late
from watcher.telemetry.health import Health
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import Metrics

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
        self.problem_elsewhere: str | None = None
        self.oldest = Wait(0.0, 300.0)
        self.silent_since: float | None = None
        self.silent_limit = 130.0
        self.pulse = LivenessMonitor(anyio.current_time)
        self.keep_beating = True
        self.metrics = Metrics(CollectorRegistry(), "test")

    async def ping(self) -> None:
        if self.store_error:
            raise self.store_error

    async def elsewhere(self) -> str | None:
        return self.problem_elsewhere

    async def pending(self) -> Mapping[str, Wait]:
        return {"backend": self.oldest}

    def silent(self) -> Mapping[str, Wait]:
        since = self.silent_since
        seconds = 0.0 if since is None else anyio.current_time() - since
        return {"mixpeek": Wait(seconds, self.silent_limit)}

    def receive(self, request: httpx.Request) -> httpx.Response:
        self.beats.append(anyio.current_time())
        return httpx.Response(self.status, headers={"location": "https://elsewhere.example/"})

    async def live(self) -> None:
        """Keep every loop and the source going."""
        while True:
            if self.keep_beating:
                self.pulse.beat()
            await anyio.sleep(10)

    def counted(self, outcome: str) -> float | None:
        """Return how many heartbeats ended so."""
        return self.metrics.registry.get_sample_value(
            "watcher_heartbeats_total", {"outcome": outcome}
        )

    async def run(self, seconds: float) -> list[float]:
        """Run for a while, and return when it beat."""
        health = Health(self.ping, lambda: {"poller": self.pulse})
        heartbeat = Heartbeat(
            settings=HeartbeatSettings.model_validate({"url": "https://beat.example/hidden"}),
            transport=httpx.MockTransport(self.receive),
            health=health,
            late=lambda: late(health.stalled_loops(), self.silent()),
            elsewhere=self.elsewhere,
            pending=self.pending,
            metrics=self.metrics,
            wall=anyio.current_time,
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


async def test_it_stops_while_something_is_wrong_at_another_replica() -> None:
    world = World()
    world.problem_elsewhere = "replica b: stalled loops: poller mixpeek"
    assert await world.run(600) == []
    world.problem_elsewhere = None
    assert len(await world.run(290)) == 5


@pytest.mark.parametrize(("limit", "last"), [(130.0, 300), (500.0, 480)])
async def test_it_stops_when_a_source_is_silent_for_longer_than_its_settings_allow(
    limit: float, last: int
) -> None:
    world = World()
    world.silent_since = anyio.current_time()
    world.silent_limit = limit
    assert (await world.run(900))[-1] == last


async def test_it_stops_when_a_delivery_is_older_than_its_channel_allows() -> None:
    world = World()
    world.oldest = Wait(901.0, 300.0)
    assert await world.run(300) == []
    world.oldest = Wait(901.0, 3600.0)
    assert len(await world.run(290)) == 5


async def test_a_redirect_is_not_followed_and_trouble_is_said_once_without_the_url(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    world = World()
    world.status = 302
    await world.run(290)
    assert len(world.beats) == 5
    assert [record.message for record in caplog.records] == [
        "heartbeat failed: the receiver answered HTTP 302"
    ]
    assert world.counted("failed") == 5


async def test_heartbeats_are_counted_by_their_outcome() -> None:
    world = World()
    await world.run(290)
    assert (world.counted("sent"), world.counted("failed")) == (5, 0)
    assert (
        world.metrics.registry.get_sample_value("watcher_heartbeat_last_success_timestamp_seconds")
        == world.beats[-1]
    )
    world.keep_beating = False
    await world.run(600)
    assert world.counted("suppressed") == 9
