"""Reading a list page by page: by cursor where the API gives one, else by offset."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import anyio.lowlevel

from watcher.core.errors import SourceError, SourceFailure
from watcher.net.exchange import Reply
from watcher.sources.mixpeek.connection import Call
from watcher.sources.mixpeek.decoding import Page, page_reply

PAGE_SIZE = 1000
"""The most that the API gives a page."""
OFFSET_LIMIT = 10_000
"""The API refuses offsets beyond it."""
PAGE_BYTES = 64 * 1024 * 1024
"""Bytes read of a page; a thousand tasks may well have 40 MB."""

Send = Callable[[Call], Awaitable[Reply]]


class PageTooLargeError(SourceError):
    """A page is longer than `PAGE_BYTES`: ask for fewer at once."""

    def __init__(self) -> None:
        super().__init__(SourceFailure.PROTOCOL, f"a page is longer than {PAGE_BYTES >> 20} MiB")


class RefusedError(SourceError):
    """The list refused this request; `status` is the answer's."""

    def __init__(self, status: int, error: SourceError) -> None:
        super().__init__(error.reason, str(error), retry_after=error.retry_after)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to list. `body` may hold only what the API knows; `paging_in` is where limit, offset and cursor go."""

    route: str
    path: str
    body: Mapping[str, object] = field(default_factory=dict)
    paging_in: Literal["query", "body"] = "query"
    namespace: str | None = None
    size: int = PAGE_SIZE
    cursor: str | None = None
    offset: int = 0

    def call(self) -> Call:
        """Return the request for the page this stands at."""
        paging: dict[str, str | int] = {"limit": self.size}
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
            namespace=self.namespace,
            answer_limit=PAGE_BYTES,
        )

    def after(self, page: Page) -> "Query | None":
        """Return where the list goes on; None where it ends, or offsets reach no further."""
        if page.next_cursor is not None:
            return replace(self, cursor=page.next_cursor)
        offset = self.offset + page.count
        if self.cursor is not None or not page.full or not page.count or offset > OFFSET_LIMIT:
            return None
        return replace(self, offset=offset)


async def read_page(send: Send, query: Query, refusal: Callable[[Reply], SourceError]) -> Page:
    """Return the page that `query` stands at.

    Raises `RefusedError` for 501 and a 4xx but 401 and 429, `PageTooLargeError`, or another `SourceError`.
    """
    reply = await send(query.call())
    if reply.status != 200:
        error = refusal(reply)
        if reply.status == 501 or (400 <= reply.status < 500 and reply.status not in (401, 429)):
            raise RefusedError(reply.status, error)
        raise error
    if reply.truncated:
        raise PageTooLargeError
    await (
        anyio.lowlevel.checkpoint()
    )  # putting 40 MB together and reading them are two pieces of work
    return page_reply(reply, query.size, of_tasks=query.paging_in == "query")


async def read_pages(
    send: Send, query: Query, refusal: Callable[[Reply], SourceError]
) -> AsyncIterator[tuple[Page, bool]]:
    """Yield page after page, each with whether another follows; a list that leads in a circle ends where it closes."""
    seen: set[str] = set()
    at: Query | None = query
    while at is not None:
        page = await read_page(send, at, refusal)
        at = at.after(page)
        if at is not None and at.cursor in seen:
            at = None
        elif at is not None and at.cursor is not None:
            seen.add(at.cursor)
        yield page, at is not None
