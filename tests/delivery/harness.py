"""A store, a scripted channel, and the dispatchers between them, in virtual time."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import anyio
from prometheus_client import CollectorRegistry

from tests.support.records import request, step
from tests.support.stores import opened, system_events
from tests.support.virtual_time import attentive, wall
from watcher.core.clock import Clock
from watcher.core.deliveries import Delivery, DeliveryState, Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.routing import Routing
from watcher.core.settings import ChannelSettings, RouteSettings
from watcher.core.tasks import Watch
from watcher.core.wakeup import Wakeup
from watcher.delivery.body_memory import BodyMemory
from watcher.delivery.context import OFF_AFTER, DeliveryContext
from watcher.delivery.dispatcher import Dispatcher
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.unexpected import UnexpectedErrors

MINUTE = 60.0
DOWN = DeliveryError(
    DeliveryFailure.UNAVAILABLE, "HTTP 503", status=503, disposition=Disposition.OVERLOADED
)
GONE = DeliveryError(
    DeliveryFailure.GONE, "HTTP 410: gone", status=410, disposition=Disposition.GONE
)
NOT_SENT = DeliveryError(
    DeliveryFailure.CONNECT, "its name could not be resolved", disposition=Disposition.NOT_SENT
)
REJECTED = DeliveryError(
    DeliveryFailure.REJECTED, "HTTP 400", status=400, disposition=Disposition.REJECTED
)


@dataclass
class ScriptedChannel:
    """Raises what `outcome(message, time)` returns; None is a success. An attempt takes `duration`
    seconds.
    """

    outcome: Callable[[Message, float], Exception | None] = lambda message, now: None
    duration: float = 0.0
    attempts: list[tuple[float, str]] = field(default_factory=list)
    delivered: list[tuple[float, str]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    in_flight: int = 0
    max_in_flight: int = 0

    async def send(self, message: Message) -> Receipt:
        now = anyio.current_time()
        self.attempts.append((now, message.event_id))
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await anyio.sleep(self.duration)
        finally:
            self.in_flight -= 1
        if (error := self.outcome(message, now)) is not None:
            raise error
        self.delivered.append((anyio.current_time(), message.event_id))
        self.sizes.append(len(message.body))
        return Receipt(status=200)


class Harness:
    """A store, and the dispatchers that use it."""

    def __init__(self, store: Any) -> None:
        self.store = attentive(store)
        self.outbox = Wakeup()
        self.metrics = Metrics(CollectorRegistry(), "test")
        self.bodies = BodyMemory()
        self.watches: dict[str, Watch] = {}

    def context(
        self,
        name: str = "backend",
        *,
        wall: Clock = wall,
        off_after: float = OFF_AFTER,
        **settings: Any,
    ) -> DeliveryContext:
        routing = Routing([RouteSettings(channels=("backend", "alerts"))], ["backend", "alerts"])
        return DeliveryContext(
            settings=ChannelSettings(name=name, type="scripted", **settings),
            store=self.store,
            system_event=system_events(routing),
            metrics=self.metrics.channel(name),
            unexpected=UnexpectedErrors(self.metrics),
            bodies=self.bodies,
            outbox=self.outbox,
            wall=wall,
            random=Random(7),
            off_after=off_after,
        )

    def dispatcher(self, channel: Any, name: str = "backend", **context: Any) -> Dispatcher:
        return Dispatcher(channel, self.context(name, **context))

    async def store_event(
        self,
        task_id: str = "task_1",
        status: str = "IN_PROGRESS",
        *channels: str,
        batch: str | None = None,
        size: int = 0,
    ) -> str:
        """Store one transition of a task, which belongs to `batch` and has outputs of `size` bytes;
        return its event's ID.
        """
        if task_id not in self.watches:
            self.watches[task_id] = (await self.store.add([request(task_id)], wall())).watches[0]
        change = step(self.watches[task_id], status, at=wall(), channels=channels or ("backend",))
        assert change.event is not None
        if batch is not None or size:
            task: dict[str, Any] = {
                "task_id": task_id,
                "status": status,
                "sequence": change.event.sequence,
                "additional_data": {"batch_id": batch},
                "outputs": "x" * size,
            }
            content = {"type": change.event.type, "timestamp": "t", "data": task}
            body = json.dumps(content).encode()
            change = replace(change, event=replace(change.event, body=body))
        assert await self.store.record([change]) == [True]
        self.watches[task_id] = change.watch
        self.outbox.set()
        assert change.event is not None
        return change.event.event_id

    async def deliveries(self, channel: str = "backend") -> list[Delivery]:
        """The deliveries to `channel`, the oldest first."""
        newest_first, _ = await self.store.list_deliveries(None, channel, 1000, None)
        return list(reversed(newest_first))

    async def states(self) -> list[DeliveryState]:
        return [delivery.state for delivery in await self.deliveries()]

    async def types(self, prefix: str = "") -> list[str]:
        """The types of all stored events that begin with `prefix`."""
        events = await self.store.events_after(0, 10_000)
        return [event.type for event in events if event.type.startswith(prefix)]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"channel": "backend", **labels})

    @property
    def breaker_open(self) -> float | None:
        return self.metric("watcher_channel_breaker_open")

    @property
    def suspended(self) -> dict[str, float | None]:
        """The metric of suspensions, by kind."""
        kinds = ("paused", "stopped", "off")
        return {kind: self.metric("watcher_channel_held", kind=kind) for kind in kinds}


@asynccontextmanager
async def harness_at(folder: Path) -> AsyncIterator[Harness]:
    async with opened(folder) as store:
        yield Harness(store)


@asynccontextmanager
async def running(*dispatchers: Dispatcher) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for dispatcher in dispatchers:
            tasks.start_soon(dispatcher.run)
        yield
        tasks.cancel_scope.cancel()


class SlowReader:
    """The store; `due` returns 0.3 s after it has read."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def due(self, *arguments: Any) -> Any:
        due = await self._store.due(*arguments)
        await anyio.sleep(0.3)
        return due
