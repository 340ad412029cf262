"""Pages of a list that is ordered by ID, the newest first. A cursor is the last ID of its page."""

from collections.abc import Sequence

from watcher.stores._rows import Row

_BEYOND_ALL = 2**63 - 1


def page_start(cursor: str | None) -> int:
    """Return the ID below which a page begins. Raises `ValueError` for an invalid cursor."""
    if cursor is None:
        return _BEYOND_ALL
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise ValueError("invalid cursor: pass the next_cursor of the previous page")
    return int(cursor)


def next_cursor(found: Sequence[Row], limit: int) -> str | None:
    """Return the cursor of the page after this one. `found` has one row more if there is one."""
    return None if len(found) <= limit else str(found[limit - 1][0])
