"""Decoding pages of a list. An item that cannot be decoded does not spoil its page.

A page that strict decoding accepts costs one pass. Any other is split at its commas, and each item
is decoded alone, repaired where necessary.
"""

import time
from collections.abc import Sequence, Set
from contextlib import suppress

import anyio.lowlevel
import msgspec

from watcher.core.json_repair import elements, is_suspicious, members, repaired
from watcher.core.statuses import StatusTable
from watcher.core.tasks import (
    KNOWN_STATUSES,
    Detail,
    DiscoveredPage,
    DiscoveredTask,
    Observation,
    Shown,
    TaskUnreadable,
)
from watcher.net.exchange import Reply
from watcher.sources._errors import UNREADABLE, protocol_error
from watcher.sources.mixpeek.task_decoding import TaskDecoder, task_detail

_UTF8_CHECK_LIMIT = 4 * 1024 * 1024
_CURSOR_LIMIT = 4000
"""The longest cursor that a request can carry: servers accept URLs of 8 KB."""
_ITEMS_PER_SLICE = 100
_MAX_BLOCKING = 0.01
"""Seconds that decoding may occupy the event loop."""


class _Tier(msgspec.Struct):
    task_id: object = None
    status: object = None
    task_type: object = None


class _DiscoveredItem(_Tier):
    """A task or a batch of a discovery list."""

    created_at: object = None
    tier_tasks: list[_Tier] | None = None


class _Pagination(msgspec.Struct):
    next_cursor: object = None
    next_page: object = None
    total: object = None
    page_size: object = None


class _RawPage(msgspec.Struct):
    results: list[msgspec.Raw]
    pagination: object = None
    total_count: object = None


class _TaskPage(msgspec.Struct):
    results: list[Observation]
    pagination: _Pagination | None = None
    total_count: object = None


class Page(msgspec.Struct, frozen=True):
    """A page of a list.

    `next_cursor` is None where the list sent none, or one that no request can carry. After a `full`
    page another one may follow. `total` is the number of items in the whole list, where the list
    has it. `tasks` are its items, where all of them could be decoded as tasks at once. `split`
    are the items of a page that could not be decoded as a whole, as they are.
    """

    body: bytes
    count: int
    next_cursor: str | None
    full: bool
    total: int | None
    tasks: list[Observation] | None
    split: Sequence[bytes] | None = None

    def items(self) -> Sequence[msgspec.Raw]:
        """Return each item's bytes, repaired where they are not JSON."""
        if self.split is None and not is_suspicious(self.body):
            return _decode_raw_page(self.body).results
        return [item for raw in self.received_items() if (item := _repaired_item(raw)) is not None]

    def identities(self) -> Set[object]:
        """Return what identifies the items: their task IDs if all of them are tasks, else their
        bytes.
        """
        if self.tasks is not None:
            return {task.task_id for task in self.tasks}
        return {bytes(item) for item in self.received_items()}

    def received_items(self) -> Sequence[msgspec.Raw]:
        """Return each item's bytes as they are."""
        if self.split is None:
            return _decode_raw_page(self.body).results
        return [msgspec.Raw(raw) for raw in self.split]


class _PageDetails:
    """Implements `watcher.core.tasks.Details` for a page, which it decodes again on first use."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._items: dict[str, msgspec.Raw] | None = None

    def of(self, task_id: str) -> Detail:
        if self._items is None:
            tasks, items = _decode_task_page(self._body), _decode_raw_page(self._body)
            self._items = {
                task.task_id: raw for task, raw in zip(tasks.results, items.results, strict=True)
            }
        return task_detail(self._items[task_id])


_decode_raw_page = msgspec.json.Decoder(_RawPage).decode
_decode_task_page = msgspec.json.Decoder(_TaskPage).decode
_decode_discovered_item = msgspec.json.Decoder(_DiscoveredItem).decode


def decode_page_reply(reply: Reply, limit: int, *, of_tasks: bool) -> Page:
    """Return a page of at most `limit` items. Raises `SourceError` (protocol) for anything else."""
    body = reply.body
    try:
        if of_tasks and _is_utf8(body):
            # Where anything is unusual, each item is decoded separately instead.
            with suppress(*UNREADABLE):
                task_page = _decode_task_page(body)
                return _page(body, task_page, limit, task_page.results)
        with suppress(*UNREADABLE):
            raw_page = _decode_raw_page(body)
            return _page(body, raw_page, limit, None)
        return _split_page(body, limit)
    except UNREADABLE:
        raise protocol_error("the answer is not the JSON of a list", reply) from None


def _split_page(body: bytes, limit: int) -> Page:
    """Return a page of which an item, or something beside the items, is not JSON."""
    found = members(body)
    items = [msgspec.Raw(item) for item in elements(found.get("results", b""))]
    raw_page = _RawPage(results=items)
    with suppress(*UNREADABLE):  # an unreadable pagination is none
        raw_page.pagination = msgspec.json.decode(repaired(found.get("pagination", b"null"))[0])
    return msgspec.structs.replace(_page(body, raw_page, limit, None), split=items)


def _repaired_item(raw: msgspec.Raw) -> msgspec.Raw | None:
    try:
        text, _ = repaired(bytes(raw))
        return msgspec.json.decode(text, type=msgspec.Raw)
    except UNREADABLE:
        return None


def _page(
    body: bytes, decoded: _RawPage | _TaskPage, limit: int, tasks: list[Observation] | None
) -> Page:
    pagination = _pagination(decoded.pagination)
    cursor, size, count = pagination.next_cursor, pagination.page_size, len(decoded.results)
    if not isinstance(size, int) or not 0 < size < limit:
        size = limit
    totals = (pagination.total, decoded.total_count)
    return Page(
        body=body,
        count=count,
        next_cursor=cursor
        if isinstance(cursor, str) and 0 < len(cursor) <= _CURSOR_LIMIT
        else None,
        full=count >= size or bool(pagination.next_page) or bool(cursor),
        total=next((total for total in totals if isinstance(total, int)), None),
        tasks=tasks,
    )


def _pagination(value: object) -> _Pagination:
    if isinstance(value, _Pagination):
        return value
    return msgspec.convert(value, _Pagination) if isinstance(value, dict) else _Pagination()


async def observations(page: Page, decoder: TaskDecoder) -> Sequence[Shown]:
    """Return the tasks of a page, without blocking the event loop for long."""
    await anyio.lowlevel.checkpoint()
    if page.tasks is not None:
        return _complete(page.tasks, page.body, decoder.statuses)
    tasks: list[Shown] = []
    began = time.perf_counter()
    items = page.received_items()
    for start in range(0, len(items), _ITEMS_PER_SLICE):
        decoded = map(decoder.task, items[start : start + _ITEMS_PER_SLICE])
        tasks += [task for task in decoded if task is not None]
        if time.perf_counter() - began > _MAX_BLOCKING:
            await anyio.lowlevel.checkpoint()
            began = time.perf_counter()
    return tasks


def _complete(tasks: list[Observation], body: bytes, statuses: StatusTable) -> Sequence[Shown]:
    """Add the details and the canonical statuses."""
    details = _PageDetails(body)
    readable = True
    for task in tasks:
        task.details = details
        if task.status not in KNOWN_STATUSES:
            task.status = statuses.canonical(task.status)
            readable = readable and bool(task.status)
    if readable:
        return tasks
    return [
        task
        if task.status
        else TaskUnreadable(task_id=task.task_id, reason="the answer has no status")
        for task in tasks
    ]


def discovered_page(page: Page, statuses: StatusTable, next_cursor: str | None) -> DiscoveredPage:
    """Return the tasks of a page of tasks or of batches; a batch has one, and one per tier."""
    items = page.items()
    tasks: list[DiscoveredTask] = []
    created: list[str] = []
    for raw in items:
        try:
            item = _decode_discovered_item(raw)
        except UNREADABLE:
            continue
        if isinstance(item.created_at, str):
            created.append(item.created_at)
        tasks += _discovered_tasks(item, statuses)
    is_sorted = (
        len(created) == len(items) > 1
        and created == sorted(created, reverse=True)
        and created[0] != created[-1]
    )
    return DiscoveredPage(
        tasks=tasks, newest_first=is_sorted, next_cursor=next_cursor, total=page.total
    )


def _discovered_tasks(item: _DiscoveredItem, statuses: StatusTable) -> list[DiscoveredTask]:
    return [
        DiscoveredTask(
            tier.task_id,
            statuses.canonical(tier.status) or None,
            tier.task_type if isinstance(tier.task_type, str) else None,
        )
        for tier in (item, *(item.tier_tasks or ()))
        if isinstance(tier.task_id, str) and tier.task_id
    ]


def _is_utf8(body: bytes) -> bool:
    """Return whether a page is valid UTF-8; False where the check would take long."""
    if body.isascii():
        return True
    try:
        return len(body) <= _UTF8_CHECK_LIMIT and bool(str(body, "utf-8"))
    except UnicodeError:
        return False
