"""The capabilities of the Mixpeek API besides polling, each within the budget of its route."""

import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from watcher.core.interfaces.source import Confirmation
from watcher.core.statuses import StatusTable
from watcher.core.tasks import DiscoveredPage
from watcher.core.texts import is_id
from watcher.net.exchange import Reply
from watcher.sources._calls import Call
from watcher.sources._errors import UNREADABLE, protocol_error
from watcher.sources.mixpeek.confirmation_decoding import confirmation_of
from watcher.sources.mixpeek.connection import Connection, namespace_header
from watcher.sources.mixpeek.list_share import ListShare
from watcher.sources.mixpeek.page_decoding import Page, discovered_page
from watcher.sources.mixpeek.pagination import (
    LIST_TASKS,
    Query,
    RejectedError,
    read_page,
    read_pages,
    task_query,
)
from watcher.sources.mixpeek.paths import path_of

_KILL_TASK = "DELETE /v1/tasks/{task_id}"
_LIST_ALL_BATCHES = "POST /v1/batches/list"
_LIST_BATCHES = "POST /v1/buckets/{bucket}/batches/list"
_CANCEL_BATCH = "POST /v1/buckets/{bucket}/batches/{batch}/cancel"
_CONFIRM_UPLOADS = "POST /v1/buckets/{bucket}/uploads/confirm/batch"

_NEWEST_FIRST = {"field": "created_at", "direction": "desc"}
_MAX_PAGES = 1000
"""As many as a discovery rule may read."""
_FINGERPRINT = re.compile("^[0-9a-f]{8}:")
_MAX_WAIT = 20.0
"""Seconds to wait for the budget, except in discovery."""


class _StartedTask(msgspec.Struct):
    task_id: str


_decode_started_task = msgspec.json.Decoder(_StartedTask).decode


class MixpeekOperations:
    """Implements every capability of `watcher.core.interfaces.source`."""

    def __init__(
        self,
        connection: Connection,
        namespace: str | None,
        statuses: StatusTable,
        share: ListShare,
    ) -> None:
        self._share = share
        self.statuses = statuses
        self._connection = connection
        self._namespace = namespace
        self._sort_rejected = False

    async def list_tasks(
        self, criteria: Mapping[str, object], limit: int, cursor: str | None
    ) -> tuple[Sequence[msgspec.Raw], str | None]:
        return await self._page(_at_cursor(task_query(criteria), limit, cursor), cursor)

    async def list_batches(
        self,
        bucket: str | None,
        criteria: Mapping[str, object],
        limit: int,
        cursor: str | None,
        namespace: str | None,
    ) -> tuple[Sequence[msgspec.Raw], str | None]:
        query = self._batch_query(bucket, criteria, namespace)
        return await self._page(_at_cursor(query, limit, cursor), cursor)

    async def discover_tasks(
        self, criteria: Mapping[str, object], cursor: str | None = None
    ) -> AsyncGenerator[DiscoveredPage, None]:
        ordered = (
            criteria
            if "sort" in criteria or self._sort_rejected
            else {**criteria, "sort": _NEWEST_FIRST}
        )
        query = replace(task_query(ordered), include_total=True)
        try:
            async for page in self._pages(query, cursor):
                yield page
        except RejectedError:
            if ordered is criteria or cursor is not None:
                raise
            self._sort_rejected = True
            async for page in self._pages(replace(query, body=criteria), None):
                yield page

    async def discover_batches(
        self, bucket: str | None, criteria: Mapping[str, object], cursor: str | None = None
    ) -> AsyncGenerator[DiscoveredPage, None]:
        async for page in self._pages(self._batch_query(bucket, criteria, None), cursor):
            yield page

    async def _pages(self, query: Query, cursor: str | None) -> AsyncIterator[DiscoveredPage]:
        position = _at_cursor(query, query.size, cursor)
        async for page in read_pages(
            self._send_discovery, position, self._connection.error, _MAX_PAGES
        ):
            following = position.after(page)
            next_cursor = None if following is None else _cursor(following, page)
            yield discovered_page(page, self.statuses, next_cursor)
            position = position if following is None else following

    async def _send_discovery(self, call: Call) -> Reply:
        if call.route != LIST_TASKS:
            return await self._connection.request(call)
        async with self._share.turn():
            await self._connection.admit(call.route)
        return await self._connection.send(call)

    async def cancel_batch(
        self, bucket: str, batch: str, reason: str | None, namespace: str | None
    ) -> tuple[msgspec.Raw, str | None]:
        call = Call(
            route=_CANCEL_BATCH,
            path=path_of(_CANCEL_BATCH, bucket=bucket, batch=batch),
            query={} if reason is None else {"reason": reason},
            headers=namespace_header(namespace or self._namespace),
        )
        reply = await self._checked(call)
        return _json(reply), _task_id(reply)

    async def kill_task(self, task_id: str) -> msgspec.Raw:
        call = Call(route=_KILL_TASK, path=path_of(_KILL_TASK, task_id=task_id))
        return _json(await self._checked(call))

    async def confirm_uploads(
        self, bucket: str, confirmations: Sequence[Mapping[str, object]], namespace: str | None
    ) -> Confirmation:
        call = Call(
            route=_CONFIRM_UPLOADS,
            path=path_of(_CONFIRM_UPLOADS, bucket=bucket),
            body={"confirmations": confirmations},
            headers=namespace_header(namespace or self._namespace),
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
            path = path_of(_LIST_BATCHES, bucket=bucket)
            query = Query(route=_LIST_BATCHES, path=path, body=criteria, paging_in="body")
        return replace(query, namespace=namespace or self._namespace)

    async def _page(
        self, query: Query, cursor: str | None
    ) -> tuple[Sequence[msgspec.Raw], str | None]:
        page = await read_page(self._send, query, self._connection.error)
        following = query.after(page)
        if following is None or _repeats(page, cursor):
            return page.items(), None
        return page.items(), _cursor(following, page)

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
        return replace(query, size=limit, cursor=_FINGERPRINT.sub("", value))
    if kind == "offset" and value.isascii() and value.isdigit():
        return replace(query, size=limit, offset=int(value))
    raise ValueError("not a cursor of this source")


def _cursor(query: Query, page: Page) -> str:
    """Return where `query` continues after `page`, with the page's fingerprint if by cursor."""
    if query.cursor is None:
        return f"offset:{query.offset}"
    return f"cursor:{_fingerprint(page)}:{query.cursor}"


def _repeats(page: Page, cursor: str | None) -> bool:
    """Return whether a page is the same as the one that came with `cursor`: the list has no end."""
    return cursor is not None and cursor.startswith(f"cursor:{_fingerprint(page)}:")


def _fingerprint(page: Page) -> str:
    items = b"".join(sorted(str(item).encode() for item in page.identities()))
    return f"{zlib.crc32(items):08x}"


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
    """Return the task that a reply names; None without one that could be watched."""
    try:
        task_id = _decode_started_task(reply.body).task_id
    except UNREADABLE:
        return None
    return task_id if is_id(task_id) else None
