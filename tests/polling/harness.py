"""A store, a scripted source, and the poller between them, in virtual time."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import anyio
from prometheus_client import CollectorRegistry

from tests.support.records import observation, request
from tests.support.stores import system_events
from tests.support.virtual_time import attentive, wall
from watcher.core.errors import SourceError
from watcher.core.events import StoredEvent
from watcher.core.routing import Routing
from watcher.core.settings import PollingSettings, RouteSettings
from watcher.core.tasks import Answer, TaskKey, TaskNotFound, TaskUnreadable
from watcher.core.wakeup import Wakeup
from watcher.polling.context import PollingContext
from watcher.polling.poller import Poller
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.unexpected import UnexpectedErrors


class ScriptedSource:
    """Shows what a test sets; `trouble` is raised instead while it is set, and the errors of
    `rejected` for their tasks. `spacing` is a budget: seconds a request.
    """

    shared = None
    calls: Any = None
    capacity = 1

    def __init__(self) -> None:
        self.single = self
        self.shown: dict[str, str] = {}
        self.trouble: Exception | None = None
        self.rejected: dict[str, SourceError] = {}
        self.unreadable: set[str] = set()
        self.spacing = 0.0
        self.takes = 0.01
        self.polls: list[tuple[float, str]] = []
        self._free_at = 0.0

    def requests_for(self, tasks: int) -> int:
        return tasks if self.spacing else 0

    def wait(self) -> float:
        return max(self._free_at - anyio.current_time(), 0.0)

    async def admit(self) -> None:
        await anyio.sleep_until(self._free_at)
        self._free_at = max(self._free_at, anyio.current_time()) + self.spacing

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        self.polls += [(anyio.current_time(), task_id) for task_id in task_ids]
        await anyio.sleep(self.takes)
        if self.trouble is not None:
            raise self.trouble
        if task_ids[0] in self.rejected:
            raise self.rejected[task_ids[0]]
        yield [self._answer(task_id) for task_id in task_ids]

    def _answer(self, task_id: str) -> Answer:
        if task_id in self.unreadable:
            return TaskUnreadable(task_id=task_id, reason="the answer has no status")
        if task_id in self.shown:
            return observation(task_id, self.shown[task_id])
        return TaskNotFound(task_id=task_id)

    def times(self, task_id: str) -> list[float]:
        return [at for at, polled in self.polls if polled == task_id]


class Harness:
    """A store, a scripted source, and a poller between them."""

    def __init__(self, store: Any, **polling: Any) -> None:
        self.store = attentive(store)
        self.source = ScriptedSource()
        self.outbox = Wakeup()
        self.metrics = Metrics(CollectorRegistry(), "test")
        self.polling = PollingSettings(**polling)
        self.slip = 0.0
        self.poller = self.new_poller()

    def new_poller(self) -> Poller:
        routing = Routing([RouteSettings(channels=("backend",), initial=True)], ["backend"])
        return Poller(
            self.source,
            PollingContext(
                source_name="mixpeek",
                store=self.store,
                routing=routing,
                system_event=system_events(routing),
                polling=self.polling,
                unreachable_after=60.0,
                metrics=self.metrics.source("mixpeek"),
                unexpected=UnexpectedErrors(self.metrics),
                outbox=self.outbox,
                wall=lambda: wall() + self.slip,
                random=Random(11),
            ),
        )

    async def watch(self, *task_ids: str, again: bool = False, **labels: str) -> None:
        requests = [replace(request(task_id, **labels), again=again) for task_id in task_ids]
        added = await self.store.add(requests, wall())
        self.poller.track(watch for watch in added.watches if watch.key in added.reactivated)

    async def events(self) -> list[StoredEvent]:
        return list(await self.store.events_after(0, 100_000))

    async def transitions(
        self, task_id: str = "task_1"
    ) -> list[tuple[str | None, str | None, int | None]]:
        events = await self.store.transitions(TaskKey("mixpeek", task_id))
        return [(one.previous_status, one.status, one.sequence) for one in events]

    async def types(self) -> list[str]:
        return [one.type for one in await self.events()]

    def up(self) -> float | None:
        return self.sample("watcher_source_up")

    def last_success(self) -> float:
        return self.sample("watcher_last_success_timestamp_seconds") or 0.0

    def sample(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"source": "mixpeek"})


@asynccontextmanager
async def running(poller: Poller) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poller.run)
        yield
        poller.close()


def names(count: int) -> list[str]:
    return [f"task_{number}" for number in range(1, count + 1)]
