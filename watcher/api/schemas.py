"""What goes in and out of the HTTP API: the shapes that `/openapi.json` shows."""

import re
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    WithJsonSchema,
)

from watcher.core.channels import ChannelState
from watcher.core.clock import rfc3339
from watcher.core.deliveries import Attempt, Delivery, DeliveryState, OutboxDepth
from watcher.core.events import StoredEvent
from watcher.core.tasks import TERMINAL_STATUSES, Watch, WatchState

Time = str
"""RFC 3339 in UTC."""

_LABELS = 20


SHOWN = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
"""What a terminal or a log shows as it stands: no control characters, and none that turn the direction of writing."""
_TASK_ID = SHOWN.replace("[^", "[^/").replace("*", "+")


def check_task_id(text: str) -> str:
    """Return `text` where it can be a task ID; raises `ValueError` where it cannot."""
    if not 1 <= len(text) <= 256:
        raise ValueError("a task ID has 1 to 256 characters")
    if "/" in text or text in (".", ".."):
        raise ValueError("a task ID holds no slash, and is neither . nor ..")
    if not re.search(SHOWN, text):
        raise ValueError("holds characters that cannot be printed")
    return text


TaskId = Annotated[
    str,
    AfterValidator(check_task_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256, "pattern": _TASK_ID}),
]
TaskIdInPath = Annotated[TaskId, Path()]
Printable = Annotated[str, Field(min_length=1, max_length=256, pattern=SHOWN)]
LabelName = Annotated[
    str, Field(min_length=1, max_length=64, pattern=SHOWN.replace("[^", "[^:=").replace("*", "+"))
]
LabelValue = Annotated[str, Field(max_length=256, pattern=SHOWN)]
Labels = Annotated[
    dict[LabelName, LabelValue],
    Field(max_length=_LABELS),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": _LABELS,
            "propertyNames": TypeAdapter(LabelName).json_schema(),
            "additionalProperties": TypeAdapter(LabelValue).json_schema(),
        }
    ),
]
Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339."""


class WatchRequestView(BaseModel):
    """A task to watch."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task_id: TaskId
    source: str | None = None
    namespace: Printable | None = None
    labels: Labels = Field(default_factory=dict)


class WatchView(BaseModel):
    """One task on the watchlist. `lost_at` is when upstream was found not to know it any more."""

    task_id: str
    source: str
    namespace: str | None
    labels: dict[str, str]
    state: WatchState
    status: str | None
    terminal: bool
    sequence: int
    task_type: str | None
    error_message: str | None
    added_at: Time
    first_seen_at: Time | None
    changed_at: Time | None
    polled_at: Time | None
    next_poll_at: Time | None
    lost_at: Time | None


class TransitionView(BaseModel):
    """One status change of a task."""

    sequence: int
    previous_status: str | None
    status: str
    at: Time
    event_id: str


class WatchWithTransitionsView(WatchView):
    """A single watch, with its history."""

    transitions: list[TransitionView]


class AddedView(BaseModel):
    """What became of a request to watch."""

    added: int
    existing: int
    items: list[WatchView]


class WatchPageView(BaseModel):
    """A page of watches, newest first."""

    items: list[WatchView]
    next_cursor: str | None


class DeliveryView(BaseModel):
    """One event on its way to one channel."""

    id: int
    event_id: str
    type: str
    task_id: str | None
    channel: str
    state: DeliveryState
    attempts: int
    next_attempt_at: Time | None
    last_error: str | None
    last_status: int | None
    created_at: Time
    delivered_at: Time | None


class AttemptView(BaseModel):
    """One attempt: `duration` in seconds, `answer` the first KiB of what the receiver said."""

    number: int
    at: Time
    duration: float
    status: int | None
    error: str | None
    answer: str | None


class DeliveryWithAttemptsView(DeliveryView):
    """A delivery with its last fifty attempts, the oldest first."""

    history: list[AttemptView]


class DeliveryPageView(BaseModel):
    """A page of deliveries, newest first."""

    items: list[DeliveryView]
    next_cursor: str | None


class ChannelView(BaseModel):
    """How a channel does, and what waits for it."""

    name: str
    type: str
    state: Literal["running", "failing", "paused", "stopped", "off"]
    reason: str | None
    since: Time | None
    pending: int
    failed: int


class ChannelPageView(BaseModel):
    """Every channel of the configuration."""

    items: list[ChannelView]
    next_cursor: str | None


class PauseRequestView(BaseModel):
    """Why nothing is to be sent."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=200)] = "no reason was given"


class ReplayRequestView(BaseModel):
    """Which events to send once more: those seen from `since` to `until` (default: now), RFC 3339.

    `statuses` and `task_ids` choose among them.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    since: Moment
    until: Moment | None = None
    statuses: Annotated[list[str], Field(max_length=100)] = []
    task_ids: Annotated[list[str], Field(max_length=1000)] = []


class PurgeRequestView(BaseModel):
    """Which deliveries to remove: those in `state`, of events seen before `before` (default: now), RFC 3339."""

    model_config = ConfigDict(extra="forbid")

    state: DeliveryState
    before: Moment | None = None


class PurgedView(BaseModel):
    """How many deliveries were removed."""

    purged: int


class ReplayView(BaseModel):
    """How many deliveries were queued."""

    queued: int


class SortView(BaseModel):
    """By which field to sort."""

    model_config = ConfigDict(extra="forbid", strict=True)

    field: Annotated[str, Field(min_length=1)]
    direction: Literal["asc", "desc"]


class TaskListRequestView(BaseModel):
    """Which of upstream's tasks to list; handed on as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: str | None = None
    task_type: str | None = None
    filters: dict[str, Any] | None = None
    sort: SortView | None = None
    search: str | None = None


class BatchListRequestView(BaseModel):
    """Which of upstream's batches to list; handed on as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: str | None = None
    collection_id: str | None = None


class ItemPageView(BaseModel):
    """A page of upstream's items, as they came."""

    items: list[dict[str, Any]]
    next_cursor: str | None


def _whole(value: object) -> object:
    """Return a whole number as such, however it is written: in JSON, 7 and 7.0 are the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ConfirmationView(BaseModel):
    """An upload that has been made."""

    model_config = ConfigDict(extra="forbid", strict=True)

    upload_id: Annotated[str, Field(min_length=1, max_length=256)]
    etag: str | None = None
    file_size_bytes: Annotated[int, Field(ge=1), BeforeValidator(_whole)] | None = None


class ConfirmRequestView(BaseModel):
    """Uploads to confirm; `resend_doubtful` sends those again of which nobody knows whether upstream took them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    confirmations: Annotated[list[ConfirmationView], Field(min_length=1, max_length=1000)]
    resend_doubtful: bool = False


class UploadResultView(BaseModel):
    """What became of one upload, and the task that confirmed it."""

    upload_id: str
    state: Literal["confirmed", "already", "doubtful"]
    task_id: str | None


class ConfirmedView(BaseModel):
    """What became of a request to confirm."""

    items: list[UploadResultView]
    next_cursor: None


class HealthView(BaseModel):
    """`ok`, or what is wrong."""

    status: str


def watch_view(
    watch: Watch, polled_at: float | None, next_poll_at: float | None
) -> dict[str, object]:
    """Return the fields of a `WatchView`."""
    active = watch.state is WatchState.ACTIVE
    return {
        "task_id": watch.key.task_id,
        "source": watch.key.source,
        "namespace": watch.namespace,
        "labels": watch.labels,
        "state": watch.state,
        "status": watch.status,
        "terminal": watch.status in TERMINAL_STATUSES,
        "sequence": watch.sequence,
        "task_type": watch.task_type,
        "error_message": watch.error_message,
        "added_at": rfc3339(watch.added_at),
        "first_seen_at": _time(watch.first_seen_at),
        "changed_at": _time(watch.changed_at),
        # A finished task is not kept in memory; it was last asked for when it was seen to be finished.
        "polled_at": _time(polled_at if active else watch.changed_at),
        "next_poll_at": _time(next_poll_at) if active else None,
        "lost_at": _time(watch.lost_at),
    }


def transition_views(events: list[StoredEvent]) -> list[dict[str, object]]:
    """Return the fields of a `TransitionView` for each of `events` that is a transition."""
    return [
        {
            "sequence": event.sequence,
            "previous_status": event.previous_status,
            "status": event.status,
            "at": rfc3339(event.at),
            "event_id": event.event_id,
        }
        for event in events
        if event.type not in ("task.lost", "task.stalled")
    ]


def channel_view(channel: ChannelState, depth: OutboxDepth | None) -> dict[str, object]:
    """Return the fields of a `ChannelView`."""
    return {
        "name": channel.name,
        "type": channel.type,
        "state": channel.state,
        "reason": channel.reason,
        "since": _time(channel.since),
        "pending": depth.pending if depth else 0,
        "failed": depth.failed if depth else 0,
    }


def delivery_view(delivery: Delivery) -> dict[str, object]:
    """Return the fields of a `DeliveryView`."""
    pending = delivery.state is DeliveryState.PENDING
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "type": delivery.type,
        "task_id": delivery.task_id,
        "channel": delivery.channel,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_attempt_at": _time(delivery.next_attempt_at) if pending else None,
        "last_error": delivery.last_error,
        "last_status": delivery.last_status,
        "created_at": rfc3339(delivery.created_at),
        "delivered_at": _time(delivery.delivered_at),
    }


def attempt_view(attempt: Attempt) -> dict[str, object]:
    """Return the fields of an `AttemptView`."""
    return {
        "number": attempt.number,
        "at": rfc3339(attempt.at),
        "duration": round(attempt.duration, 6),
        "status": attempt.status,
        "error": attempt.error,
        "answer": attempt.response,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
