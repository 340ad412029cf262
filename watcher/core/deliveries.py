"""Deliveries as records: one event on its way to one channel. Times are Unix seconds."""

from dataclasses import dataclass
from enum import StrEnum


class DeliveryState(StrEnum):
    """How far a delivery has come."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a channel is handed to send: the event's bytes, and nothing that changes from one attempt to the next."""

    event_id: str
    type: str
    body: bytes
    watched_for: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receiver took a message: its HTTP status, which is 2xx, and the beginning of what it said."""

    status: int
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """A delivery that is to be tried: what its channel needs, and what decides what follows.

    `event_at` is when the event was seen; `first_attempt_at` and `last_attempt_at` are None before the first attempt.
    `attempts` counts those made so far, `scheduled` those of them that used up a step of the channel's schedule (an
    early one, made to find out whether the channel answers again, does not). `next_attempt_at` is when it is due,
    `scheduled_at` when it would be by the schedule alone (None before the first attempt). `not_before` is the
    receiver's own `Retry-After`, earlier than which nothing may be sent.
    """

    id: int
    channel: str
    event_id: str
    type: str
    body: bytes
    event_at: float
    created_at: float
    watched_for: float | None
    attempts: int
    scheduled: int
    first_attempt_at: float | None
    last_attempt_at: float | None
    next_attempt_at: float
    scheduled_at: float | None
    not_before: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """How one attempt ended, to be stored. `duration` is in seconds, `answer` what the receiver said.

    `passes_at` is when later events of the same task stop waiting for this one (now or earlier: at once); None keeps
    what is stored. It has a meaning for a delivery that stays pending only.
    """

    delivery_id: int
    state: DeliveryState
    attempted_at: float
    scheduled: int
    next_attempt_at: float | None = None
    not_before: float | None = None
    unblocks_at: float | None = None
    last_error: str | None = None
    last_status: int | None = None
    duration: float = 0.0
    answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a delivery: the how manieth, when (Unix seconds), for how long (seconds), and what came of it."""

    number: int
    at: float
    duration: float
    status: int | None
    error: str | None
    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one channel, as people see it."""

    id: int
    event_id: str
    type: str
    task_id: str | None
    channel: str
    state: DeliveryState
    attempts: int
    next_attempt_at: float | None
    last_error: str | None
    last_status: int | None
    created_at: float
    delivered_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxDepth:
    """What waits for one channel; `oldest_created_at` is None where nothing does."""

    channel: str
    pending: int
    failed: int
    oldest_created_at: float | None
