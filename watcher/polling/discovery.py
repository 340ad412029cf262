"""Discovery adds tasks automatically: each rule lists tasks, and watches those it has not seen
before.

Tasks that have ended when a rule first runs are recorded without an event. A task that appears
later is reported, even if it has ended by then. A rule remembers the IDs it has seen for as long as
upstream lists them. A task that has ended and is listed as running twice is watched again.
`rule_list` chooses the pages that a run reads.
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
from watcher.polling.rule_list import ReadPages, RuleList, RunEnd
from watcher.polling.rule_record import RuleRecord
from watcher.polling.running_again import DiscoveryStore, RunningAgain
from watcher.telemetry.source_metrics import RuleMetrics
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

FORGET_AFTER = 7 * 86400.0
"""Seconds that an ID is kept after it was last listed: after a list that was empty by mistake,
tasks are not new.
"""


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
        self._store = store
        self._track = track
        self._paused = paused
        self._ended = ended
        self._metrics = metrics
        self._wall = wall
        self._list = self._list_of(source)
        self._silent = False
        self._run_stored = False
        self._running_again = RunningAgain(
            source_name=source_name, labels=rule.labels, store=store, track=track, wall=wall
        )
        self._log_throttle = LogThrottle(anyio.current_time)
        self.record = RuleRecord(label, source_name, rule)

    def _list_of(self, source: Source) -> RuleList | None:
        """Return the list of the rule; None if the source does not support it."""
        pages = _pages(source, self._rule, self._skipped)
        if pages is None:
            return None
        return RuleList(
            self._rule,
            pages,
            store_new=self._store_new,
            finished=self._finished,
            wall=self._wall,
        )

    async def run(self) -> None:
        """Run the rule at its interval, for ever.

        It has no liveness monitor, because it may wait for the request budget longer than a monitor
        allows.
        """
        if self._list is None:
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
        if self._list is None:
            return
        self._silent = not await self._store.rule_ran(self._key)
        if self._silent or not self._list.was_read:
            await self._list.read_all()
        else:
            await self._list.read_one()

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

    async def _store_new(self, page: DiscoveredPage) -> int:
        """Store the new tasks of a page, and return their number."""
        rule = self._rule
        new, added = await self._store.discover(
            self._key,
            self._source_name,
            page.tasks,
            rule.labels,
            self._wall(),
            silent=self._silent,
        )
        self.record.found(new)
        self._metrics.read(new)
        self._track(watch for watch in added.watches if watch.key in added.reactivated)
        await self._running_again.look(page.tasks)
        return new

    async def _finished(self, end: RunEnd) -> None:
        """Store that the rule ran; forget what it has not listed for long, after its last page."""
        self.record.truncated = end.truncated
        self._metrics.ended(truncated=end.truncated)
        if end.pass_began is not None:
            forget_before = end.pass_began - FORGET_AFTER
            await self._store.rule_finished(self._key, self._wall(), forget_before)
        elif not self._run_stored:
            await self._store.rule_finished(self._key, self._wall(), None)
        self._run_stored = True


def _pages(
    source: Source, rule: DiscoverySettings, skipped: Callable[[int], None]
) -> ReadPages | None:
    """Return a function that reads the rule's list from a cursor on; None if the source does not
    support it. `skipped` receives how many tasks of a page have an invalid ID.
    """
    read = _read_of(source, rule)
    if read is None:
        return None

    async def pages(cursor: str | None) -> AsyncGenerator[DiscoveredPage, None]:
        async with aclosing(read(cursor)) as received:
            async for page in received:
                tasks = [_fitted(task) for task in page.tasks if is_id(task.task_id)]
                if count := len(page.tasks) - len(tasks):
                    skipped(count)
                yield replace(page, tasks=tasks)

    return pages


def _fitted(task: DiscoveredTask) -> DiscoveredTask:
    return task._replace(task_type=bounded_name(task.task_type))


def _read_of(source: Source, rule: DiscoverySettings) -> ReadPages | None:
    criteria = rule.model_dump(
        include={"status", "task_type", "filters", "search", "sort"}, exclude_none=True
    )
    if rule.list == "batches":
        if isinstance(source, DiscoversBatches):
            return partial(source.discover_batches, rule.bucket, criteria)
    elif isinstance(source, DiscoversTasks):
        return partial(source.discover_tasks, criteria)
    return None
