"""Records to rows of SQLite and back; see `watcher.stores._rows` for the columns."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from watcher.core.deliveries import AttemptResult
from watcher.core.events import Event, EventFilter
from watcher.core.tasks import TaskKey, Watch, WatchState
from watcher.stores._rows import (
    ATTEMPT_COLUMNS,
    ATTEMPT_PARAMETERS,
    CHANGED_COLUMNS,
    DELIVERY_COLUMNS,
    DEPTH_COLUMNS,
    DUE_COLUMNS,
    EVENT_COLUMNS,
    KEY_COLUMNS,
    OUTAGE_COLUMNS,
    SETTLE_PARAMETERS,
    STORED_EVENT_COLUMNS,
    SUSPENSION_COLUMNS,
    WATCH_COLUMNS,
    WATCH_FIELDS,
    Row,
    attempt,
    attempt_values,
    changed_values,
    delivery,
    due_delivery,
    event_values,
    oldest_pending,
    outage,
    outage_row,
    outbox_depth,
    settle_values,
    stored_event,
    suspension,
    suspension_row,
    watch_values,
)

__all__ = [
    "ATTEMPT_COLUMNS",
    "ATTEMPT_PARAMETERS",
    "CHANGED_COLUMNS",
    "DELIVERY_COLUMNS",
    "DEPTH_COLUMNS",
    "DUE_COLUMNS",
    "EVENT_COLUMNS",
    "KEY_COLUMNS",
    "OUTAGE_COLUMNS",
    "SETTLE_PARAMETERS",
    "STORED_EVENT_COLUMNS",
    "SUSPENSION_COLUMNS",
    "WATCH_COLUMNS",
    "Row",
    "as_json",
    "attempt",
    "attempt_row",
    "changed_row",
    "delivery",
    "due_delivery",
    "event_row",
    "json_keys",
    "names",
    "oldest_pending",
    "outage",
    "outage_row",
    "outbox_depth",
    "selection_parameters",
    "settle_row",
    "stored_event",
    "suspension",
    "suspension_row",
    "watch",
    "watch_row",
]

_encode = msgspec.json.Encoder().encode
_decode_labels = msgspec.json.Decoder(dict[str, str]).decode
names: Callable[[str], Sequence[str]] = msgspec.json.Decoder(tuple[str, ...]).decode
"""Reads a column that holds a JSON array of names."""

_LABELS = WATCH_COLUMNS.index("labels")
_CHANNELS = EVENT_COLUMNS.index("channels")


def as_json(value: object) -> str:
    """Return `value` as JSON text, for a column or for `json_each`."""
    return _encode(value).decode()


def json_keys(keys: Iterable[TaskKey]) -> str:
    """Return task keys as one parameter, an array of `[source, task_id]`."""
    return as_json(list(keys))


def watch(row: Row) -> Watch:
    source, task_id, *values = row
    stored = dict(zip(WATCH_FIELDS, values, strict=True))
    labels = stored["labels"]
    stored["labels"] = _decode_labels(labels) if labels != "{}" else {}
    stored["state"] = WatchState(stored["state"])
    return Watch(key=TaskKey(source, task_id), **stored)


def watch_row(watch: Watch) -> Row:
    row = [*watch.key, *watch_values(watch)]
    row[_LABELS] = as_json(watch.labels)
    return row


def changed_row(watch: Watch) -> Row:
    return (*changed_values(watch), *watch.key)


def selection_parameters(channel: str, selected: EventFilter, now: float) -> Row:
    """Return the first parameters of a query with `queries.SELECTED`."""
    until = now if selected.until is None else selected.until
    statuses, task_ids = (
        as_json(names) if names else None for names in (selected.statuses, selected.task_ids)
    )
    return (channel, now, selected.since, until, statuses, task_ids)


def event_row(event: Event) -> Row:
    row = [*(event.key or (None, None)), *event_values(event)]
    row[_CHANNELS] = as_json(event.channels)
    return row


def settle_row(result: AttemptResult, now: float) -> Row:
    return [*_of_array(settle_values(result)), now]


def attempt_row(result: AttemptResult) -> Row:
    return _of_array(attempt_values(result))


def _of_array(values: Row) -> Row:
    """Return what SQLite reads back from a JSON array: it ends a text at U+0000."""
    return [
        value.replace("\0", "\N{REPLACEMENT CHARACTER}") if type(value) is str else value
        for value in values
    ]
