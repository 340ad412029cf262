"""Reading a list page by page: by cursor where the API sends one, else by offset.

No list is trusted to end: every read has a greatest number of pages, and stops earlier where pages
bring nothing new.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import anyio.lowlevel

from watcher.core.errors import SourceError, SourceFailure
from watcher.net.exchange import Reply
from watcher.sources._calls import Call
from watcher.sources.mixpeek.connection import namespace_header
from watcher.sources.mixpeek.error_decoding import is_api_error, is_framework_error
from watcher.sources.mixpeek.page_decoding import Page, decode_page_reply

LIST_TASKS = "POST /v1/tasks/list"
PAGE_SIZE = 1000
"""The most items per page that the API allows."""
_WITH_PAGE = frozenset({200, 202, 203})
OFFSET_LIMIT = 10_000
"""The greatest offset that the API allows."""
PAGE_BYTES = 40 * 1024 * 1024
"""Bytes read of a page; a thousand tasks can well have 40 MB."""
_USELESS_PAGES = 2
"""So many pages without a new item end a read."""

Send = Callable[[Call], Awaitable[Reply]]
ReplyError = Callable[[Reply], SourceError]


class PageTooLargeError(SourceError):
    """A page is longer than `PAGE_BYTES`: request fewer items."""

    def __init__(self) -> None:
        super().__init__(SourceFailure.PROTOCOL, f"a page is longer than {PAGE_BYTES >> 20} MiB")


class RejectedError(SourceError):
    """A request of a list was answered with `status`: 501, or any 4xx other than 401 and 429.

    `by_api` is whether the API itself wrote the answer. If a gateway did, it says nothing about the
    list: then `reason` is that of a failed request.
    """

    def __init__(self, status: int, error: SourceError, *, by_api: bool) -> None:
        reason = error.reason
        if not by_api and reason is SourceFailure.REJECTED:
            reason = SourceFailure.PROTOCOL
        super().__init__(reason, str(error), retry_after=error.retry_after, reply=error.reply)
        self.by_api = by_api


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A position in a list.

    `body` may contain only fields that the API knows. Limit, offset and cursor are sent where
    `paging_in` says.
    """

    route: str
    path: str
    body: Mapping[str, object] = field(default_factory=dict)
    paging_in: Literal["query", "body"] = "query"
    namespace: str | None = None
    size: int = PAGE_SIZE
    include_total: bool = False
    cursor: str | None = None
    offset: int = 0

    def call(self) -> Call:
        """Return the request for the page at this position."""
        paging: dict[str, str | int] = {"limit": self.size}
        if self.include_total:
            paging["include_total"] = "true"
        if self.cursor is not None:
            paging["cursor"] = self.cursor
        elif self.offset:
            paging["offset"] = self.offset
        in_query = self.paging_in == "query"
        return Call(
            route=self.route,
            path=self.path,
            query=paging if in_query else {},
            body=self.body if in_query else {**self.body, **paging},
            headers=namespace_header(self.namespace),
            reply_limit=PAGE_BYTES,
        )

    def after(self, page: Page) -> "Query | None":
        """Return the next position; None at the end of the list or beyond `OFFSET_LIMIT`."""
        if page.next_cursor is not None:
            return (
                None if page.next_cursor == self.cursor else replace(self, cursor=page.next_cursor)
            )
        offset = self.offset + page.count
        if self.cursor is not None or not page.full or not page.count or offset > OFFSET_LIMIT:
            return None
        return replace(self, offset=offset)


def task_query(criteria: Mapping[str, object], size: int = PAGE_SIZE) -> Query:
    """Return the start of the list of tasks that match `criteria`."""
    return Query(route=LIST_TASKS, path="/v1/tasks/list", body=criteria, size=size)


def id_query(task_ids: Sequence[str]) -> Query:
    """Return the start of the list of these tasks."""
    condition = {"field": "task_id", "operator": "in", "value": task_ids}
    return task_query({"filters": {"AND": [condition]}})


async def read_page(send: Send, query: Query, reply_error: ReplyError) -> Page:
    """Return the page at `query`.

    Raises `RejectedError`, `PageTooLargeError` or another `SourceError`.
    """
    reply = await send(query.call())
    if reply.status not in _WITH_PAGE:
        error = reply_error(reply)
        if _is_rejection(reply.status):
            by_api = is_api_error(reply.body) or is_framework_error(reply.body)
            raise RejectedError(reply.status, error, by_api=by_api)
        raise error
    if reply.truncated:
        raise PageTooLargeError
    # Assembling 40 MB and decoding them must not block the event loop in one go.
    await anyio.lowlevel.checkpoint()
    return decode_page_reply(reply, query.size, of_tasks=query.route == LIST_TASKS)


async def read_pages(
    send: Send, query: Query, reply_error: ReplyError, max_pages: int
) -> AsyncIterator[Page]:
    """Yield at most `max_pages` pages; stop after two in all that bring nothing new."""
    seen: set[object] = set()
    useless = 0
    position = query
    for _ in range(max_pages):
        page = await read_page(send, position, reply_error)
        yield page
        following = position.after(page)
        if following is None:
            return
        position = following
        identities = page.identities()
        useless += seen >= identities
        if useless == _USELESS_PAGES:
            return
        seen |= identities


def _is_rejection(status: int) -> bool:
    return status == 501 or (400 <= status < 500 and status not in (401, 429))
