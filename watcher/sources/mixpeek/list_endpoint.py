"""Asking for a thousand tasks a request: `POST /v1/tasks/list`, filtered by their IDs.

Nothing about that filter is taken on trust. An ID that a complete answer leaves out is `Unlisted`: it is to be asked
for alone before anything is concluded. A page that is refused is halved to find the ID at fault. Where IDs that are
known to be good are refused, where others come back than were asked for, or where the list leaves out everything that
exists, the filter is not used for ten minutes: the list is swept without it, status by status. A list that is not there
at all, or fails three times in a row, is left alone, and every task asked for by itself.
"""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from enum import Enum

import anyio
import anyio.lowlevel

from watcher.core.errors import SourceError, SourceFailure
from watcher.core.tasks import (
    RUNNING_STATUSES,
    SLOW_STATUSES,
    TERMINAL_STATUSES,
    Answer,
    NotInPage,
    Observation,
)
from watcher.net.exchange import Reply
from watcher.sources.mixpeek.connection import Call, Connection
from watcher.sources.mixpeek.decoding import Page, finished, observation
from watcher.sources.mixpeek.pagination import (
    PAGE_SIZE,
    PageTooLargeError,
    Query,
    RefusedError,
    Send,
    read_pages,
)

logger = logging.getLogger(__name__)

LIST_TASKS = "POST /v1/tasks/list"
LIST_TASKS_PATH = "/v1/tasks/list"
TRY_AGAIN_AFTER = 600.0
"""Seconds that a list which was caught at something is not trusted."""
FAILING_FOR = 60.0
"""Seconds that a list which keeps failing is left alone."""

_SWEEP_PLACES = 100_000
_FAILURES = 3
_NOT_THERE = frozenset({403, 404, 405, 501})
_AFFORDABLE = 30  # tasks left over by a sweep that are rather asked one by one than by reading the finished ones too
_BLANK_PAGE = 3
_CULPRITS = 10_000
_SLICE = 100
_HOLD = 0.01  # seconds that decoding may keep others waiting
_RUNNING = sorted(RUNNING_STATUSES)
_OTHERS = (*sorted(TERMINAL_STATUSES), *sorted(SLOW_STATUSES))


class FilterState(Enum):
    """What the list is good for."""

    FILTER = "asked for the tasks that are due"
    SWEEP = "read as a whole, since its filter does not work"
    NONE = "left alone"


class Listing:
    """Implements `watcher.core.interfaces.source.Endpoint`, many tasks a request."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._connection = connection
        self._source = source
        self._trust = FilterState.FILTER
        self._doubted_until = 0.0
        self._warned = False
        self._failures = 0
        self._good: str | None = None
        self._rejected_ids: set[str] = set()
        self._refused_statuses: set[str] = set()
        self._blank: set[str] = set()
        self._found_outside = 0

    @property
    def trust(self) -> FilterState:
        """What the list is good for now."""
        if self._trust is not FilterState.FILTER and anyio.current_time() >= self._doubted_until:
            self._trust = FilterState.FILTER
        return self._trust

    @property
    def places(self) -> int:
        return {
            FilterState.FILTER: PAGE_SIZE,
            FilterState.SWEEP: _SWEEP_PLACES,
            FilterState.NONE: 0,
        }[self.trust]

    def wait(self) -> float:
        return self._connection.wait(LIST_TASKS)

    async def admit(self) -> None:
        await self._connection.admit(LIST_TASKS)

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        left = set(task_ids)
        reserved = _Reserved(self._connection)
        send = reserved.send
        try:
            if self.trust is not FilterState.SWEEP:
                async for answers in self._ask(task_ids, left, send):
                    yield answers
            if left and self.trust is FilterState.SWEEP:  # perhaps found out just now
                async for answers in self._sweep(left, send):
                    yield answers
        except SourceError as error:
            self._failed(error)
            raise
        finally:
            reserved.withdraw()
        self._failures = 0
        if left:
            yield [NotInPage(task_id=task_id) for task_id in left]

    # What others learnt

    def shown_alone(self, task_id: str) -> None:
        """Note that a question about this task alone found it."""
        if self._good is None:
            self._good = task_id
        if task_id in self._blank:
            self._blank.discard(task_id)
            self._found_outside += 1
            if self._found_outside >= _BLANK_PAGE:
                self._doubt(FilterState.SWEEP, "it leaves out tasks that exist")

    def recovered(self) -> None:
        """Note that upstream answers again: that the list failed was no fault of its own."""
        if self._trust is FilterState.NONE and self._failures:
            self._failures = 0
            self._trust = FilterState.FILTER

    # With the filter

    async def _ask(
        self, task_ids: Sequence[str], left: set[str], send: Send
    ) -> AsyncIterator[Sequence[Answer]]:
        """Ask by ID; whoever is answered for is taken out of `left`."""
        parts = [[*task_ids]]
        if self._rejected_ids:
            parts = [[task_id for task_id in task_ids if task_id not in self._rejected_ids]]
        inquest = _Bisection()
        while parts and self.trust is FilterState.FILTER:
            if not (part := parts.pop()):
                continue
            try:
                async for answers in self._filtered(part, left, send):
                    yield answers
            except PageTooLargeError as error:
                parts += inquest.narrowed(part, error)
            except RefusedError as refused:
                await self._inquire(part, refused, inquest, send)
                parts += inquest.narrowed(part, refused)
        if self.trust is FilterState.FILTER:
            self._exclude(inquest.suspects)

    def _exclude(self, suspects: Mapping[str, SourceError]) -> None:
        if len(self._rejected_ids) + len(suspects) > _CULPRITS:
            self._rejected_ids.clear()
        for task_id, why in suspects.items():
            logger.warning(
                "source %r: the list refuses %r (%s); it is asked for alone",
                self._source,
                task_id,
                why,
            )
            self._rejected_ids.add(task_id)

    async def _inquire(
        self, part: list[str], refused: RefusedError, inquest: "_Bisection", send: Send
    ) -> None:
        """Find out whether it is the filter that is at fault, or an ID."""
        if refused.status in _NOT_THERE:
            self._doubt(FilterState.NONE, str(refused))
        elif not inquest.filter_tried and not await self._takes_good_ids(part, send):
            self._doubt(FilterState.SWEEP, f"it refuses IDs that are good ({refused})")
        elif len(part) == 1 and inquest.suspects and self._good is None:
            self._doubt(FilterState.SWEEP, f"it refuses whatever it is asked for ({refused})")
        inquest.filter_tried = True

    async def _filtered(
        self, part: Sequence[str], left: set[str], send: Send
    ) -> AsyncIterator[Sequence[Answer]]:
        shown = 0
        async for seen in self._observations(_by_id(part), send):
            answers = _crossed_off(seen, left)
            if len(answers) < len(seen) and _unrequested_ids(seen, part):
                self._doubt(FilterState.SWEEP, "it shows other tasks than it was asked for")
            shown += len(answers)
            if answers:
                self._good = answers[-1].task_id
                yield answers
            if shown == len(part) or self.trust is not FilterState.FILTER:
                break
        if shown:
            self._blank.clear()
            self._found_outside = 0
            self._works()
        elif self.trust is FilterState.FILTER:
            self._blank = set(part)

    async def _takes_good_ids(self, part: Sequence[str], send: Send) -> bool:
        """Return whether the filter takes an ID that was shown before; True where none is known that would tell."""
        if self._good is None or self._good in part:
            return True
        try:
            async for _ in self._observations(_by_id([self._good]), send):
                break
        except RefusedError:
            return False
        return True

    # Without the filter

    async def _sweep(self, left: set[str], send: Send) -> AsyncIterator[Sequence[Answer]]:
        for number, status in enumerate((*_RUNNING, *_OTHERS)):
            if not left or (number >= len(_RUNNING) and len(left) <= _AFFORDABLE):
                return
            if status in self._refused_statuses:
                continue
            query = Query(route=LIST_TASKS, path=LIST_TASKS_PATH, body={"status": status})
            try:
                async for seen in self._observations(query, send):
                    yield _crossed_off(seen, left)
                    if not left:
                        return
            except RefusedError as refused:
                if refused.status in _NOT_THERE:
                    self._doubt(FilterState.NONE, str(refused))
                    return
                self._refused_statuses.add(
                    status
                )  # not every version of the API knows every status

    # Both

    async def _observations(self, query: Query, send: Send) -> AsyncIterator[Sequence[Observation]]:
        """Yield what a list shows, without keeping others waiting while much of it is decoded."""
        async for page, _ in read_pages(send, query, self._connection.refusal):
            yield await decoded(page)

    def _doubt(self, trust: FilterState, why: str) -> None:
        if not self._warned:
            logger.warning(
                "source %r: %s will be %s: %s", self._source, LIST_TASKS, trust.value, why
            )
        self._warned = True
        self._trust = trust
        self._doubted_until = anyio.current_time() + TRY_AGAIN_AFTER
        self._blank.clear()
        self._found_outside = 0

    def _works(self) -> None:
        if self._warned and self.trust is FilterState.FILTER:
            self._warned = False
            logger.info(
                "source %r: %s is %s again", self._source, LIST_TASKS, FilterState.FILTER.value
            )

    def _failed(self, error: SourceError) -> None:
        if error.reason in (SourceFailure.RATE_LIMITED, SourceFailure.UNAUTHORIZED):
            return
        self._failures += 1
        if self._failures >= _FAILURES:
            self._trust = FilterState.NONE
            self._doubted_until = anyio.current_time() + FAILING_FOR


class _Bisection:
    """What is known so far about a refusal: `suspects` were refused alone, and why."""

    def __init__(self) -> None:
        self.filter_tried = False
        self.suspects: dict[str, SourceError] = {}

    def narrowed(self, part: list[str], why: SourceError) -> list[list[str]]:
        """Return the halves of a part that could not be had; one ID alone is a suspect."""
        if len(part) == 1:
            self.suspects[part[0]] = why
            return []
        middle = len(part) // 2
        return [part[middle:], part[:middle]]


class _Reserved:
    """Sends the first request on the reservation that `admit` made, and waits for the budget with each that follows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reserved = True

    async def send(self, call: Call) -> Reply:
        if not self._reserved:
            return await self._connection.request(call)
        self._reserved = False
        return await self._connection.send(call)

    def withdraw(self) -> None:
        """Give the reservation back where nothing was sent."""
        if self._reserved:
            self._reserved = False
            self._connection.withdraw(LIST_TASKS)


async def decoded(page: Page) -> Sequence[Observation]:
    """Return the tasks of a page that can be read."""
    await anyio.lowlevel.checkpoint()
    if page.tasks is not None:
        return finished(page.tasks, page.body)
    seen: list[Observation] = []
    began = time.perf_counter()
    items = page.items()
    for start in range(0, len(items), _SLICE):
        found = map(observation, items[start : start + _SLICE])
        seen += [one for one in found if isinstance(one, Observation)]
        if time.perf_counter() - began > _HOLD:
            await anyio.lowlevel.checkpoint()
            began = time.perf_counter()
    return seen


def _by_id(task_ids: Sequence[str]) -> Query:
    body = {"filters": {"AND": [{"field": "task_id", "operator": "in", "value": task_ids}]}}
    return Query(route=LIST_TASKS, path=LIST_TASKS_PATH, body=body)


def _crossed_off(seen: Sequence[Observation], left: set[str]) -> Sequence[Observation]:
    """Return those of `seen` that are `left`, each once, and take them out of it."""
    answers = [one for one in seen if one.task_id in left]
    left.difference_update([one.task_id for one in answers])
    return (
        answers
        if len(answers) == len(seen)
        else list({one.task_id: one for one in answers}.values())
    )


def _unrequested_ids(seen: Iterable[Observation], asked: Iterable[str]) -> set[str]:
    """Return the IDs that nobody asked for; in another case of letters it is the same ID, as the API compares."""
    return {one.task_id.casefold() for one in seen} - {task_id.casefold() for task_id in asked}
