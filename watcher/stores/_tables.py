"""The tables that `watcher store copy` carries, with their columns, for every SQL store.

A test compares them with each schema.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from watcher.stores._rows import (
    EVENT_COLUMNS,
    OUTAGE_COLUMNS,
    SUSPENSION_COLUMNS,
    WATCH_COLUMNS,
    Row,
)

TABLES: Mapping[str, Sequence[str]] = {
    "watches": ("id", *WATCH_COLUMNS),
    "events": ("id", *EVENT_COLUMNS),
    "deliveries": (
        *("id", "event", "channel", "order_key", "state", "is_head", "bypassed", "sent_again"),
        *("attempts", "scheduled", "first_attempt_at", "last_attempt_at", "next_attempt_at"),
        *("scheduled_at", "not_before", "unblocks_at", "last_error", "last_status", "created_at"),
        *("delivered_at", "size"),
    ),
    "attempts": ("delivery", "slot", "number", "at", "duration", "status", "error", "response"),
    "outages": OUTAGE_COLUMNS,
    "suspensions": SUSPENSION_COLUMNS,
    "channel_targets": ("channel", "digest"),
    "channel_notes": ("channel", "name", "value", "at"),
    "list_sizes": ("source", "task_ids"),
    "discovery_rules": ("rule", "first_ran_at"),
    "discovered_tasks": ("rule", "task_id", "listed_at"),
    "operations": ("source", "scope", "key", "task_id", "at"),
}
"""The columns of each table, in an order in which rows can be inserted."""

NUMBERED = ("watches", "events", "deliveries")
"""The tables of `Counters`."""

FLAGS = frozenset({"is_head", "bypassed", "sent_again"})
LABELS = "labels"
CHANNELS = "channels"

ROWS_AT_ONCE = 500
EVENTS_AT_ONCE = 50
"""An event may take hundreds of kilobytes."""


def rows_at_once(table: str) -> int:
    """Return how many rows of a table are in memory at once."""
    return EVENTS_AT_ONCE if table == "events" else ROWS_AT_ONCE


Convert = Callable[[Any], Any]


def _unchanged(value: Any) -> Any:
    return value


def converted(
    rows: Iterable[Row],
    columns: Sequence[str],
    convert: Mapping[str, Convert],
    others: Convert = _unchanged,
) -> list[list[Any]]:
    """Return rows with each column converted by its own function, or else by `others`."""
    functions = [convert.get(name, others) for name in columns]
    return [
        [function(value) for function, value in zip(functions, row, strict=True)] for row in rows
    ]
