"""Requesting only the changed ones of up to ten thousand tasks: `POST /v1/tasks/list`, filtered by
task ID and by a status other than the one last seen.

Nothing about the filter is taken on trust. Each list of IDs ends with a sentinel, a task in another
status: if the answer does not show it, and a request for it alone does, the list was cut. Where a
large request fails and a small one does not, the next ones are smaller. If the condition does not
work, `changes_health` has pages of all tasks requested instead.
"""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import anyio
import msgspec

from watcher.core.errors import IncompleteAnswerError, SourceError
from watcher.core.interfaces.source import LastSeen
from watcher.core.tasks import Shown
from watcher.net.exchange import Reply
from watcher.sources.mixpeek.changes_health import ChangesHealth
from watcher.sources.mixpeek.connection import Call, Connection
from watcher.sources.mixpeek.list_diagnosis import (
    REQUEST_REJECTED,
    UNAVAILABLE_STATUSES,
    WHOLE_SOURCE,
)
from watcher.sources.mixpeek.list_health import FilterState, ListHealth
from watcher.sources.mixpeek.list_share import ListShare, PollRequests
from watcher.sources.mixpeek.page_decoding import observations
from watcher.sources.mixpeek.page_limit import PageLimit
from watcher.sources.mixpeek.pagination import (
    LIST_TASKS,
    PAGE_SIZE,
    Query,
    RejectedError,
    Send,
    read_pages,
    task_query,
)
from watcher.sources.mixpeek.task_decoding import TaskDecoder

MOST_IDS = 10_000
"""Task IDs of one request: some 400 KB."""
MOST_GROUPS = 8
_FEWEST_IDS = PAGE_SIZE
"""With fewer IDs a request covers no more than a page of all tasks."""
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
        self.most_groups = MOST_GROUPS

    @property
    def capacity(self) -> int:
        works = self._health.usable and self._list_health.state is FilterState.WORKING
        return self._limit.size if works and not self._list_health.in_doubt else 0

    @property
    def size(self) -> int:
        return self._limit.works

    def restore(self, size: int) -> None:
        self._limit.restore(max(size, _FEWEST_IDS))

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
        self._health.distrust(reason)

    async def fetch(self, groups: Sequence[LastSeen]) -> AsyncGenerator[Sequence[Shown], None]:
        count = sum(group.count for group in groups)
        self._limit.requested(count)
        missing = {group.sentinel for group in groups}
        answer = _TimedAnswer()
        with PollRequests(self._connection, LIST_TASKS, self._share) as requests:
            try:
                pages = math.ceil(count / PAGE_SIZE) + _MORE_PAGES
                async for tasks in self._pages(groups, answer.timed(requests.send), pages):
                    yield [task for task in tasks if task.task_id not in missing]
                    missing.difference_update([task.task_id for task in tasks])
            except SourceError as error:
                raise await self._diagnosed(groups, error, requests.send) from None
            if missing:
                raise await self._incomplete(groups, requests.send)
        self._answered(count, slow=answer.seconds > self._slow_after)

    async def _pages(
        self, groups: Sequence[LastSeen], send: Send, max_pages: int
    ) -> AsyncIterator[Sequence[Shown]]:
        async for page in read_pages(send, _query(groups), self._connection.error, max_pages):
            yield await observations(page, self._decoder)

    def _answered(self, count: int, *, slow: bool) -> None:
        if slow:
            self._too_large(count, "its answers are slow")
        else:
            self._limit.worked(count)
            self._health.worked()

    async def _diagnosed(
        self, groups: Sequence[LastSeen], error: SourceError, send: Send
    ) -> SourceError:
        """Return what a failed request means: its size, its form, or the source."""
        if error.reason in WHOLE_SOURCE or error.retry_after is not None:
            return error
        if _rejected_with(error, UNAVAILABLE_STATUSES):
            self._health.distrust(str(error))
            return IncompleteAnswerError(str(error))
        try:
            await self._unknown(groups, send)
        except SourceError as small:
            if not _rejected_with(small, REQUEST_REJECTED):
                return error
            self._form_rejected(groups, small)
        else:
            self._too_large(sum(group.count for group in groups), str(error))
        return IncompleteAnswerError(str(error))

    def _form_rejected(self, groups: Sequence[LastSeen], error: SourceError) -> None:
        if len(groups) > 1:
            self.most_groups = 1
        else:
            self._health.distrust(f"the condition is rejected ({error})")

    async def _incomplete(self, groups: Sequence[LastSeen], send: Send) -> SourceError:
        """Return why an answer did not show all sentinels."""
        text = "the answer does not show a task that it has to show"
        try:
            unknown = await self._unknown(groups, send)
        except SourceError as error:
            return error
        if not unknown:
            self._too_large(sum(group.count for group in groups), "lists of task IDs are cut")
        return IncompleteAnswerError(text, unknown=unknown)

    async def _unknown(self, groups: Sequence[LastSeen], send: Send) -> frozenset[str]:
        """Return the sentinels that a request for them alone does not show."""
        alone = [
            LastSeen(status=group.status, ids=b"", count=0, sentinel=group.sentinel)
            for group in groups
        ]
        unknown = {group.sentinel for group in groups}
        async for tasks in self._pages(alone, send, 2):
            unknown.difference_update([task.task_id for task in tasks])
        return frozenset(unknown)

    def _too_large(self, count: int, reason: str) -> None:
        was_trial = count > self._limit.works
        self._limit.failed(count, works=count // 2)
        if self._limit.works < _FEWEST_IDS:
            self._health.distrust(f"{reason} with {count} task IDs")
            self._limit.restore(2 * _FEWEST_IDS)
        elif not was_trial:
            self._health.pause()


def _rejected_with(error: SourceError, statuses: frozenset[int]) -> bool:
    """Return whether the API itself has answered with one of these statuses."""
    return isinstance(error, RejectedError) and error.by_api and error.status in statuses


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
