"""Polling up to a thousand tasks per request: `POST /v1/tasks/list`, filtered by task ID.

A task that a complete answer omits is `NotInPage`: it is polled individually before anything is
concluded. Where a request fails that a smaller one might not, `bisection` finds out which IDs cause
it, or how many are too many. `list_health` decides whether the filter can be used at all.
"""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

import anyio

from watcher.core.errors import SourceError
from watcher.core.tasks import Answer, NotInPage, Observation, Shown
from watcher.sources.mixpeek.bisection import FEW_OMITTED, Bisection, Part
from watcher.sources.mixpeek.excluded_ids import ExcludedIds
from watcher.sources.mixpeek.get_endpoint import GetEndpoint
from watcher.sources.mixpeek.list_diagnosis import WHOLE_SOURCE, ListDiagnosis
from watcher.sources.mixpeek.list_health import FilterState, ListHealth
from watcher.sources.mixpeek.list_scan import ListScan
from watcher.sources.mixpeek.list_share import ListShare, ReservedRequests
from watcher.sources.mixpeek.page_decoding import observations
from watcher.sources.mixpeek.page_limit import PageLimit
from watcher.sources.mixpeek.pagination import (
    LIST_TASKS,
    RejectedError,
    Send,
    id_query,
    read_pages,
)

_SCAN_CAPACITY = 100_000
_RECHECK_SIZE = 20
"""Task IDs of the request that tries a list in doubt: more tasks would wait for it in vain."""
_FEW_TASKS = 30
"""So many tasks are polled individually at once if the list is unavailable."""
_ITEMS_PER_PAGE = 50
"""A list with fewer items per page is not read to its end: a GET costs hardly more."""
_MORE_PAGES = 2
_MAX_REQUESTS = 60
"""Requests of one fetch; what is left then is polled individually."""
_SAMPLE = 3
_SAMPLE_WAIT = 5.0
"""Seconds that a sample may wait for the budget of GET."""


class ListEndpoint:
    """Implements `watcher.core.interfaces.source.Endpoint`, many tasks per request.

    In all methods `remaining` is the set of tasks without an answer so far; answering removes them.
    """

    def __init__(
        self, single: GetEndpoint, source: str, health: ListHealth, share: ListShare
    ) -> None:
        self._single = single
        self._connection, self._decoder = single.connection, single.decoder
        self._health = health
        self._share = share
        self._scan = ListScan(self._connection, self._decoder)
        self._limit = PageLimit(anyio.current_time)
        self._excluded = ExcludedIds(source, anyio.current_time)
        self._rechecking = False
        self._bisections: set[Bisection] = set()
        self._diagnosis = ListDiagnosis(self._connection, health)

    @property
    def capacity(self) -> int:
        if self._health.state is FilterState.WORKING:
            if self._health.in_doubt:
                return 0 if self._rechecking else min(self._limit.size, _RECHECK_SIZE)
            return self._limit.size
        return _SCAN_CAPACITY if self._health.state is FilterState.SCAN_ALL else 0

    def requests_for(self, tasks: int) -> int:
        if self._health.state is not FilterState.WORKING or self._health.in_doubt:
            return 0
        if self._bisections:
            return 0  # finding out what fails comes first
        return math.ceil(tasks / self._limit.works) if self._connection.limited(LIST_TASKS) else 0

    def wait(self) -> float:
        return self._connection.wait(LIST_TASKS)

    async def admit(self) -> None:
        with self._share.polling():
            await self._connection.admit(LIST_TASKS)

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        began = anyio.current_time()
        remaining = set(task_ids)
        rechecks = self._health.in_doubt and self._health.state is FilterState.WORKING
        self._rechecking = self._rechecking or rechecks
        try:
            with ReservedRequests(self._connection, LIST_TASKS, self._share) as requests:
                async for answers in self._poll(task_ids, remaining, requests.send):
                    yield answers
        except SourceError as error:
            self._health.fetch_failed(error, began)
            if rechecks and not self._single.failing:
                yield _not_in_page(task_ids, remaining)
            raise
        finally:
            self._rechecking = self._rechecking and not rechecks
        if self._health.state is not FilterState.UNAVAILABLE:
            self._health.fetch_succeeded()
        elif len(remaining) > _FEW_TASKS:
            return  # what has no answer is polled again, by whichever endpoint works then
        if remaining:
            yield _not_in_page(task_ids, remaining)

    async def _poll(
        self, task_ids: Sequence[str], remaining: set[str], send: Send
    ) -> AsyncIterator[Sequence[Answer]]:
        if self._health.state is not FilterState.SCAN_ALL:
            async for answers in self._poll_by_id(task_ids, remaining, send):
                yield answers
        # The request by ID may have changed the state.
        if remaining and self._health.state is FilterState.SCAN_ALL:
            async for observed in self._scan_all(remaining, send):
                yield observed

    # With the filter

    async def _poll_by_id(
        self, task_ids: Sequence[str], remaining: set[str], send: Send
    ) -> AsyncIterator[Sequence[Answer]]:
        excluded = self._excluded.among(task_ids)
        if excluded:
            if (task_id := self._excluded.due(excluded)) is not None:
                async for answers in self._retry_excluded(task_id, remaining, send):
                    yield answers
            yield _not_in_page(excluded, remaining)
            remaining.difference_update(excluded)
            task_ids = [task_id for task_id in task_ids if task_id in remaining]
        bisection = Bisection(task_ids, self._limit)
        self._limit.requested(len(task_ids))
        try:
            async for answers in self._poll_parts(bisection, remaining, send):
                yield answers
        finally:
            self._bisections.discard(bisection)
            if self._health.state is FilterState.WORKING:
                for task_id, error in bisection.rejected.items():
                    self._excluded.exclude(task_id, error)

    async def _poll_parts(
        self, bisection: Bisection, remaining: set[str], send: Send
    ) -> AsyncIterator[Sequence[Answer]]:
        while self._health.state is FilterState.WORKING and bisection.requests < _MAX_REQUESTS:
            if (part := bisection.next_part()) is None:
                return
            try:
                async for answers in self._poll_part(part, remaining, send):
                    yield answers
            except SourceError as error:
                await self._diagnosis.diagnose(part.ids, error, bisection, send)
                bisection.failed(part, error, remaining)
                self._bisections.add(bisection)
            else:
                async for answers in self._judge_omissions(part, bisection, remaining):
                    yield answers

    async def _poll_part(
        self, part: Part, remaining: set[str], send: Send
    ) -> AsyncIterator[Sequence[Answer]]:
        answered, task_ids = 0, part.ids
        max_pages = math.ceil(len(task_ids) / _ITEMS_PER_PAGE) + _MORE_PAGES
        query = id_query(task_ids)
        async for page in read_pages(send, query, self._connection.error, max_pages):
            tasks = await observations(page, self._decoder)
            answers = _take_answers(tasks, remaining)
            if len(answers) < len(tasks) and _unrequested_ids(tasks, task_ids):
                self._health.degrade(
                    FilterState.SCAN_ALL, "it returns tasks that were not requested"
                )
            if answered and answers and not part.first_page:
                part.first_page = answered
            answered += len(answers)
            if answers:
                self._health.known_id = answers[-1].task_id
                yield answers
            if answered == len(task_ids) or self._health.state is not FilterState.WORKING:
                break

    async def _judge_omissions(
        self, part: Part, bisection: Bisection, remaining: set[str]
    ) -> AsyncIterator[Sequence[Answer]]:
        """Note what the list answered; poll a sample of the IDs if it answered for none of many."""
        omitted = [task_id for task_id in part.ids if task_id in remaining] if remaining else []
        bisection.answered(part, omitted)
        if len(omitted) < len(part.ids):
            self._health.filter_worked()
            return
        self._health.filter_returned_nothing(omitted)
        if len(omitted) <= FEW_OMITTED:
            return
        found = 0
        for task_id in omitted[:: len(omitted) // _SAMPLE][:_SAMPLE]:
            if found and (self._health.in_doubt or found > 1):
                self._health.degrade(FilterState.SCAN_ALL, "it omits tasks that exist")
                return
            if (answer := await self._observed_by_get(task_id)) is not None:
                found += 1
                remaining.discard(task_id)
                yield [answer]

    async def _observed_by_get(self, task_id: str) -> Observation | None:
        try:
            answer = await self._single.sample(task_id, _SAMPLE_WAIT)
        except SourceError:
            return None  # it says nothing about the list
        return answer if isinstance(answer, Observation) else None

    async def _retry_excluded(
        self, task_id: str, remaining: set[str], send: Send
    ) -> AsyncIterator[Sequence[Answer]]:
        try:
            async for answers in self._poll_part(Part([task_id]), remaining, send):
                yield answers
        except SourceError as error:
            if error.reason in WHOLE_SOURCE:
                raise
            self._excluded.exclude(task_id, error)
        else:
            self._excluded.include(task_id)

    # Without the filter

    async def _scan_all(self, remaining: set[str], send: Send) -> AsyncIterator[Sequence[Shown]]:
        try:
            async for tasks in self._scan.read(remaining, send):
                yield _take_answers(tasks, remaining)
        except RejectedError as error:
            if not error.by_api:
                raise
            self._health.degrade(FilterState.UNAVAILABLE, str(error))


def _not_in_page(task_ids: Iterable[str], remaining: set[str]) -> Sequence[NotInPage]:
    return [NotInPage(task_id=task_id) for task_id in task_ids if task_id in remaining]


def _take_answers(tasks: Sequence[Shown], remaining: set[str]) -> Sequence[Shown]:
    """Return those of `tasks` that are in `remaining`, each once, and remove them from it."""
    by_id = {task.task_id: task for task in tasks}
    if len(by_id) == len(tasks) and remaining.issuperset(by_id):  # the usual case
        remaining.difference_update(by_id)
        return tasks
    answers = {task_id: task for task_id, task in by_id.items() if task_id in remaining}
    remaining.difference_update(answers)
    return list(answers.values())


def _unrequested_ids(tasks: Iterable[Shown], task_ids: Iterable[str]) -> set[str]:
    """Return the IDs that were not requested, compared as the API does: ignoring case."""
    requested = {task_id.casefold() for task_id in task_ids}
    return {task.task_id.casefold() for task in tasks} - requested
