"""Records to rows and back. A record whose fields are in the order of its query's columns needs no list of them."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import msgspec

from watcher.core.deliveries import Attempt, AttemptResult, Delivery, DeliveryState, DueDelivery
from watcher.core.events import Event, StoredEvent
from watcher.core.tasks import TaskKey, Watch, WatchState

_encode = msgspec.json.Encoder().encode
_decode_labels = msgspec.json.Decoder(dict[str, str]).decode
_DUE_FIELDS = [field.name for field in fields(DueDelivery)]
_ATTEMPT_FIELDS = [field.name for field in fields(Attempt)]
_DELIVERY_FIELDS = [field.name for field in fields(Delivery)]
_EVENT_FIELDS = [field.name for field in fields(StoredEvent)]


def as_json(value: object) -> str:
    """Return `value` as JSON text, for a column or for `json_each`."""
    return _encode(value).decode()


def keys(keys: Iterable[TaskKey]) -> str:
    return as_json(list(keys))


def watch(row: Any) -> Watch:
    (
        source,
        task_id,
        namespace,
        labels,
        state,
        status,
        sequence,
        task_type,
        error,
        added,
        seen,
        changed,
        missing,
        lost,
        stalled,
    ) = row
    return Watch(
        key=TaskKey(source, task_id),
        namespace=namespace,
        labels=_decode_labels(labels) if labels != "{}" else {},
        state=WatchState(state),
        status=status,
        sequence=sequence,
        task_type=task_type,
        error_message=error,
        added_at=added,
        first_seen_at=seen,
        changed_at=changed,
        missing_since=missing,
        lost_at=lost,
        stalled_at=stalled,
    )


def step_row(watch: Watch) -> tuple[object, ...]:
    return (
        watch.state,
        watch.status,
        watch.sequence,
        watch.task_type,
        watch.error_message,
        watch.first_seen_at,
        watch.changed_at,
        watch.missing_since,
        watch.lost_at,
        watch.stalled_at,
        *watch.key,
    )


def event_row(event: Event) -> tuple[object, ...]:
    source, task_id = event.key or (None, None)
    return (
        event.event_id,
        event.type,
        source,
        task_id,
        event.sequence,
        event.previous_status,
        event.status,
        event.at,
        event.body,
        event.order_key,
        as_json(event.channels),
        event.watched_for,
    )


def stored_event(row: Any) -> StoredEvent:
    return StoredEvent(**dict(zip(_EVENT_FIELDS, row, strict=True)))


def due_delivery(row: Any) -> DueDelivery:
    return DueDelivery(**dict(zip(_DUE_FIELDS, row, strict=True)))


def delivery(row: Any) -> Delivery:
    values = dict(zip(_DELIVERY_FIELDS, row, strict=True))
    return Delivery(**values | {"state": DeliveryState(values["state"])})


def attempt(row: Any) -> Attempt:
    return Attempt(**dict(zip(_ATTEMPT_FIELDS, row, strict=True)))


def attempt_row(settled: AttemptResult) -> tuple[object, ...]:
    return (
        settled.delivery_id,
        settled.attempted_at,
        settled.duration,
        settled.last_status,
        settled.last_error,
        settled.response or None,
    )


def settle_row(settled: AttemptResult, now: float) -> tuple[object, ...]:
    return (
        settled.state,
        settled.scheduled,
        settled.attempted_at,
        settled.next_attempt_at,
        settled.not_before,
        settled.unblocks_at,
        settled.last_error,
        settled.last_status,
        now,
        settled.delivery_id,
    )
