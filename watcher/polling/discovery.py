"""Discovery adds tasks automatically: each rule lists tasks, and watches those it has not seen
before.

Tasks that have ended when a rule first runs are recorded without an event. A task that appears
later is reported, even if it has ended by then. A rule remembers the IDs it has seen for as long as
upstream lists them.
"""

import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from functools import partial

import anyio

from watcher.core.clock import Clock
from watcher.core.errors import SourceError, StoreError
from watcher.core.interfaces.source import DiscoversBatches, DiscoversTasks, Source
from watcher.core.interfaces.store import DiscoveryLog
from watcher.core.settings import DiscoverySettings
from watcher.core.tasks import DiscoveredPage, Watch
from watcher.telemetry.metrics import RuleMetrics
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

FORGET_AFTER = 7 * 86400.0
"""Seconds that an ID is kept after it was last listed: after a list that was empty by mistake,
tasks are not new.
"""
READ_ALL_EVERY = 3600.0
"""Seconds between two runs that read the whole list."""


def rule_key(source: str, rule: DiscoverySettings) -> str:
    """Return the key of a rule in the store: what it lists, without its interval and labels."""
    lists = rule.model_dump(
        include={"list", "bucket", "status", "task_type", "filters", "search"}, exclude_none=True
    )
    return json.dumps({"source": source, **lists}, sort_keys=True)


def rule_label(number: int, rule: DiscoverySettings) -> str:
    """Return the metrics label of the rule at this position of the configuration."""
    return f"{number} {rule.list}" if rule.bucket is None else f"{number} {rule.list} {rule.bucket}"


class Discovery:
    """Runs one rule. `track` receives added watches; while `paused` returns True, nothing is
    requested.
    """

    def __init__(
        self,
        *,
        source_name: str,
        rule: DiscoverySettings,
        source: Source,
        store: DiscoveryLog,
        track: Callable[[Iterable[Watch]], None],
        paused: Callable[[], bool],
        metrics: RuleMetrics,
        wall: Clock,
    ) -> None:
        self._source_name = source_name
        self._rule = rule
        self._key = rule_key(source_name, rule)
        self._pages = _pages(source, rule)
        self._store = store
        self._track = track
        self._paused = paused
        self._metrics = metrics
        self._wall = wall
        self._read_all_at = float("-inf")
        self._log_throttle = LogThrottle(anyio.current_time)

    async def run(self) -> None:
        """Run the rule at its interval, for ever.

        It has no liveness monitor, because it may wait for the request budget longer than a monitor
        allows.
        """
        if self._pages is None:
            logger.error(
                "discovery of %s at %r: the source does not support it; the rule is inactive",
                self._rule.list,
                self._source_name,
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
        except (SourceError, StoreError) as error:
            if self._log_throttle.ready("failed"):
                logger.warning(
                    "discovery of %s at %r failed: %s; will retry",
                    self._rule.list,
                    self._source_name,
                    error,
                )

    async def run_once(self) -> None:
        """Read the list once, newest first if possible, up to known tasks or to `max_pages`."""
        if self._pages is None:
            return
        silent = not await self._store.rule_ran(self._key)
        began = anyio.current_time()
        may_stop = (
            not silent and self._stops_at_known() and began - self._read_all_at < READ_ALL_EVERY
        )
        complete = truncated = False
        read = 0
        ids_of_run: set[str] = set()
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                read += 1
                new = await self._store_new(page, silent=silent)
                # A task that is on two pages, because the list grew in between, was not known
                # before.
                ids = {task.task_id for task in page.tasks}
                has_known = len(ids - ids_of_run) > new
                ids_of_run |= ids
                complete = not page.more
                truncated = page.more and read == self._rule.max_pages
                if truncated or (may_stop and page.newest_first and has_known):
                    break
        if not may_stop:
            self._read_all_at = began
        self._metrics.ended(truncated=truncated)
        now = self._wall()
        await self._store.rule_finished(self._key, now, now - FORGET_AFTER if complete else None)

    def _stops_at_known(self) -> bool:
        """Return whether the run may stop at the first known task: a task new to the list is its
        newest.

        Not if a task can enter the list late, because its status or a filtered field has changed.
        """
        rule = self._rule
        return rule.list == "tasks" and all(
            value is None for value in (rule.status, rule.filters, rule.search, rule.sort)
        )

    async def _store_new(self, page: DiscoveredPage, *, silent: bool) -> int:
        """Store the new tasks of a page, and return their number."""
        rule = self._rule
        new, added = await self._store.discover(
            self._key, self._source_name, page.tasks, rule.labels, self._wall(), silent=silent
        )
        self._metrics.read(new)
        self._track(watch for watch in added.watches if watch.key in added.reactivated)
        return new


def _pages(
    source: Source, rule: DiscoverySettings
) -> Callable[[], AsyncGenerator[DiscoveredPage, None]] | None:
    """Return a function that reads the rule's list; None if the source does not support it."""
    criteria = rule.model_dump(
        include={"status", "task_type", "filters", "search", "sort"}, exclude_none=True
    )
    if rule.list == "batches":
        if isinstance(source, DiscoversBatches):
            return partial(source.discover_batches, rule.bucket, criteria)
    elif isinstance(source, DiscoversTasks):
        return partial(source.discover_tasks, criteria)
    return None
