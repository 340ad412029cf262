"""The columns of records, for every SQL store.

They are derived once, here, from the fields of the records. Statements and both conversions use
them, so a new field is a field and a migration. A test compares them with each schema.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.deliveries import (
    SMALL_BODY,
    Attempt,
    AttemptResult,
    Delivery,
    DeliveryState,
    DueDelivery,
    OldestPending,
    OutboxDepth,
)
from watcher.core.events import Event, StoredEvent
from watcher.core.outage import Outage
from watcher.core.tasks import TaskKey, Watch

Record = TypeVar("Record")
Row = Any
"""A row as a driver returns it: a sequence of column values."""


def names_of(record: Any, *, without: Iterable[str] = ()) -> tuple[str, ...]:
    excluded = set(without)
    return tuple(field.name for field in fields(record) if field.name not in excluded)


def reader(record: Callable[..., Record], columns: Sequence[str]) -> Callable[[Row], Record]:
    def read(row: Row) -> Record:
        return record(**dict(zip(columns, row, strict=True)))

    return read


KEY_COLUMNS = TaskKey._fields
"""The columns of a record's `key`."""

WATCH_FIELDS = names_of(Watch, without=["key"])
WATCH_COLUMNS = (*KEY_COLUMNS, *WATCH_FIELDS)
CHANGED_COLUMNS = names_of(Watch, without=["key", "namespace", "labels", "added_at", "batch"])
"""The columns that every change writes; `batch` rarely differs.

The others are written when a watch is added or merged, which may happen between the reading of a
watch and the storing of its change.
"""

EVENT_FIELDS = names_of(Event, without=["key"])
EVENT_COLUMNS = (*KEY_COLUMNS, *EVENT_FIELDS)
STORED_EVENT_COLUMNS = names_of(StoredEvent)
DUE_COLUMNS = names_of(DueDelivery)
DELIVERY_COLUMNS = names_of(Delivery)
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

_BODY_COLUMNS = {
    "body": f"CASE WHEN length(e.body) <= {SMALL_BODY} THEN e.body END",
    "body_size": "length(e.body)",
}


def listed(columns: Iterable[str]) -> str:
    """Return columns as a statement lists them."""
    return ", ".join(columns)


def delivery_columns(fields: Iterable[str]) -> str:
    """Return the columns of a delivery `d` joined with its event `e`."""
    event = EVENT_COLUMN_OF
    columns = {name: f"e.{event[name]}" if name in event else f"d.{name}" for name in fields}
    return listed((columns | _BODY_COLUMNS)[name] for name in columns)


SETTLE_PARAMETERS = (*names_of(AttemptResult, without=["duration", "response"]), "now")
ATTEMPT_PARAMETERS = (
    "delivery_id",
    "attempted_at",
    "duration",
    "last_status",
    "last_error",
    "response",
)
ATTEMPT_COLUMNS = names_of(Attempt)
DEPTH_COLUMNS = names_of(OutboxDepth)
OUTAGE_COLUMNS = names_of(Outage)
SUSPENSION_COLUMNS = names_of(Suspension)

stored_event = reader(StoredEvent, STORED_EVENT_COLUMNS)
due_delivery = reader(DueDelivery, DUE_COLUMNS)
attempt = reader(Attempt, ATTEMPT_COLUMNS)
outbox_depth = reader(OutboxDepth, DEPTH_COLUMNS)
oldest_pending = reader(OldestPending, names_of(OldestPending))
outage = reader(Outage, OUTAGE_COLUMNS)
outage_row: Callable[[Outage], Row] = attrgetter(*OUTAGE_COLUMNS)
suspension_row: Callable[[Suspension], Row] = attrgetter(*SUSPENSION_COLUMNS)
watch_values: Callable[[Watch], Row] = attrgetter(*WATCH_FIELDS)
changed_values: Callable[[Watch], Row] = attrgetter(*CHANGED_COLUMNS)
settle_values: Callable[[AttemptResult], Row] = attrgetter(*SETTLE_PARAMETERS[:-1])
attempt_values: Callable[[AttemptResult], Row] = attrgetter(*ATTEMPT_PARAMETERS)
event_values: Callable[[Event], Row] = attrgetter(*EVENT_FIELDS)


def delivery(row: Row) -> Delivery:
    stored = dict(zip(DELIVERY_COLUMNS, row, strict=True))
    return Delivery(**stored | {"state": DeliveryState(stored["state"])})


def suspension(row: Row) -> Suspension:
    stored = dict(zip(SUSPENSION_COLUMNS, row, strict=True))
    return Suspension(**stored | {"kind": SuspensionKind(stored["kind"])})
