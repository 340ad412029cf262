"""The API's own calls, made for people and programs that start and end work: each within its route's budget."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

import msgspec

from watcher.core.errors import SourceError, SourceFailure
from watcher.core.tasks import DiscoveredPage
from watcher.net.exchange import Reply
from watcher.sources.mixpeek.connection import Call, Connection
from watcher.sources.mixpeek.decoding import UNREADABLE, found_page
from watcher.sources.mixpeek.list_endpoint import LIST_TASKS, LIST_TASKS_PATH
from watcher.sources.mixpeek.pagination import Query, RefusedError, read_page, read_pages

_KILL_TASK = "DELETE /v1/tasks/{task_id}"
_LIST_ALL_BATCHES = "POST /v1/batches/list"
_LIST_BATCHES = "POST /v1/buckets/{bucket}/batches/list"
_CANCEL_BATCH = "POST /v1/buckets/{bucket}/batches/{batch}/cancel"
_CONFIRM_UPLOADS = "POST /v1/buckets/{bucket}/uploads/confirm/batch"

_NEWEST_FIRST = {"field": "created_at", "direction": "desc"}
_PATIENCE = 20.0
"""Seconds that whoever calls waits for the budget."""


class _Started(msgspec.Struct):
    task_id: str


_decode_started = msgspec.json.Decoder(_Started).decode


class MixpeekOperations:
    """Implements every capability of `watcher.core.interfaces.source`."""

    def __init__(self, connection: Connection, namespace: str | None) -> None:
        self._connection = connection
        self._namespace = namespace
        self._sort_refused = False

    async def list_tasks(
        self, criteria: Mapping[str, object], limit: int, cursor: str | None
    ) -> tuple[Sequence[msgspec.Raw], str | None]:
        return await self._page(_from(_tasks(criteria), limit, cursor))

    async def list_batches(
        self,
        bucket: str | None,
        criteria: Mapping[str, object],
        limit: int,
        cursor: str | None,
        namespace: str | None,
    ) -> tuple[Sequence[msgspec.Raw], str | None]:
        return await self._page(_from(self._batches(bucket, criteria, namespace), limit, cursor))

    async def discover_tasks(
        self, criteria: Mapping[str, object]
    ) -> AsyncGenerator[DiscoveredPage, None]:
        ordered = (
            criteria
            if "sort" in criteria or self._sort_refused
            else {**criteria, "sort": _NEWEST_FIRST}
        )
        try:
            async for page in self._pages(_tasks(ordered)):
                yield page
        except RefusedError:
            if ordered is criteria:
                raise
            self._sort_refused = True
            async for page in self._pages(_tasks(criteria)):
                yield page

    async def discover_batches(
        self, bucket: str | None, criteria: Mapping[str, object]
    ) -> AsyncGenerator[DiscoveredPage, None]:
        async for page in self._pages(self._batches(bucket, criteria, None)):
            yield page

    async def _pages(self, query: Query) -> AsyncIterator[DiscoveredPage]:
        async for page, more in read_pages(
            self._connection.request, query, self._connection.refusal
        ):
            yield found_page(page.items(), more=more)

    async def cancel_batch(
        self, bucket: str, batch: str, reason: str | None, namespace: str | None
    ) -> tuple[msgspec.Raw, str | None]:
        call = Call(
            route=_CANCEL_BATCH,
            path=f"/v1/buckets/{_quoted(bucket)}/batches/{_quoted(batch)}/cancel",
            query={} if reason is None else {"reason": reason},
            namespace=namespace or self._namespace,
        )
        reply = await self._done(call)
        return _json(reply), _started(reply)

    async def kill_task(self, task_id: str) -> msgspec.Raw:
        return _json(await self._done(Call(route=_KILL_TASK, path=f"/v1/tasks/{_quoted(task_id)}")))

    async def confirm_uploads(
        self, bucket: str, confirmations: Sequence[Mapping[str, object]], namespace: str | None
    ) -> str:
        call = Call(
            route=_CONFIRM_UPLOADS,
            path=f"/v1/buckets/{_quoted(bucket)}/uploads/confirm/batch",
            body={"confirmations": confirmations},
            namespace=namespace or self._namespace,
            once=True,
        )
        if (task_id := _started(await self._done(call))) is None:
            raise SourceError(SourceFailure.PROTOCOL, "the answer names no task")
        return task_id

    def _batches(
        self, bucket: str | None, criteria: Mapping[str, object], namespace: str | None
    ) -> Query:
        if bucket is None:
            query = Query(
                route=_LIST_ALL_BATCHES, path="/v1/batches/list", body=criteria, paging_in="body"
            )
        else:
            path = f"/v1/buckets/{_quoted(bucket)}/batches/list"
            query = Query(route=_LIST_BATCHES, path=path, body=criteria, paging_in="body")
        return replace(query, namespace=namespace or self._namespace)

    async def _page(self, query: Query) -> tuple[Sequence[msgspec.Raw], str | None]:
        page = await read_page(self._send, query, self._connection.refusal)
        following = query.after(page)
        return page.items(), None if following is None else _position(following)

    async def _done(self, call: Call) -> Reply:
        reply = await self._send(call)
        if not 200 <= reply.status < 300:
            raise self._connection.refusal(reply)
        return reply

    async def _send(self, call: Call) -> Reply:
        return await self._connection.request(call, patience=_PATIENCE)


def _tasks(criteria: Mapping[str, object]) -> Query:
    return Query(route=LIST_TASKS, path=LIST_TASKS_PATH, body=criteria)


def _from(query: Query, limit: int, position: str | None) -> Query:
    """Return `query` at the page that `position`, given by the page before, stands for; raises `ValueError`."""
    if position is None:
        return replace(query, size=limit)
    kind, _, value = position.partition(":")
    if kind == "cursor" and value:
        return replace(query, size=limit, cursor=value)
    if kind == "offset" and value.isascii() and value.isdigit():
        return replace(query, size=limit, offset=int(value))
    raise ValueError("this cursor was not given by a list of this source")


def _position(query: Query) -> str:
    return f"offset:{query.offset}" if query.cursor is None else f"cursor:{query.cursor}"


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _json(reply: Reply) -> msgspec.Raw:
    try:
        msgspec.json.decode(reply.body, type=dict[str, msgspec.Raw])
        reply.body.decode()
    except UNREADABLE:
        raise SourceError(SourceFailure.PROTOCOL, "the answer is not a JSON object") from None
    return msgspec.Raw(reply.body)


def _started(reply: Reply) -> str | None:
    try:
        return _decode_started(reply.body).task_id
    except UNREADABLE:
        return None
