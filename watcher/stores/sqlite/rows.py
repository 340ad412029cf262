"""Records to rows and back.

The columns of a record are derived once, here, from its fields. Statements and both conversions
use them, so a new field is a field and a migration. A test compares them with the schema.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.deliveries import (
    Attempt,
    AttemptResult,
    Delivery,
    DeliveryState,
    DueDelivery,
    OldestPending,
    OutboxDepth,
)
from watcher.core.events import Event, EventFilter, StoredEvent
from watcher.core.outage import Outage
from watcher.core.tasks import TaskKey, Watch, WatchState

Record = TypeVar("Record")
Row = Any
"""A row as `sqlite3` returns it: a tuple of column values."""

_encode = msgspec.json.Encoder().encode
_decode_labels = msgspec.json.Decoder(dict[str, str]).decode
names: Callable[[str], Sequence[str]] = msgspec.json.Decoder(tuple[str, ...]).decode
"""Reads a column that holds a JSON array of names."""


def _names(record: Any, *, without: Iterable[str] = ()) -> tuple[str, ...]:
    excluded = set(without)
    return tuple(field.name for field in fields(record) if field.name not in excluded)


def _reader(record: Callable[..., Record], columns: Sequence[str]) -> Callable[[Row], Record]:
    def read(row: Row) -> Record:
        return record(**dict(zip(columns, row, strict=True)))

    return read


KEY_COLUMNS = TaskKey._fields
"""The columns of a record's `key`."""

_WATCH_FIELDS = _names(Watch, without=["key"])
WATCH_COLUMNS = (*KEY_COLUMNS, *_WATCH_FIELDS)
CHANGED_COLUMNS = _names(Watch, without=["key", "namespace", "labels", "added_at", "batch"])
"""The columns that every change writes; `batch` rarely differs.

The others are written when a watch is added or merged, which may happen between the reading of a
watch and the storing of its change.
"""

_EVENT_FIELDS = _names(Event, without=["key"])
EVENT_COLUMNS = (*KEY_COLUMNS, *_EVENT_FIELDS)
STORED_EVENT_COLUMNS = _names(StoredEvent)
DUE_COLUMNS = _names(DueDelivery)
DELIVERY_COLUMNS = _names(Delivery)
EVENT_COLUMN_OF = {
    "event_id": "event_id",
    "type": "type",
    "body": "body",
    "body_size": "body",
    "event_at": "at",
    "task_id": "task_id",
    "watched_for": "watched_for",
}
"""The fields of `DueDelivery` and `Delivery` that are columns of the event."""

SETTLE_PARAMETERS = (*_names(AttemptResult, without=["duration", "response"]), "now")
ATTEMPT_PARAMETERS = (
    "delivery_id",
    "attempted_at",
    "duration",
    "last_status",
    "last_error",
    "response",
)
ATTEMPT_COLUMNS = _names(Attempt)
DEPTH_COLUMNS = _names(OutboxDepth)
OUTAGE_COLUMNS = _names(Outage)
SUSPENSION_COLUMNS = _names(Suspension)

stored_event = _reader(StoredEvent, STORED_EVENT_COLUMNS)
due_delivery = _reader(DueDelivery, DUE_COLUMNS)
attempt = _reader(Attempt, ATTEMPT_COLUMNS)
outbox_depth = _reader(OutboxDepth, DEPTH_COLUMNS)
oldest_pending = _reader(OldestPending, _names(OldestPending))
outage = _reader(Outage, OUTAGE_COLUMNS)
outage_row: Callable[[Outage], Row] = attrgetter(*OUTAGE_COLUMNS)
suspension_row: Callable[[Suspension], Row] = attrgetter(*SUSPENSION_COLUMNS)
_watch_values: Callable[[Watch], Row] = attrgetter(*_WATCH_FIELDS)
_changed_values: Callable[[Watch], Row] = attrgetter(*CHANGED_COLUMNS)
_settle_values: Callable[[AttemptResult], Row] = attrgetter(*SETTLE_PARAMETERS[:-1])
_attempt_values: Callable[[AttemptResult], Row] = attrgetter(*ATTEMPT_PARAMETERS)
_event_values: Callable[[Event], Row] = attrgetter(*_EVENT_FIELDS)
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
    stored = dict(zip(_WATCH_FIELDS, values, strict=True))
    labels = stored["labels"]
    stored["labels"] = _decode_labels(labels) if labels != "{}" else {}
    stored["state"] = WatchState(stored["state"])
    return Watch(key=TaskKey(source, task_id), **stored)


def watch_row(watch: Watch) -> Row:
    row = [*watch.key, *_watch_values(watch)]
    row[_LABELS] = as_json(watch.labels)
    return row


def changed_row(watch: Watch) -> Row:
    return (*_changed_values(watch), *watch.key)


def selection(channel: str, selected: EventFilter, now: float) -> Row:
    """Return the first parameters of a query with `queries.SELECTED`."""
    until = now if selected.until is None else selected.until
    statuses, task_ids = (
        as_json(names) if names else None for names in (selected.statuses, selected.task_ids)
    )
    return (channel, now, selected.since, until, statuses, task_ids)


def event_row(event: Event) -> Row:
    row = [*(event.key or (None, None)), *_event_values(event)]
    row[_CHANNELS] = as_json(event.channels)
    return row


def delivery(row: Row) -> Delivery:
    stored = dict(zip(DELIVERY_COLUMNS, row, strict=True))
    return Delivery(**stored | {"state": DeliveryState(stored["state"])})


def suspension(row: Row) -> Suspension:
    stored = dict(zip(SUSPENSION_COLUMNS, row, strict=True))
    return Suspension(**stored | {"kind": SuspensionKind(stored["kind"])})


def settle_row(result: AttemptResult, now: float) -> Row:
    return [*_of_array(_settle_values(result)), now]


def attempt_row(result: AttemptResult) -> Row:
    return _of_array(_attempt_values(result))


def _of_array(values: Row) -> Row:
    """Return what SQLite reads back from a JSON array: it ends a text at U+0000."""
    return [
        value.replace("\0", "\N{REPLACEMENT CHARACTER}") if type(value) is str else value
        for value in values
    ]
