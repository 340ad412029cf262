"""Decoding pages of a list. An unreadable item is left out and does not spoil its page."""

import time
from collections.abc import Sequence
from contextlib import suppress

import anyio.lowlevel
import msgspec

from watcher.core.tasks import KNOWN_STATUSES, Detail, DiscoveredPage, DiscoveredTask, Observation
from watcher.net.exchange import Reply
from watcher.sources.mixpeek.error_decoding import UNREADABLE, protocol_error
from watcher.sources.mixpeek.task_decoding import decode_task, normalize_status, task_detail

_UTF8_CHECK_LIMIT = 4 * 1024 * 1024
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
    pagination: _Pagination | None = None


class _TaskPage(msgspec.Struct):
    results: list[Observation]
    pagination: _Pagination | None = None


class Page(msgspec.Struct, frozen=True):
    """A page of a list.

    `next_cursor` is None where the list sent none. After a `full` page another one may follow.
    `tasks` are its items, where all of them could be decoded as tasks at once.
    """

    body: bytes
    count: int
    next_cursor: str | None
    full: bool
    tasks: list[Observation] | None

    def items(self) -> list[msgspec.Raw]:
        """Return each item's bytes."""
        return _decode_raw_page(self.body).results


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
            # Where a field has an unusual type, each item is decoded separately instead.
            with suppress(msgspec.ValidationError):
                task_page = _decode_task_page(body)
                tasks = task_page.results
                return _page(body, task_page.pagination, limit, len(tasks), tasks)
        raw_page = _decode_raw_page(body)
    except UNREADABLE:
        raise protocol_error("the answer is not the JSON of a list") from None
    return _page(body, raw_page.pagination, limit, len(raw_page.results), None)


def _page(
    body: bytes,
    pagination: _Pagination | None,
    limit: int,
    count: int,
    tasks: list[Observation] | None,
) -> Page:
    pagination = pagination or _Pagination()
    cursor, size = pagination.next_cursor, pagination.page_size
    if not isinstance(size, int) or not 0 < size < limit:
        size = limit
    return Page(
        body=body,
        count=count,
        next_cursor=cursor if isinstance(cursor, str) and cursor else None,
        full=count >= size or bool(pagination.next_page),
        tasks=tasks,
    )


async def observations(page: Page) -> Sequence[Observation]:
    """Return the readable tasks of a page, without blocking the event loop for long."""
    await anyio.lowlevel.checkpoint()
    if page.tasks is not None:
        return _complete(page.tasks, page.body)
    tasks: list[Observation] = []
    began = time.perf_counter()
    items = page.items()
    for start in range(0, len(items), _ITEMS_PER_SLICE):
        decoded = map(decode_task, items[start : start + _ITEMS_PER_SLICE])
        tasks += [task for task in decoded if isinstance(task, Observation)]
        if time.perf_counter() - began > _MAX_BLOCKING:
            await anyio.lowlevel.checkpoint()
            began = time.perf_counter()
    return tasks


def _complete(tasks: list[Observation], body: bytes) -> list[Observation]:
    """Add the details, normalize statuses, and leave out tasks without one."""
    details = _PageDetails(body)
    for task in tasks:
        task.details = details
        if task.status not in KNOWN_STATUSES:
            task.status = normalize_status(task.status)
    if all(task.status for task in tasks):
        return tasks
    return [task for task in tasks if task.status]


def discovered_page(items: Sequence[msgspec.Raw], *, more: bool) -> DiscoveredPage:
    """Return the tasks of a page of tasks or of batches; a batch has one, and one per tier."""
    tasks: list[DiscoveredTask] = []
    created: list[str] = []
    for raw in items:
        try:
            item = _decode_discovered_item(raw)
        except UNREADABLE:
            continue
        if isinstance(item.created_at, str):
            created.append(item.created_at)
        tasks += _discovered_tasks(item)
    is_sorted = (
        len(created) == len(items) > 1
        and created == sorted(created, reverse=True)
        and created[0] != created[-1]
    )
    return DiscoveredPage(tasks=tasks, newest_first=is_sorted, more=more)


def _discovered_tasks(item: _DiscoveredItem) -> list[DiscoveredTask]:
    return [
        DiscoveredTask(
            tier.task_id,
            normalize_status(tier.status) or None,
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
