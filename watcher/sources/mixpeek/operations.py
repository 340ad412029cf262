"""The capabilities of the Mixpeek API besides polling, each within the budget of its route."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from watcher.core.interfaces.source import Confirmation
from watcher.core.statuses import StatusTable
from watcher.core.tasks import DiscoveredPage
from watcher.net.exchange import Reply
from watcher.net.url import quote_segment
from watcher.sources.mixpeek.confirmation_decoding import confirmation_of
from watcher.sources.mixpeek.connection import Call, Connection
from watcher.sources.mixpeek.error_decoding import UNREADABLE, protocol_error
from watcher.sources.mixpeek.page_decoding import discovered_page
from watcher.sources.mixpeek.pagination import (
    Query,
    RejectedError,
    read_page,
    read_pages,
    task_query,
)

_KILL_TASK = "DELETE /v1/tasks/{task_id}"
_LIST_ALL_BATCHES = "POST /v1/batches/list"
_LIST_BATCHES = "POST /v1/buckets/{bucket}/batches/list"
_CANCEL_BATCH = "POST /v1/buckets/{bucket}/batches/{batch}/cancel"
_CONFIRM_UPLOADS = "POST /v1/buckets/{bucket}/uploads/confirm/batch"

_NEWEST_FIRST = {"field": "created_at", "direction": "desc"}
_MAX_PAGES = 1000
_MAX_WAIT = 20.0
"""Seconds to wait for the budget, except in discovery."""


class _StartedTask(msgspec.Struct):
    task_id: str


_decode_started_task = msgspec.json.Decoder(_StartedTask).decode


class MixpeekOperations:
    """Implements every capability of `watcher.core.interfaces.source`."""

    def __init__(
        self, connection: Connection, namespace: str | None, statuses: StatusTable
    ) -> None:
        self.statuses = statuses
        self._connection = connection
        self._namespace = namespace
        self._sort_rejected = False

    async def list_tasks(
        self, criteria: Mapping[str, object], limit: int, cursor: str | None
    ) -> tuple[Sequence[msgspec.Raw], str | None]:
        return await self._page(_at_cursor(task_query(criteria), limit, cursor))

    async def list_batches(
        self,
        bucket: str | None,
        criteria: Mapping[str, object],
        limit: int,
        cursor: str | None,
        namespace: str | None,
    ) -> tuple[Sequence[msgspec.Raw], str | None]:
        query = self._batch_query(bucket, criteria, namespace)
        return await self._page(_at_cursor(query, limit, cursor))

    async def discover_tasks(
        self, criteria: Mapping[str, object]
    ) -> AsyncGenerator[DiscoveredPage, None]:
        ordered = (
            criteria
            if "sort" in criteria or self._sort_rejected
            else {**criteria, "sort": _NEWEST_FIRST}
        )
        try:
            async for page in self._pages(task_query(ordered)):
                yield page
        except RejectedError:
            if ordered is criteria:
                raise
            self._sort_rejected = True
            async for page in self._pages(task_query(criteria)):
                yield page

    async def discover_batches(
        self, bucket: str | None, criteria: Mapping[str, object]
    ) -> AsyncGenerator[DiscoveredPage, None]:
        async for page in self._pages(self._batch_query(bucket, criteria, None)):
            yield page

    async def _pages(self, query: Query) -> AsyncIterator[DiscoveredPage]:
        async for page in read_pages(
            self._connection.request, query, self._connection.error, _MAX_PAGES
        ):
            more = query.after(page) is not None
            yield discovered_page(page.items(), self.statuses, more=more)

    async def cancel_batch(
        self, bucket: str, batch: str, reason: str | None, namespace: str | None
    ) -> tuple[msgspec.Raw, str | None]:
        call = Call(
            route=_CANCEL_BATCH,
            path=f"/v1/buckets/{quote_segment(bucket)}/batches/{quote_segment(batch)}/cancel",
            query={} if reason is None else {"reason": reason},
            namespace=namespace or self._namespace,
        )
        reply = await self._checked(call)
        return _json(reply), _task_id(reply)

    async def kill_task(self, task_id: str) -> msgspec.Raw:
        call = Call(route=_KILL_TASK, path=f"/v1/tasks/{quote_segment(task_id)}")
        return _json(await self._checked(call))

    async def confirm_uploads(
        self, bucket: str, confirmations: Sequence[Mapping[str, object]], namespace: str | None
    ) -> Confirmation:
        call = Call(
            route=_CONFIRM_UPLOADS,
            path=f"/v1/buckets/{quote_segment(bucket)}/uploads/confirm/batch",
            body={"confirmations": confirmations},
            namespace=namespace or self._namespace,
            once=True,
        )
        return confirmation_of(await self._checked(call))

    def _batch_query(
        self, bucket: str | None, criteria: Mapping[str, object], namespace: str | None
    ) -> Query:
        if bucket is None:
            query = Query(
                route=_LIST_ALL_BATCHES, path="/v1/batches/list", body=criteria, paging_in="body"
            )
        else:
            path = f"/v1/buckets/{quote_segment(bucket)}/batches/list"
            query = Query(route=_LIST_BATCHES, path=path, body=criteria, paging_in="body")
        return replace(query, namespace=namespace or self._namespace)

    async def _page(self, query: Query) -> tuple[Sequence[msgspec.Raw], str | None]:
        page = await read_page(self._send, query, self._connection.error)
        next_query = query.after(page)
        return page.items(), None if next_query is None else _cursor(next_query)

    async def _checked(self, call: Call) -> Reply:
        reply = await self._send(call)
        if not 200 <= reply.status < 300:
            raise self._connection.error(reply)
        return reply

    async def _send(self, call: Call) -> Reply:
        return await self._connection.request(call, max_wait=_MAX_WAIT)


def _at_cursor(query: Query, limit: int, cursor: str | None) -> Query:
    """Return `query` at a cursor made by `_cursor`. Raises `ValueError` for any other cursor."""
    if cursor is None:
        return replace(query, size=limit)
    kind, _, value = cursor.partition(":")
    if kind == "cursor" and value:
        return replace(query, size=limit, cursor=value)
    if kind == "offset" and value.isascii() and value.isdigit():
        return replace(query, size=limit, offset=int(value))
    raise ValueError("not a cursor of this source")


def _cursor(query: Query) -> str:
    return f"offset:{query.offset}" if query.cursor is None else f"cursor:{query.cursor}"


def _json(reply: Reply) -> msgspec.Raw:
    if not reply.body:  # such as 204
        return msgspec.Raw(b"{}")
    try:
        msgspec.json.decode(reply.body, type=dict[str, msgspec.Raw])
        reply.body.decode()
    except UNREADABLE:
        raise protocol_error("the answer is not a JSON object", reply) from None
    return msgspec.Raw(reply.body)


def _task_id(reply: Reply) -> str | None:
    try:
        return _decode_started_task(reply.body).task_id
    except UNREADABLE:
        return None
