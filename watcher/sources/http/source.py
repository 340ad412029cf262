"""A source that is described by its settings: any API with one GET per task."""

import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TypeGuard

import anyio
import httpx

from watcher.core.clock import Clock
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.budgets import SharedBudgets
from watcher.core.interfaces.source import Endpoint, Explanation
from watcher.core.tasks import (
    KNOWN_STATUSES,
    DiscoveredPage,
    DiscoveredTask,
    Observation,
    Shown,
)
from watcher.sources._connection import Connection
from watcher.sources.http.explanation import Explainer, explain_list
from watcher.sources.http.get_endpoint import GetEndpoint
from watcher.sources.http.items import ItemReader
from watcher.sources.http.list_endpoint import ByIds, ListReader, NewestFirst
from watcher.sources.http.list_health import ListHealth
from watcher.sources.http.pages import PageDecoder
from watcher.sources.http.requests import GetRequests, ListRequests, Position
from watcher.sources.http.setting_types import ListSettings
from watcher.sources.http.settings import Settings
from watcher.telemetry.source_metrics import SourceMetrics

_MOST_PAGES = 1000
"""As many as a discovery rule may read."""


def create(
    settings: Settings,
    *,
    transport: httpx.AsyncBaseTransport,
    metrics: SourceMetrics,
    wall: Clock,
    budgets: SharedBudgets | None = None,
) -> "HttpSource":
    """Return the source at `settings.base_url`, which sends its requests over `transport`."""
    connection = Connection(
        base_url=settings.base_url or "",
        headers=_headers(settings),
        rate=settings.rate,
        timeout=settings.timeout,
        transport=transport,
        metrics=metrics,
        wall=wall,
        budgets=budgets,
        shared_budget=settings.per == "source",
    )
    listed = settings.usable_list
    if listed is None:
        return HttpSource(settings, connection)
    if listed.ids_most is not None:
        return HttpSource(settings, connection, listed)
    return ListedSource(settings, connection, listed)


class HttpSource:
    """Implements `watcher.core.interfaces.source.Source`, `ChecksAccess` and `ExplainsTasks`."""

    def __init__(
        self, settings: Settings, connection: Connection, listed: ListSettings | None = None
    ) -> None:
        self._reader = ItemReader(settings.language(), settings.id_form)
        self._listed = listed
        requests = GetRequests(settings)
        connection.open(requests.route)
        self._explainer = Explainer(connection, requests, self._reader)
        self.single = GetEndpoint(connection, requests, self._reader)
        self.shared: Endpoint | None = None
        if listed is not None:
            pages = PageDecoder(listed, self._reader)
            list_requests = ListRequests(settings, listed)
            connection.open(list_requests.route)
            self.list_reader = ListReader(connection, list_requests, pages)
            health = ListHealth(settings.name, anyio.current_time)
            if listed.ids_most is None:
                self.shared = NewestFirst(self.list_reader, health, listed.pages)
            else:
                self.shared = ByIds(self.list_reader, health, listed.pages, listed.ids_most)

    async def explain(self, task_id: str) -> Explanation:
        """Request the task, and the list where there is one, and return how they are read."""
        found = await self._explainer.explain(task_id, self.single.answer)
        if self._listed is None:
            return found
        pages = self.list_reader.read(self._listed.pages, [task_id])
        listed = await explain_list(pages, task_id, self.list_reader.requests.route)
        return replace(found, listed=listed)

    async def check_access(self) -> str:
        """Poll a task that cannot exist. APIs that want IDs of another form answer 400 or 422."""
        task_id = self._reader.form.joined(
            [f"watcher-check-{secrets.token_hex(8)}" for _ in self._reader.form.names]
        )
        try:
            await self.single.admit()
            async with aclosing(self.single.fetch([task_id])) as parts:
                answers = [answer async for part in parts for answer in part]
        except SourceError as error:
            if error.reason is not SourceFailure.REJECTED:
                raise
            return f"a made-up ID is rejected ({error})"
        if any(isinstance(answer, Observation) for answer in answers):
            raise SourceError(
                SourceFailure.PROTOCOL, "returned a task that cannot exist: check base_url and get"
            )
        return "a made-up ID is unknown"


class ListedSource(HttpSource):
    """A source with a list that shows new tasks; implements `DiscoversTasks`."""

    async def check_access(self) -> str:
        """Read a page of the list."""
        async for page, _ in self.list_reader.read(1):
            unknown = sorted({task.status for task in page.tasks if _is_unmapped(task)})
            words = f", unmapped: {', '.join(unknown)}" if unknown else ""
            return f"the list shows {page.count} items, {len(page.tasks)} tasks{words}"
        return "the list is empty"

    async def discover_tasks(
        self, criteria: Mapping[str, object], cursor: str | None = None
    ) -> AsyncGenerator[DiscoveredPage, None]:
        """Yield the pages of the list, which has the newest tasks first."""
        start = Position.of(cursor)
        async for page, following in self.list_reader.read(_MOST_PAGES, start=start):
            yield DiscoveredPage(
                tasks=[_discovered(task) for task in page.tasks],
                newest_first=True,
                next_cursor=None if following is None else following.cursor(),
            )


def _is_unmapped(task: Shown) -> TypeGuard[Observation]:
    return isinstance(task, Observation) and task.status not in KNOWN_STATUSES


def _discovered(task: Shown) -> DiscoveredTask:
    if isinstance(task, Observation):
        return DiscoveredTask(task.task_id, task.status, task.task_type)
    return DiscoveredTask(task.task_id, None, None)


def _headers(settings: Settings) -> Mapping[str, str]:
    headers = {name.lower(): value for name, value in settings.headers.items()}
    if settings.token is not None:
        name, _, value = settings.auth_header.partition(":")
        headers[name.lower()] = value.strip().replace("{token}", settings.token.get_secret_value())
    return headers
