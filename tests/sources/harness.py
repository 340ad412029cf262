"""The real poller, store and Mixpeek source over the fake API, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
from prometheus_client import CollectorRegistry

from tests.support.fake_upstream import Forward, Response, intercept, transport
from tests.support.records import request
from tests.support.stores import system_events
from tests.support.virtual_time import attentive, wall
from watcher.core.routing import Routing
from watcher.core.settings import PollingSettings, RouteSettings
from watcher.core.tasks import TaskKey
from watcher.core.wakeup import Wakeup
from watcher.polling.context import PollingContext
from watcher.polling.poller import Poller
from watcher.sources.mixpeek import source as mixpeek
from watcher.sources.mixpeek.get_endpoint import GET_TASK
from watcher.sources.mixpeek.list_health import FilterState
from watcher.sources.mixpeek.pagination import LIST_TASKS
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.unexpected import UnexpectedErrors
from watcher.testing.mixpeek_request import Request
from watcher.testing.mixpeek_server import FakeUpstream

LIST_PATH = "/v1/tasks/list"
_ADDED_AT_ONCE = 1000


class Harness:
    """Polls a fake API with 50 ms latency. `limit` is requests per minute, there and here."""

    def __init__(self, store: Any, *, limit: int | None = None, **polling: Any) -> None:
        self.upstream = FakeUpstream(latency=0.05, limit=limit)
        self.store = attentive(store)
        self.metrics = Metrics(CollectorRegistry(), "test")
        metrics = self.metrics.source("mixpeek")
        settings = mixpeek.Settings(
            base_url="https://upstream", api_key="sk_made_up", requests_per_minute=limit
        )
        self.source = mixpeek.create(
            settings, transport=transport(self.upstream), metrics=metrics, wall=wall
        )
        routing = Routing([RouteSettings(channels=("backend",), initial=True)], ["backend"])
        self.poller = Poller(
            self.source,
            PollingContext(
                source_name="mixpeek",
                store=self.store,
                routing=routing,
                system_event=system_events(routing),
                polling=PollingSettings(**polling),
                unreachable_after=60.0,
                metrics=metrics,
                unexpected=UnexpectedErrors(self.metrics),
                outbox=Wakeup(),
                wall=wall,
                random=Random(5),
            ),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the poller for as long as the context."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.poller.run)
            yield
            self.poller.close()

    async def watch(self, count: int) -> None:
        """Create `count` running tasks upstream and watch them."""
        self.set_status(task_ids(count), "IN_PROGRESS")
        for start in range(0, count, _ADDED_AT_ONCE):
            part = task_ids(count)[start : start + _ADDED_AT_ONCE]
            added = await self.store.add([request(task_id) for task_id in part], wall())
            self.poller.track(watch for watch in added.watches if watch.key in added.reactivated)

    def set_status(self, task_ids: list[str], status: str) -> None:
        for task_id in task_ids:
            self.upstream.set(task_id, status)

    async def assert_completions_noticed(self, task_ids: list[str], within: float = 31.0) -> None:
        """Complete these tasks and assert that each completion is recorded within this time."""
        self.set_status(task_ids, "COMPLETED")
        deadline = wall() + within
        await anyio.sleep(within)
        late = [task_id for task_id in task_ids if await self.completed_at(task_id) > deadline]
        assert late == []

    async def event_types(self) -> list[str]:
        return [event.type for event in await self.store.events_after(0, 1_000_000)]

    @property
    def list_requests(self) -> int:
        return self.upstream.requests[LIST_TASKS]

    @property
    def get_requests(self) -> int:
        return self.upstream.requests[GET_TASK]

    def filter_state(self) -> FilterState:
        return self.source.list_health.state

    def break_list(self, status: int) -> None:
        """Answer list requests with `status` from now on."""

        async def answer(request: Request, forward: Forward) -> Response:
            if request.path == LIST_PATH:
                return status, {}, b'{"error": {"message": "no"}}'
            return await forward(request)

        intercept(self.upstream, answer)

    async def completed_at(self, task_id: str) -> float:
        events = await self.store.transitions(TaskKey("mixpeek", task_id))
        return float(next(event.at for event in events if event.type == "task.completed"))


def task_ids(count: int) -> list[str]:
    return [f"task_{number}" for number in range(count)]
