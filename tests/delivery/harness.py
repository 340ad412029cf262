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
from tests.support.stores import notices, opened
from tests.support.virtual_time import attentive, wall
from watcher.core.clock import Clock
from watcher.core.deliveries import Delivery, Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.routing import Routing
from watcher.core.settings import ChannelSettings, RouteSettings
from watcher.core.tasks import Watch
from watcher.core.wakeup import Wakeup
from watcher.delivery.context import MAX_SUSPENDED, OFF_AFTER, DeliveryContext
from watcher.delivery.dispatcher import Dispatcher
from watcher.telemetry.metrics import Metrics

DOWN = DeliveryError(
    DeliveryFailure.UNAVAILABLE, "HTTP 503", status=503, disposition=Disposition.OVERLOADED
)


GONE = DeliveryError(
    DeliveryFailure.GONE, "HTTP 410: gone", status=410, disposition=Disposition.GONE
)


OURS = DeliveryError(
    DeliveryFailure.CONNECT, "its name could not be resolved", disposition=Disposition.NOT_SENT
)


POISON = DeliveryError(
    DeliveryFailure.REJECTED, "HTTP 400", status=400, disposition=Disposition.REJECTED
)


MINUTE = 60.0


@dataclass
class ScriptedChannel:
    """Answers as `outcome(message, time)` says: None is a success."""

    outcome: Callable[[Message, float], Exception | None] = lambda message, now: None
    takes: float = 0.0
    attempts: list[tuple[float, str]] = field(default_factory=list)
    delivered: list[tuple[float, str]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def send(self, message: Message) -> Receipt:
        now = anyio.current_time()
        self.attempts.append((now, message.event_id))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.sleep(self.takes)
        finally:
            self.in_flight -= 1
        if (error := self.outcome(message, now)) is not None:
            raise error
        self.delivered.append((anyio.current_time(), message.event_id))
        return Receipt(status=200)


class Harness:
    """A store, and the dispatchers that work on it."""

    def __init__(self, store: Any) -> None:
        self.store = attentive(store)
        self.outbox = Wakeup()
        self.metrics = Metrics(CollectorRegistry(), "test")
        self.watches: dict[str, Watch] = {}

    def dispatcher(
        self,
        channel: Any,
        name: str = "backend",
        *,
        max_suspended: int = MAX_SUSPENDED,
        off_after: float = OFF_AFTER,
        wall: Clock = wall,
        **given: Any,
    ) -> Dispatcher:
        routing = Routing([RouteSettings(channels=("backend", "alerts"))], ["backend", "alerts"])
        return Dispatcher(
            channel,
            DeliveryContext(
                settings=ChannelSettings(name=name, type="scripted", **given),
                store=self.store,
                system_event=notices(routing),
                metrics=self.metrics.channel(name),
                outbox=self.outbox,
                wall=wall,
                random=Random(7),
                max_suspended=max_suspended,
                off_after=off_after,
            ),
        )

    async def store_event(
        self,
        task_id: str = "task_1",
        status: str = "IN_PROGRESS",
        *channels: str,
        batch: str | None = None,
    ) -> str:
        """Store one transition of a task, which belongs to a batch, and return its event's id."""
        if task_id not in self.watches:
            self.watches[task_id] = (await self.store.add([request(task_id)], wall())).watches[0]
        change = step(self.watches[task_id], status, at=wall(), channels=channels or ("backend",))
        assert change.event is not None
        if batch is not None:
            about: dict[str, Any] = {
                "task_id": task_id,
                "status": status,
                "sequence": change.event.sequence,
            }
            about["additional_data"] = {"batch_id": batch}
            change = replace(
                change, event=replace(change.event, body=json.dumps({"data": about}).encode())
            )
        assert await self.store.record([change]) == [True]
        self.watches[task_id] = change.watch
        self.outbox.set()
        assert change.event is not None
        return change.event.event_id

    async def deliveries(self, channel: str = "backend") -> list[Delivery]:
        found, _ = await self.store.list_deliveries(None, channel, 1000, None)
        return list(reversed(found))

    async def types(self) -> list[str]:
        return [one.type for one in await self.store.events_after(0, 10_000)]


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
    """The store, whose reads of the outbox come back a while after what they saw."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def due(self, *arguments: Any) -> Any:
        found = await self._store.due(*arguments)
        await anyio.sleep(0.3)
        return found


def breaker(harness: Harness) -> float | None:
    return harness.metrics.registry.get_sample_value(
        "watcher_channel_breaker_open", {"channel": "backend"}
    )


def held(harness: Harness) -> dict[str, float | None]:
    def value(kind: str) -> float | None:
        labels = {"channel": "backend", "kind": kind}
        return harness.metrics.registry.get_sample_value("watcher_channel_held", labels)

    return {kind: value(kind) for kind in ("paused", "stopped", "off")}
