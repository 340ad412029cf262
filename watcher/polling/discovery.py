"""Discovery adds tasks automatically: each rule lists tasks, and watches those it has not seen
before.

Tasks that have ended when a rule first runs are recorded without an event. A task that appears
later is reported, even if it has ended by then. A rule remembers the IDs it has seen for as long as
upstream lists them. A task that has ended and is listed as running twice is watched again.

The first run reads the whole list. From then on a run reads one page (`rotation` chooses it), and
more only if that page has new tasks, or if upstream's count of the list has grown.
"""

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import anyio

from watcher.core.clock import Clock
from watcher.core.errors import SourceError, StoreError
from watcher.core.events import bounded_name
from watcher.core.interfaces.source import DiscoversBatches, DiscoversTasks, Source
from watcher.core.log_fields import about
from watcher.core.settings import DiscoverySettings
from watcher.core.tasks import DiscoveredPage, DiscoveredTask, Watch
from watcher.core.texts import OTHER, is_id, label
from watcher.polling.rotation import Rotation
from watcher.polling.rule_record import RuleRecord
from watcher.polling.running_again import DiscoveryStore, RunningAgain
from watcher.telemetry.source_metrics import RuleMetrics
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

FORGET_AFTER = 7 * 86400.0
"""Seconds that an ID is kept after it was last listed: after a list that was empty by mistake,
tasks are not new.
"""
_LONGEST_SEARCH_PAUSE = 3600.0

_Read = Callable[[str | None], AsyncGenerator[DiscoveredPage, None]]
"""Reads the pages of a list from a cursor on."""


def rule_key(source: str, rule: DiscoverySettings) -> str:
    """Return the key of a rule in the store: what it lists, without its interval and labels."""
    lists = rule.model_dump(
        include={"list", "bucket", "status", "task_type", "filters", "search"}, exclude_none=True
    )
    return json.dumps({"source": source, **lists}, sort_keys=True)


def rule_label(number: int, rule: DiscoverySettings) -> str:
    """Return the metrics label of the rule at this position of the configuration."""
    short = f"{number} {rule.list}"
    full = short if rule.bucket is None else f"{short} {rule.bucket}"
    return short if label(full) == OTHER else full


class Discovery:
    """Runs one rule. `track` receives added watches; while `paused` returns True, nothing is
    requested. `ended` receives how each run ended: the error of the source, or None.
    """

    def __init__(
        self,
        *,
        source_name: str,
        label: str,
        rule: DiscoverySettings,
        source: Source,
        store: DiscoveryStore,
        track: Callable[[Iterable[Watch]], None],
        paused: Callable[[], bool],
        ended: Callable[[SourceError | None], Awaitable[None]],
        metrics: RuleMetrics,
        wall: Clock,
    ) -> None:
        self._source_name = source_name
        self._rule = rule
        self._key = rule_key(source_name, rule)
        self._pages = _pages(source, rule, self._skipped)
        self._store = store
        self._track = track
        self._paused = paused
        self._ended = ended
        self._metrics = metrics
        self._wall = wall
        self._rotation = Rotation(rule.every, rule.max_pages)
        self._pass_began: float | None = None
        self._total: int | None = None
        self._search_at = 0.0
        self._search_pause = 0.0
        self._finished = False
        self._running_again = RunningAgain(
            source_name=source_name, labels=rule.labels, store=store, track=track, wall=wall
        )
        self._log_throttle = LogThrottle(anyio.current_time)
        self.record = RuleRecord(label, source_name, rule)

    async def run(self) -> None:
        """Run the rule at its interval, for ever.

        It has no liveness monitor, because it may wait for the request budget longer than a monitor
        allows.
        """
        if self._pages is None:
            logger.error(
                "discovery of %s at source %r: the source does not support it; the rule is "
                "inactive",
                self._rule.list,
                self._source_name,
                extra=about(source=self._source_name),
            )
            return
        while True:
            next_at = anyio.current_time() + self._rule.every
            if not self._paused():
                await self._attempt()
            await anyio.sleep_until(next_at)

    async def _attempt(self) -> None:
        try:
            await self.run_once()
            now = self._wall()
            self.record.succeeded(now)
            self._metrics.succeeded(now)
            await self._ended(None)
        except (SourceError, StoreError) as error:
            self.record.failed(error)
            self._metrics.failed()
            if isinstance(error, SourceError):
                await self._ended(error)
            if self._log_throttle.ready("failed"):
                logger.warning(
                    "discovery of %s at source %r failed: %s; will retry",
                    self._rule.list,
                    self._source_name,
                    error,
                    extra=about(source=self._source_name),
                )

    async def run_once(self) -> None:
        """Read one page of the list, and others if there are new tasks; at first all pages."""
        if (read := self._pages) is None:
            return
        silent = not await self._store.rule_ran(self._key)
        if silent or not self._rotation.pages:
            await self._read_all(read, silent=silent)
        elif await self._read_one(read):
            await self._search(read)

    async def _read_all(self, read: _Read, *, silent: bool) -> int:
        """Read the list from its beginning to its end or to `max_pages`; return how many tasks are
        new.
        """
        self._rotation.restart()
        rotation = Rotation(self._rule.every, self._rule.max_pages)
        began = self._wall()
        found = number = 0
        page = None
        async with aclosing(read(None)) as pages:
            async for page in pages:
                found += await self._store_new(page, silent=silent)
                self._note(rotation, number, page)
                number += 1
                if number == self._rule.max_pages:
                    break
        complete = page is not None and page.next_cursor is None
        self._rotation, self._pass_began = rotation, began
        self.record.truncated = not complete and number == self._rule.max_pages
        self._metrics.ended(truncated=self.record.truncated)
        await self._finish(complete=complete)
        return found

    async def _read_one(self, read: _Read) -> bool:
        """Read the page whose turn it is, and those after it while they have new tasks; return
        whether the list has grown although none is new.
        """
        start = self._rotation.begin()
        number = self._rotation.page
        if number == 1 or self._rotation.pages == 1:
            self._pass_began = self._wall()
        last = number + self._rule.max_pages
        before, found, complete = self._total, 0, False
        ids_of_run: set[str] = set()
        try:
            async with aclosing(read(start)) as pages:
                async for page in pages:
                    new = await self._store_new(page, silent=False)
                    self._note(self._rotation, number, page)
                    # A task that is on two pages, because the list grew in between, was not known
                    # before.
                    ids = {task.task_id for task in page.tasks}
                    has_known = len(ids - ids_of_run) > new
                    ids_of_run |= ids
                    found += new
                    number += 1
                    complete = page.next_cursor is None
                    if not new or number == last or (self._rotation.sorted and has_known):
                        break
        except SourceError:
            if start is not None:
                self._rotation.failed()
            raise
        await self._finish(complete=complete)
        return not found and self._grown(before)

    def _grown(self, before: int | None) -> bool:
        """Return whether the list has more items than before, on more pages than were read."""
        total = self._total
        if before is None or total is None or total <= before or self._rotation.pages == 1:
            return False
        if anyio.current_time() < self._search_at:
            self._total = before  # search later
            return False
        return True

    async def _search(self, read: _Read) -> None:
        """Look for a new task on all pages; ever less often if there is none."""
        if await self._read_all(read, silent=False):
            self._search_pause = 0.0
            return
        longer = max(self._search_pause * 2, self._rule.every * 2)
        self._search_pause = min(longer, _LONGEST_SEARCH_PAUSE)
        self._search_at = anyio.current_time() + self._search_pause

    def _note(self, rotation: Rotation, number: int, page: DiscoveredPage) -> None:
        rotation.read(number, page.next_cursor)
        if number == 0:
            rotation.sorted = page.newest_first and self._stops_at_known()
        if page.total is not None:
            self._total = page.total

    async def _finish(self, *, complete: bool) -> None:
        """Store that the rule ran; forget what it has not listed for long, after its last page."""
        began = self._pass_began
        if complete and began is not None:
            await self._store.rule_finished(self._key, self._wall(), began - FORGET_AFTER)
        elif not self._finished:
            await self._store.rule_finished(self._key, self._wall(), None)
        self._finished = True

    def _stops_at_known(self) -> bool:
        """Return whether the run may stop at the first known task: a task new to the list is its
        newest.

        Not if a task can enter the list late, because its status or a filtered field has changed.
        """
        rule = self._rule
        return rule.list == "tasks" and all(
            value is None for value in (rule.status, rule.filters, rule.search, rule.sort)
        )

    def _skipped(self, count: int) -> None:
        self._metrics.skipped(count)
        if self._log_throttle.ready("skipped"):
            logger.warning(
                "discovery of %s at source %r: %d tasks are skipped, because their IDs are not "
                "valid: IDs are 1 to 256 visible characters, without a slash, and neither . nor ..",
                self._rule.list,
                self._source_name,
                count,
                extra=about(source=self._source_name),
            )

    async def _store_new(self, page: DiscoveredPage, *, silent: bool) -> int:
        """Store the new tasks of a page, and return their number."""
        rule = self._rule
        new, added = await self._store.discover(
            self._key, self._source_name, page.tasks, rule.labels, self._wall(), silent=silent
        )
        self.record.found(new)
        self._metrics.read(new)
        self._track(watch for watch in added.watches if watch.key in added.reactivated)
        await self._running_again.look(page.tasks)
        return new


def _pages(source: Source, rule: DiscoverySettings, skipped: Callable[[int], None]) -> _Read | None:
    """Return a function that reads the rule's list from a cursor on; None if the source does not
    support it. `skipped` receives how many tasks of a page have an invalid ID.
    """
    read = _read_of(source, rule)

    async def pages(cursor: str | None) -> AsyncGenerator[DiscoveredPage, None]:
        if read is None:
            return
        async with aclosing(read(cursor)) as received:
            async for page in received:
                tasks = [_fitted(task) for task in page.tasks if is_id(task.task_id)]
                if count := len(page.tasks) - len(tasks):
                    skipped(count)
                yield replace(page, tasks=tasks)

    return None if read is None else pages


def _fitted(task: DiscoveredTask) -> DiscoveredTask:
    return task._replace(task_type=bounded_name(task.task_type))


def _read_of(source: Source, rule: DiscoverySettings) -> _Read | None:
    criteria = rule.model_dump(
        include={"status", "task_type", "filters", "search", "sort"}, exclude_none=True
    )
    if rule.list == "batches":
        if isinstance(source, DiscoversBatches):
            return partial(source.discover_batches, rule.bucket, criteria)
    elif isinstance(source, DiscoversTasks):
        return partial(source.discover_tasks, criteria)
    return None
