"""Requesting only the changed ones of up to ten thousand tasks: `POST /v1/tasks/list`, filtered by
task ID and by a status other than the one last seen.

Nothing about the filter is taken on trust. Each list of IDs ends with a sentinel, a task in another
status: if the answer does not show it, although it exists, the list was cut. `changes_diagnosis`
decides what a request that does not work means. If the condition does not work, `changes_health`
has pages of all tasks requested instead.
"""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import anyio
import msgspec

from watcher.core.errors import IncompleteAnswerError, SourceError
from watcher.core.interfaces.source import LastSeen
from watcher.core.tasks import Shown
from watcher.net.exchange import Reply
from watcher.sources._calls import Call
from watcher.sources.mixpeek.changes_diagnosis import FEWEST_IDS, ChangesDiagnosis
from watcher.sources.mixpeek.changes_health import ChangesHealth
from watcher.sources.mixpeek.connection import Connection
from watcher.sources.mixpeek.get_endpoint import GetEndpoint
from watcher.sources.mixpeek.list_health import FilterState, ListHealth
from watcher.sources.mixpeek.list_share import ListShare, ReservedRequests
from watcher.sources.mixpeek.page_decoding import observations
from watcher.sources.mixpeek.page_limit import PageLimit
from watcher.sources.mixpeek.pagination import (
    LIST_TASKS,
    PAGE_SIZE,
    Query,
    Send,
    read_pages,
    task_query,
)
from watcher.sources.mixpeek.task_decoding import TaskDecoder

MOST_IDS = 10_000
"""Task IDs of one request: some 400 KB."""
_SLOW_SHARE = 0.5
"""Share of the timeout from which an answer is too slow."""
_MORE_PAGES = 20


class ChangesEndpoint:
    """Implements `watcher.core.interfaces.source.ChangesEndpoint`."""

    def __init__(
        self,
        connection: Connection,
        decoder: TaskDecoder,
        *,
        single: GetEndpoint,
        source: str,
        timeout: float,
        list_health: ListHealth,
        share: ListShare,
    ) -> None:
        self._connection = connection
        self._decoder = decoder
        self._slow_after = timeout * _SLOW_SHARE
        self._list_health = list_health
        self._share = share
        self._health = ChangesHealth(source)
        self._limit = PageLimit(anyio.current_time, MOST_IDS)
        self._diagnosis = ChangesDiagnosis(self._health, self._limit, single)

    @property
    def capacity(self) -> int:
        works = self._health.usable and self._list_health.state is FilterState.WORKING
        if not works or self._list_health.in_doubt:
            return 0
        return self._limit.works if self._health.in_doubt else self._limit.size

    @property
    def most_groups(self) -> int:
        return self._diagnosis.most_groups

    @property
    def size(self) -> int:
        return self._limit.works

    def restore(self, size: int) -> None:
        self._limit.restore(max(size, FEWEST_IDS))

    @property
    def spacing(self) -> float:
        return self._connection.spacing(LIST_TASKS)

    def join(self, task_ids: Sequence[str]) -> bytes:
        return msgspec.json.encode(task_ids)[1:-1]

    async def admit(self) -> None:
        with self._share.polling():
            await self._connection.admit(LIST_TASKS)

    def withdraw(self) -> None:
        self._connection.withdraw(LIST_TASKS)

    def distrust(self, reason: str) -> None:
        self._connection.give_back(LIST_TASKS)
        self._health.distrust(reason)

    async def fetch(self, groups: Sequence[LastSeen]) -> AsyncGenerator[Sequence[Shown], None]:
        count = sum(group.count for group in groups)
        missing = {group.sentinel for group in groups}
        answer = _TimedAnswer()
        with ReservedRequests(self._connection, LIST_TASKS, self._share) as requests:
            if suspect := self._diagnosis.suspect:
                alone = self._pages(suspect.alone, requests.send, 2)
                raise self._in_vain(await self._diagnosis.examined(suspect, alone))
            self._limit.requested(count)
            try:
                pages = math.ceil(count / PAGE_SIZE) + _MORE_PAGES
                async for tasks in self._pages(groups, answer.timed(requests.send), pages):
                    yield [task for task in tasks if task.task_id not in missing]
                    missing.difference_update([task.task_id for task in tasks])
            except SourceError as error:
                raise self._in_vain(self._diagnosis.failed(groups, error)) from None
        if missing:
            raise self._in_vain(await self._diagnosis.incomplete(groups, missing))
        self._diagnosis.answered(count, slow=answer.seconds > self._slow_after)

    def _in_vain(self, error: SourceError) -> SourceError:
        """Note that a request showed nothing, unless the source failed: pages do not go without
        it.
        """
        if isinstance(error, IncompleteAnswerError):
            self._connection.give_back(LIST_TASKS)
        return error

    async def _pages(
        self, groups: Sequence[LastSeen], send: Send, max_pages: int
    ) -> AsyncIterator[Sequence[Shown]]:
        async for page in read_pages(send, _query(groups), self._connection.error, max_pages):
            yield await observations(page, self._decoder)


class _TimedAnswer:
    """How long the first answer took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, send: Send) -> Send:
        async def timed(call: Call) -> Reply:
            began = anyio.current_time()
            reply = await send(call)
            self.seconds = self.seconds or anyio.current_time() - began
            return reply

        return timed


def _query(groups: Sequence[LastSeen]) -> Query:
    """Return the start of the list of changed tasks."""
    conditions = [_condition(group) for group in groups]
    filters = conditions[0] if len(conditions) == 1 else b'{"OR":[%s]}' % b",".join(conditions)
    return task_query({"filters": msgspec.Raw(filters)})


def _condition(group: LastSeen) -> bytes:
    encode = msgspec.json.encode
    ids = b",".join(part for part in (group.ids, encode(group.sentinel)) if part)
    return (
        b'{"AND":[{"field":"task_id","operator":"in","value":[%s]},'
        b'{"field":"status","operator":"ne","value":%s}]}' % (ids, encode(group.status))
    )
