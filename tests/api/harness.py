"""The API over the real store, with a fake of the rest of the daemon."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from tests.support.records import KEY, SECRET, event, settled, step
from watcher.api import server
from watcher.api.app import create_api
from watcher.configuration import loader
from watcher.core.channels import ChannelState
from watcher.core.clock import Clock, wall_clock
from watcher.core.deliveries import DeliveryState, OutboxDepth
from watcher.core.settings import Settings
from watcher.core.status import ReplicaStatus, SourceStatus, Status
from watcher.core.tasks import TaskKey, Watch
from watcher.core.wakeup import Wakeup
from watcher.delivery.channel_check import ChannelCheck
from watcher.stores.sqlite import store as sqlite
from watcher.telemetry.health import Health
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import Metrics

BASE = "http://127.0.0.1:8080"


class FakeDaemon:
    """The rest of the daemon: records the API's calls."""

    def __init__(self, store: Any, environ: dict[str, str]) -> None:
        self.store = store
        self.metrics = Metrics(CollectorRegistry(), "test")
        self.outbox = Wakeup()
        self.now = 0.0
        self.wall: Clock = wall_clock
        self.pulse = LivenessMonitor(lambda: self.now)
        self.health = Health(store.ping, lambda: {"poller mixpeek": self.pulse})
        self.stopping = anyio.Event()
        self.tracked: list[str] = []
        self.forgotten: list[TaskKey] = []
        self.upstream: Any = None
        self.tested: list[tuple[str, str]] = []
        self.held: dict[str, str] = {}
        self.status_read_at = 0.0
        self.active: dict[str | None, int] = {None: 1, "PENDING": 2}
        sources = json.dumps([{"name": name, "api_key": "sk"} for name in ("mixpeek", "other")])
        channels = json.dumps(
            [{"name": "backend", "type": "webhook", "url": "https://x/", "secrets": [SECRET]}]
        )
        variables = {"WATCHER_SOURCES": sources, "WATCHER_CHANNELS": channels, "HOME": "/nowhere"}
        self.settings: Settings = loader.load(None, {**variables, **environ})

    def track(self, watches: Iterable[Watch]) -> None:
        self.tracked += [watch.key.task_id for watch in watches]

    def forget(self, key: TaskKey) -> None:
        self.forgotten.append(key)

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        return 1_700_000_000.0, 1_700_000_030.5

    def source(self, name: str) -> Any:
        return self.upstream if name == "mixpeek" else None

    async def channels(self) -> list[ChannelState]:
        hold = self.held.get("backend")
        return [
            ChannelState(
                name="backend", type="webhook", state="paused" if hold else "running", reason=hold
            )
        ]

    async def pause(self, channel: str, reason: str) -> None:
        self.held[channel] = reason

    async def test_channel(self, channel: str, kind: str) -> ChannelCheck:
        self.tested.append((channel, kind))
        return ChannelCheck(status=204, error=None)

    def attempt_all(self, channel: str) -> None:
        self.outbox.set()

    async def resume(self, channel: str) -> None:
        self.held.clear()

    def forget_status(self) -> None:
        """Keeps none."""

    async def shown_status(self) -> Status:
        return await self.status()

    async def status(self) -> Status:
        now = 1_700_000_000.0
        depths = {depth.channel: depth for depth in await self.store.outbox()}
        source = SourceStatus(
            name="mixpeek",
            type="mixpeek",
            reason="timeout",
            since=now - 60,
            active=self.active,
            requests_per_minute=7,
            budget_left={"GET /v1/tasks/{task_id}": 3.25, "POST /v1/tasks/list": float("inf")},
            behind=0.0,
            max_interval=30.0,
            last_success_at=None,
        )
        return Status(
            at=now,
            started_at=now - 100,
            uptime=100.0,
            sources=[source],
            channels=await self.channels(),
            depths=depths,
            rules=[],
            stored=await self.store.summary(now),
            size=await self.store.size(),
            replicas=[
                ReplicaStatus(name="one", version="0.1.0", started_at=now - 100, units=2, lag=0.0)
            ],
        )

    async def refresh_gauges(self) -> None:
        self.metrics.channel("backend")
        depth = replace(
            OutboxDepth.empty("backend"), pending=3, oldest_created_at=100.0, pending_bytes=4096
        )
        self.metrics.outbox({"backend": depth}, now=101.5)


@asynccontextmanager
async def opened(
    folder: Path, **environ: str
) -> AsyncIterator[tuple[FakeDaemon, httpx.AsyncClient]]:
    async with sqlite.create(f"sqlite:///{folder}/watcher.db") as store:
        daemon = FakeDaemon(store, environ)
        transport = httpx.ASGITransport(create_api(daemon), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            yield daemon, client


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"]
    return body


async def outbox_of_two(daemon: FakeDaemon, api: httpx.AsyncClient) -> None:
    await api.post("/v1/watches", json={"task_id": KEY.task_id})
    watch = (await daemon.store.find(KEY.task_id))[0]
    change = step(watch, "IN_PROGRESS")
    await daemon.store.record([change, step(change.watch, "FAILED")])
    await daemon.store.settle([settled(1, DeliveryState.FAILED)])


@asynccontextmanager
async def served(
    daemon: FakeDaemon, create: Callable[[FakeDaemon], FastAPI] = create_api
) -> AsyncIterator[httpx.AsyncClient]:
    listener = server.bind("server", "127.0.0.1", 0)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, create(daemon), listener, daemon.stopping)
        async with httpx.AsyncClient(base_url=server.url_of(listener), trust_env=False) as client:
            yield client
        daemon.stopping.set()
        daemon.outbox.set()
    listener.close()


async def store_event(daemon: FakeDaemon, number: int) -> None:
    await daemon.store.record_outage(event(number, key=None, order_key="x"), None)
    daemon.outbox.set()


async def read_ids(stream: httpx.Response, count: int) -> list[int]:
    found = []
    async for line in stream.aiter_lines():
        if line.startswith("id: "):
            found.append(int(line[4:]))
        if len(found) == count and not line:
            break
    return found
