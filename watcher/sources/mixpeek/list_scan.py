"""Reading the list of tasks without the task ID filter, status by status."""

from collections.abc import AsyncIterator, Sequence

from watcher.core.tasks import (
    RUNNING_STATUSES,
    SLOW_STATUSES,
    TERMINAL_STATUSES,
    Observation,
    Shown,
)
from watcher.sources.mixpeek.connection import Connection
from watcher.sources.mixpeek.page_decoding import observations
from watcher.sources.mixpeek.pagination import (
    PAGE_SIZE,
    PageTooLargeError,
    RejectedError,
    Send,
    read_pages,
    task_query,
)
from watcher.sources.mixpeek.task_decoding import TaskDecoder

_FEW_TASKS = 30
"""A scan reads the finished tasks, too, only for more remaining tasks than this; fewer are polled
individually.
"""
_MAX_PAGES = 30
"""Pages of one scan, and one more for every thousand tasks that it looks for."""
_SMALLEST_PAGE = 50
_RUNNING = sorted(RUNNING_STATUSES)
_STATUSES = (*_RUNNING, *sorted(TERMINAL_STATUSES), *sorted(SLOW_STATUSES))
_STATUS_REJECTED = frozenset({400, 422})


class ListScan:
    """Scans the list of one source."""

    def __init__(self, connection: Connection, decoder: TaskDecoder) -> None:
        self._connection = connection
        self._decoder = decoder
        self._unknown_statuses: set[str] = set()
        self._page_size = PAGE_SIZE

    async def read(self, remaining: set[str], send: Send) -> AsyncIterator[Sequence[Shown]]:
        """Yield pages of tasks until none remains or the list ends.

        The caller takes answered tasks out of `remaining`. Raises `RejectedError` if the list knows
        no status at all.
        """
        pages_left = _MAX_PAGES + len(remaining) // PAGE_SIZE
        for number, status in enumerate(_STATUSES):
            few = len(remaining) <= (_FEW_TASKS if number >= len(_RUNNING) else 0)
            if few or not pages_left:
                return
            if status in self._unknown_statuses:
                continue
            unfiltered = False
            try:
                async for tasks in self._pages(status, pages_left, send):
                    pages_left -= 1
                    unfiltered = unfiltered or _has_other_status(tasks, status)
                    yield tasks
                    if not remaining:
                        return
            except RejectedError as error:
                self._note_rejection(status, error)
            if unfiltered:
                return  # every other status would show the same tasks

    def _note_rejection(self, status: str, error: RejectedError) -> None:
        """Not every version of the API knows every status."""
        if not error.by_api or error.status not in _STATUS_REJECTED:
            raise error
        self._unknown_statuses.add(status)
        if self._unknown_statuses.issuperset(_RUNNING):
            self._unknown_statuses.clear()
            raise error

    async def _pages(
        self, status: str, max_pages: int, send: Send
    ) -> AsyncIterator[Sequence[Shown]]:
        query = task_query({"status": status}, size=self._page_size)
        try:
            async for page in read_pages(send, query, self._connection.error, max_pages):
                yield await observations(page, self._decoder)
        except PageTooLargeError:
            self._page_size = max(self._page_size // 2, _SMALLEST_PAGE)
            raise


def _has_other_status(tasks: Sequence[Shown], status: str) -> bool:
    return any(isinstance(task, Observation) and task.status != status for task in tasks)
