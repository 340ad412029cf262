"""The list of one discovery rule: which of its pages a run reads.

The first run reads the whole list. From then on a run reads one page (`rotation` chooses it), and
more only if that page has new tasks, or if upstream's count of the list has grown.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

import anyio

from watcher.core.clock import Clock
from watcher.core.errors import SourceError
from watcher.core.settings import DiscoverySettings
from watcher.core.tasks import DiscoveredPage
from watcher.polling.rotation import Rotation

_LONGEST_SEARCH_PAUSE = 3600.0
"""Seconds between two searches of all pages for a task that no page showed as new."""

ReadPages = Callable[[str | None], AsyncGenerator[DiscoveredPage, None]]
"""Reads the pages of a list from a cursor on; None is its beginning. Raises `SourceError`."""


class RunEnd(NamedTuple):
    """What a run has read: `truncated` is whether the list has more pages than the rule reads.

    `pass_began` is the Unix time from which on all pages were read, if this run has read the last.
    """

    pass_began: float | None
    truncated: bool


class RuleList:
    """Reads the pages of one list.

    `store_new` stores the new tasks of a page, and returns how many they are. `finished` is called
    after the last page of a run. What both raise ends the run.
    """

    def __init__(
        self,
        rule: DiscoverySettings,
        pages: ReadPages,
        *,
        store_new: Callable[[DiscoveredPage], Awaitable[int]],
        finished: Callable[[RunEnd], Awaitable[None]],
        wall: Clock,
    ) -> None:
        self._rule = rule
        self._pages = pages
        self._store_new = store_new
        self._finished = finished
        self._wall = wall
        self._rotation = Rotation(rule.every, rule.max_pages)
        self._pass_began: float | None = None
        self._total: int | None = None
        self._search_at = 0.0
        self._search_pause = 0.0
        self._truncated = False

    @property
    def was_read(self) -> bool:
        return self._rotation.pages > 0

    async def read_all(self) -> int:
        """Read the list from its beginning to its end or to `max_pages`; return how many tasks are
        new.
        """
        self._rotation.restart()
        rotation = Rotation(self._rule.every, self._rule.max_pages)
        began = self._wall()
        found = number = 0
        page = None
        async with aclosing(self._pages(None)) as pages:
            async for page in pages:
                found += await self._store_new(page)
                self._note(rotation, number, page)
                number += 1
                if number == self._rule.max_pages:
                    break
        complete = page is not None and page.next_cursor is None
        self._rotation, self._pass_began = rotation, began
        self._truncated = not complete and number == self._rule.max_pages
        await self._end(complete=complete)
        return found

    async def read_one(self) -> None:
        """Read the page whose turn it is, and others if there may be new tasks on them."""
        if await self._read_one():
            await self._search()

    async def _read_one(self) -> bool:
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
            async with aclosing(self._pages(start)) as pages:
                async for page in pages:
                    new = await self._store_new(page)
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
        await self._end(complete=complete)
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

    async def _search(self) -> None:
        """Look for a new task on all pages; ever less often if there is none."""
        if await self.read_all():
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

    async def _end(self, *, complete: bool) -> None:
        await self._finished(RunEnd(self._pass_began if complete else None, self._truncated))

    def _stops_at_known(self) -> bool:
        """Return whether the run may stop at the first known task: a task new to the list is its
        newest.

        Not if a task can enter the list late, because its status or a filtered field has changed.
        """
        rule = self._rule
        return rule.list == "tasks" and all(
            value is None for value in (rule.status, rule.filters, rule.search, rule.sort)
        )
