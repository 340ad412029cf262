"""Pages of the fake API's lists: limits, offsets, page numbers and cursors, with their aliases."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from watcher.testing.mixpeek_request import ApiError, integer

OFFSET_LIMIT = 10_000
_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000
_MAX_NUMBER = 2**31
_LIMITS = ("limit", "page_size")
_CURSORS = ("cursor", "next_cursor", "after")


class Position(NamedTuple):
    """Where a page starts, and the most items that it holds."""

    start: int
    limit: int


def task_position(query: Mapping[str, str]) -> Position:
    """Return the position in the query of a task list. Raises `ApiError` for an invalid one.

    A cursor comes before a page number, and that before an offset.
    """
    limits = [_limit(query, name) for name in _LIMITS if name in query]
    limit = limits[0] if limits else _DEFAULT_LIMIT
    offset = integer(query, "offset", default=0, minimum=0, maximum=OFFSET_LIMIT)
    page = integer(query, "page", default=1, minimum=1, maximum=_MAX_NUMBER)
    if cursor := next((query[name] for name in _CURSORS if query.get(name)), None):
        return Position(_decode_cursor(cursor), limit)
    return Position((page - 1) * limit if "page" in query else offset, limit)


def batch_position(body: Mapping[str, Any]) -> Position:
    """Return the position in the body of a batch list. Raises `ApiError` for an invalid one."""
    limit = _limit(body, "limit")
    offset = integer(body, "offset", default=0, minimum=0, maximum=_MAX_NUMBER)
    cursor = body.get("cursor")
    return Position(offset if cursor is None else _decode_cursor(cursor), limit)


def page_of(
    items: Sequence[dict[str, Any]], position: Position, *, with_cursor: bool, with_total: bool
) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
    """Return the items of a page, and the `pagination` of the answer."""
    start, limit = position
    end = start + limit
    pagination = {
        "next_cursor": _encode_cursor(end) if with_cursor and end < len(items) else None,
        "page": start // limit + 1,
        "page_size": limit,
        "total": len(items) if with_total else None,
        "total_pages": -(-len(items) // limit) if with_total else None,
        "next_page": None,
        "previous_page": None,
    }
    return items[start:end], pagination


def _limit(values: Mapping[str, Any], name: str) -> int:
    return integer(values, name, default=_DEFAULT_LIMIT, minimum=1, maximum=_MAX_LIMIT)


def _encode_cursor(start: int) -> str:
    return base64.urlsafe_b64encode(str(start).encode()).decode()


def _decode_cursor(cursor: object) -> int:
    try:
        return int(base64.urlsafe_b64decode(str(cursor)))
    except ValueError:
        raise ApiError(400, "Invalid cursor", "BadRequestError") from None
