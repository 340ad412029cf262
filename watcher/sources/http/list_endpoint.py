"""Polling many tasks per request: by their IDs, or from a list with the newest first."""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

import anyio

from watcher.core.errors import SourceError, SourceFailure
from watcher.core.tasks import Answer, NotInPage, Shown
from watcher.net.exchange import Reply
from watcher.sources._calls import Call
from watcher.sources._connection import Connection
from watcher.sources._errors import protocol_error
from watcher.sources.http.list_health import ListHealth
from watcher.sources.http.pages import Page, PageDecoder
from watcher.sources.http.requests import PAGE_BYTES, ListRequests, Position

_MOST_TASKS = 100_000
_MOST_BEYOND = 100_000
_MOST_REQUESTS = 20
"""Requests of one fetch by IDs that looks for the ID that is rejected."""


class ListReader:
    """Reads the pages of a source's list, each request within the budget."""

    def __init__(self, connection: Connection, requests: ListRequests, pages: PageDecoder) -> None:
        self.connection = connection
        self.requests = requests
        self._pages = pages

    async def read(
        self,
        most: int,
        task_ids: Sequence[str] = (),
        *,
        start: Position = Position(),  # noqa: B008  # frozen
        reserved: bool = False,
    ) -> AsyncIterator[tuple[Page, Position | None]]:
        """Yield at most `most` pages from `start` on, each with the position of the next.

        `reserved` says that the first request has been admitted. Raises `SourceError`.
        """
        position: Position | None = start
        while position is not None and most > 0:
            call = self.requests.call(position, task_ids)
            page, reply = await self._page(call, reserved)
            following = self.requests.after(position, page, reply)
            yield page, following
            position, reserved, most = following, False, most - 1

    async def _page(self, call: Call, reserved: bool) -> tuple[Page, Reply]:
        connection = self.connection
        reply = await (connection.send(call) if reserved else connection.request(call))
        if not 200 <= reply.status < 300:
            raise connection.error(reply)
        if reply.truncated:
            raise protocol_error(f"a page is longer than {PAGE_BYTES >> 20} MiB")
        return await self._pages.read(reply), reply


class NewestFirst:
    """Implements `watcher.core.interfaces.source.Endpoint`: reads pages until all tasks are seen.

    One fetch runs at a time: it holds all tasks that are due. `most` is how many pages it reads. A
    task beyond them is polled individually, and nothing is read for its sake again.
    """

    def __init__(self, reader: ListReader, health: ListHealth, most: int) -> None:
        self._reader = reader
        self._health = health
        self._most = most
        self._turn = anyio.Semaphore(1)
        self._pages_needed = 1
        self._beyond: dict[str, None] = {}

    @property
    def capacity(self) -> int:
        return _MOST_TASKS if self._health.works else 0

    def requests_for(self, tasks: int) -> int:
        limited = self._reader.connection.limited(self._reader.requests.route)
        return self._pages_needed if limited and self._health.works else 0

    def wait(self) -> float:
        return self._reader.connection.wait(self._reader.requests.route)

    async def admit(self) -> None:
        await self._turn.acquire()
        try:
            await self._reader.connection.admit(self._reader.requests.route)
        except BaseException:
            self._turn.release()
            raise

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        remaining = set(task_ids)
        try:
            if remaining <= self._beyond.keys():
                self._reader.connection.withdraw(self._reader.requests.route)
            else:
                async for answers in self._read(remaining):
                    yield answers
        except SourceError as error:
            self._health.failed(error)
            raise
        finally:
            self._turn.release()
        if remaining:
            self._note_beyond(remaining)
            yield [NotInPage(task_id=task_id) for task_id in task_ids if task_id in remaining]

    async def _read(self, remaining: set[str]) -> AsyncIterator[Sequence[Shown]]:
        pages = 0
        async for page, _ in self._reader.read(self._most, reserved=True):
            pages += 1
            answers = take_answers(page.tasks, remaining)
            for answer in answers:
                self._beyond.pop(answer.task_id, None)
            if answers:
                yield answers
            if remaining <= self._beyond.keys():
                break
        self._pages_needed = pages
        self._health.succeeded()

    def _note_beyond(self, task_ids: Iterable[str]) -> None:
        self._beyond |= dict.fromkeys(task_ids)
        while len(self._beyond) > _MOST_BEYOND:
            del self._beyond[next(iter(self._beyond))]


class ByIds:
    """Implements `watcher.core.interfaces.source.Endpoint`: requests tasks by their IDs.

    An ID for which the API rejects the request is polled individually from then on.
    """

    def __init__(self, reader: ListReader, health: ListHealth, pages: int, most_ids: int) -> None:
        self._reader = reader
        self._health = health
        self._pages = pages
        self._most_ids = most_ids
        self._rejected: set[str] = set()

    @property
    def capacity(self) -> int:
        return self._most_ids if self._health.works else 0

    def requests_for(self, tasks: int) -> int:
        limited = self._reader.connection.limited(self._reader.requests.route)
        return math.ceil(tasks / self._most_ids) if limited and self._health.works else 0

    def wait(self) -> float:
        return self._reader.connection.wait(self._reader.requests.route)

    async def admit(self) -> None:
        await self._reader.connection.admit(self._reader.requests.route)

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        remaining = set(task_ids)
        parts = [[task_id for task_id in task_ids if task_id not in self._rejected]]
        reserved, requests = True, 0
        if not parts[0]:
            self._reader.connection.withdraw(self._reader.requests.route)
            parts = []
        while parts:
            part = parts.pop()
            requests += 1
            try:
                async for answers in self._read(part, remaining, reserved):
                    yield answers
            except SourceError as error:
                if error.reason is not SourceFailure.REJECTED or requests >= _MOST_REQUESTS:
                    self._health.failed(error)
                    raise
                parts += self._halves(part)
            reserved = False
        self._health.succeeded()
        if remaining:
            yield [NotInPage(task_id=task_id) for task_id in task_ids if task_id in remaining]

    async def _read(
        self, part: Sequence[str], remaining: set[str], reserved: bool
    ) -> AsyncIterator[Sequence[Shown]]:
        async for page, _ in self._reader.read(self._pages, part, reserved=reserved):
            if answers := take_answers(page.tasks, remaining):
                yield answers
            if remaining.isdisjoint(part):
                return

    def _halves(self, part: list[str]) -> list[list[str]]:
        """Return the halves of a part that was rejected; one ID alone is excluded."""
        if len(part) == 1:
            self._rejected |= set(part) if len(self._rejected) < _MOST_BEYOND else set()
            return []
        middle = len(part) // 2
        return [part[middle:], part[:middle]]


def take_answers(tasks: Sequence[Shown], remaining: set[str]) -> Sequence[Shown]:
    """Return those of `tasks` that are in `remaining`, each once, and remove them from it."""
    answers = {task.task_id: task for task in tasks if task.task_id in remaining}
    remaining.difference_update(answers)
    return list(answers.values())
