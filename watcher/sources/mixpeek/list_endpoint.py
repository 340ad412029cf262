"""Polling up to a thousand tasks per request: `POST /v1/tasks/list`, filtered by task ID.

A task that a complete answer omits is `NotInPage`: it is polled individually before anything is
concluded. A request that is rejected is bisected to find the ID that causes it; that ID is polled
individually from then on. `list_health` decides whether the filter can be used at all.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence

from watcher.core.errors import SourceError
from watcher.core.tasks import (
    RUNNING_STATUSES,
    SLOW_STATUSES,
    TERMINAL_STATUSES,
    Answer,
    NotInPage,
    Shown,
)
from watcher.sources.mixpeek.bisection import Bisection
from watcher.sources.mixpeek.connection import Connection, Reservation
from watcher.sources.mixpeek.list_health import FilterState, ListHealth
from watcher.sources.mixpeek.page_decoding import observations
from watcher.sources.mixpeek.pagination import (
    LIST_TASKS,
    PAGE_SIZE,
    PageTooLargeError,
    Query,
    RejectedError,
    Send,
    read_pages,
    task_query,
)
from watcher.sources.mixpeek.task_decoding import TaskDecoder

logger = logging.getLogger(__name__)

_CAPACITIES = {
    FilterState.WORKING: PAGE_SIZE,
    FilterState.SCAN_ALL: 100_000,
    FilterState.UNAVAILABLE: 0,
}
_UNAVAILABLE_STATUSES = frozenset({403, 404, 405, 501})
_MAX_REJECTED_IDS = 10_000
# A scan reads the finished tasks, too, only for more remaining tasks than this; fewer are polled
# individually.
_FEW_TASKS = 30
_RUNNING = sorted(RUNNING_STATUSES)
_NOT_RUNNING = (*sorted(TERMINAL_STATUSES), *sorted(SLOW_STATUSES))


class ListEndpoint:
    """Implements `watcher.core.interfaces.source.Endpoint`, many tasks per request.

    In all methods `remaining` is the set of tasks without an answer so far; answering removes them.
    """

    def __init__(
        self, connection: Connection, source: str, health: ListHealth, decoder: TaskDecoder
    ) -> None:
        self._connection = connection
        self._decoder = decoder
        self._source = source
        self._health = health
        self._rejected_ids: set[str] = set()
        self._unknown_statuses: set[str] = set()

    @property
    def capacity(self) -> int:
        return _CAPACITIES[self._health.state]

    def wait(self) -> float:
        return self._connection.wait(LIST_TASKS)

    async def admit(self) -> None:
        await self._connection.admit(LIST_TASKS)

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        remaining = set(task_ids)
        with Reservation(self._connection, LIST_TASKS) as reservation:
            try:
                if self._health.state is not FilterState.SCAN_ALL:
                    async for answers in self._poll_by_id(task_ids, remaining, reservation.send):
                        yield answers
                # The request by ID may have changed the state.
                if remaining and self._health.state is FilterState.SCAN_ALL:
                    async for answers in self._scan_all(remaining, reservation.send):
                        yield answers
            except SourceError as error:
                self._health.fetch_failed(error)
                raise
        self._health.fetch_succeeded()
        if remaining:
            yield [NotInPage(task_id=task_id) for task_id in task_ids if task_id in remaining]

    # With the filter

    async def _poll_by_id(
        self, task_ids: Sequence[str], remaining: set[str], send: Send
    ) -> AsyncIterator[Sequence[Answer]]:
        if self._rejected_ids:
            task_ids = [task_id for task_id in task_ids if task_id not in self._rejected_ids]
        bisection = Bisection(task_ids)
        filter_checked = False
        while self._health.state is FilterState.WORKING and (chunk := bisection.next_chunk()):
            try:
                async for answers in self._poll_chunk(chunk, remaining, send):
                    yield answers
            except PageTooLargeError as error:
                bisection.split(chunk, error)
            except RejectedError as error:
                check_filter, filter_checked = not filter_checked, True
                await self._diagnose_rejection(chunk, error, bisection, check_filter, send)
                bisection.split(chunk, error)
        if self._health.state is FilterState.WORKING:
            self._exclude(bisection.rejected)

    async def _poll_chunk(
        self, chunk: Sequence[str], remaining: set[str], send: Send
    ) -> AsyncIterator[Sequence[Answer]]:
        answered = 0
        async for tasks in self._tasks(_id_query(chunk), send):
            answers = _take_answers(tasks, remaining)
            if len(answers) < len(tasks) and _unrequested_ids(tasks, chunk):
                self._health.degrade(
                    FilterState.SCAN_ALL, "it returns tasks that were not requested"
                )
            answered += len(answers)
            if answers:
                self._health.known_id = answers[-1].task_id
                yield answers
            if answered == len(chunk) or self._health.state is not FilterState.WORKING:
                break
        if answered:
            self._health.filter_worked()
        else:
            self._health.filter_returned_nothing(chunk)

    async def _diagnose_rejection(
        self,
        chunk: Sequence[str],
        error: RejectedError,
        bisection: Bisection,
        check_filter: bool,
        send: Send,
    ) -> None:
        """Degrade the list where the rejection is not caused by an ID of `chunk`."""
        if error.status in _UNAVAILABLE_STATUSES:
            self._health.degrade(FilterState.UNAVAILABLE, str(error))
        elif check_filter and not await self._accepts_known_id(chunk, send):
            self._health.degrade(FilterState.SCAN_ALL, f"it rejects valid IDs ({error})")
        elif len(chunk) == 1 and bisection.rejected and self._health.known_id is None:
            self._health.degrade(FilterState.SCAN_ALL, f"it rejects every request ({error})")

    async def _accepts_known_id(self, chunk: Sequence[str], send: Send) -> bool:
        """Return whether the filter accepts an ID outside `chunk`; True where none is known."""
        known_id = self._health.known_id
        if known_id is None or known_id in chunk:
            return True
        try:
            async for _ in self._tasks(_id_query([known_id]), send):
                break
        except RejectedError:
            return False
        return True

    def _exclude(self, rejected: Mapping[str, SourceError]) -> None:
        if len(self._rejected_ids) + len(rejected) > _MAX_REJECTED_IDS:
            self._rejected_ids.clear()
        for task_id, error in rejected.items():
            logger.warning(
                "source %r: the list rejects task ID %r (%s); polling it individually",
                self._source,
                task_id,
                error,
            )
            self._rejected_ids.add(task_id)

    # Without the filter

    async def _scan_all(self, remaining: set[str], send: Send) -> AsyncIterator[Sequence[Answer]]:
        for number, status in enumerate((*_RUNNING, *_NOT_RUNNING)):
            if not remaining or (number >= len(_RUNNING) and len(remaining) <= _FEW_TASKS):
                return
            if status in self._unknown_statuses:
                continue
            try:
                async for tasks in self._tasks(task_query({"status": status}), send):
                    yield _take_answers(tasks, remaining)
                    if not remaining:
                        return
            except RejectedError as error:
                if error.status in _UNAVAILABLE_STATUSES:
                    self._health.degrade(FilterState.UNAVAILABLE, str(error))
                    return
                # Not every version of the API knows every status.
                self._unknown_statuses.add(status)

    async def _tasks(self, query: Query, send: Send) -> AsyncIterator[Sequence[Shown]]:
        async for page, _ in read_pages(send, query, self._connection.error):
            yield await observations(page, self._decoder)


def _id_query(task_ids: Sequence[str]) -> Query:
    condition = {"field": "task_id", "operator": "in", "value": task_ids}
    return task_query({"filters": {"AND": [condition]}})


def _take_answers(tasks: Sequence[Shown], remaining: set[str]) -> Sequence[Shown]:
    """Return those of `tasks` that are in `remaining`, each once, and remove them from it."""
    answers = [task for task in tasks if task.task_id in remaining]
    remaining.difference_update([task.task_id for task in answers])
    if len(answers) == len(tasks):
        return answers
    return list({task.task_id: task for task in answers}.values())


def _unrequested_ids(tasks: Iterable[Shown], task_ids: Iterable[str]) -> set[str]:
    """Return the IDs that were not requested, compared as the API does: ignoring case."""
    requested = {task_id.casefold() for task_id in task_ids}
    return {task.task_id.casefold() for task in tasks} - requested
