"""Tasks that nobody needs to add: each rule lists some, and watches those that it has not seen before.

What is finished already when a rule first runs is stored in silence; whatever appears later is told, even where it is
finished by then. What a rule has seen stays known, as an ID alone, for as long as upstream lists it.
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
from watcher.core.interfaces.store import Store
from watcher.core.settings import DiscoverySettings
from watcher.core.tasks import DiscoveredPage, Watch
from watcher.telemetry.metrics import RuleMetrics

logger = logging.getLogger(__name__)

FORGET_AFTER = 7 * 86400.0
"""Seconds that an ID is kept after it was last listed: a list that is empty by mistake must not make all of it new."""
READ_ALL_EVERY = 3600.0
"""Seconds between two runs that do not stop at what has been seen."""

_REPEAT_COMPLAINT = 600.0


def rule_key(source: str, rule: DiscoverySettings) -> str:
    """Return what a rule is known by in the store: what it lists, and neither how often nor with which labels."""
    lists = rule.model_dump(
        include={"list", "bucket", "status", "task_type", "filters", "search"}, exclude_none=True
    )
    return json.dumps({"source": source, **lists}, sort_keys=True)


def rule_label(number: int, rule: DiscoverySettings) -> str:
    """Return the metrics' label of the rule at this place of the configuration."""
    return f"{number} {rule.list}" if rule.bucket is None else f"{number} {rule.list} {rule.bucket}"


class Discovery:
    """Runs one rule. `track` is handed what joins the watchlist; while `held_back`, upstream is left alone."""

    def __init__(
        self,
        *,
        source_name: str,
        rule: DiscoverySettings,
        source: Source,
        store: Store,
        track: Callable[[Iterable[Watch]], None],
        held_back: Callable[[], bool],
        metrics: RuleMetrics,
        wall: Clock,
    ) -> None:
        self._source_name = source_name
        self._rule = rule
        self._key = rule_key(source_name, rule)
        self._pages = _pages(source, rule)
        self._store = store
        self._track = track
        self._held_back = held_back
        self._metrics = metrics
        self._wall = wall
        self._read_all_at = float("-inf")
        self._complained_at = float("-inf")

    async def run(self) -> None:
        """Run the rule every now and then, for ever.

        It has no pulse: it may rightly wait for the request budget for longer than a pulse may pause.
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
            if not self._held_back():
                await self._attempt()
            await anyio.sleep_until(next_at)

    async def _attempt(self) -> None:
        try:
            await self.run_once()
        except (SourceError, StoreError) as error:
            now = anyio.current_time()
            if now - self._complained_at >= _REPEAT_COMPLAINT:
                self._complained_at = now
                logger.warning(
                    "discovery of %s at %r: %s; it is tried again",
                    self._rule.list,
                    self._source_name,
                    error,
                )

    async def run_once(self) -> None:
        """Read the list once, newest first where that can be had, up to what has been seen or to `max_pages`."""
        if self._pages is None:
            return
        silent = not await self._store.rule_ran(self._key)
        began = anyio.current_time()
        may_stop = (
            not silent and self._stops_at_seen() and began - self._read_all_at < READ_ALL_EVERY
        )
        complete = truncated = False
        read = 0
        this_time: set[str] = set()
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                read += 1
                new = await self._learn(page, silent=silent)
                # One that is on two pages, because the list grew in between, was not seen before.
                ids = {one.task_id for one in page.tasks}
                seen_before = len(ids - this_time) > new
                this_time |= ids
                complete = not page.more
                truncated = page.more and read == self._rule.max_pages
                if truncated or (may_stop and page.newest_first and seen_before):
                    break
        if not may_stop:
            self._read_all_at = began
        self._metrics.ended(truncated=truncated)
        now = self._wall()
        await self._store.rule_finished(self._key, now, now - FORGET_AFTER if complete else None)

    def _stops_at_seen(self) -> bool:
        """Return whether a task that is new to the list is also its newest.

        Not where it may enter the list late, because its status, or whatever a filter looks at, has changed.
        """
        rule = self._rule
        return rule.list == "tasks" and all(
            one is None for one in (rule.status, rule.filters, rule.search, rule.sort)
        )

    async def _learn(self, page: DiscoveredPage, *, silent: bool) -> int:
        """Store what is new on a page, and return how much that is."""
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
    """Return what starts reading the rule's list; None where the source does not support it."""
    criteria = rule.model_dump(
        include={"status", "task_type", "filters", "search", "sort"}, exclude_none=True
    )
    if rule.list == "batches":
        if isinstance(source, DiscoversBatches):
            return partial(source.discover_batches, rule.bucket, criteria)
    elif isinstance(source, DiscoversTasks):
        return partial(source.discover_tasks, criteria)
    return None
