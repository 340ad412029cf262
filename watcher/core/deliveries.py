"""Deliveries as records: one event on its way to one channel. Times are Unix seconds."""

from dataclasses import dataclass
from enum import StrEnum


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a channel sends. It is the same in every attempt; `body` is the event as JSON.

    `sent_again` is set if it had been delivered before, and was replayed or retried.
    """

    event_id: str
    type: str
    body: bytes
    watched_for: float | None = None
    sent_again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receiver accepted a message. `response` is the beginning of the response body."""

    status: int
    response: str = ""


SMALL_BODY = 8192
"""Bytes up to which a body is read with its delivery; a larger one is read when it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """A pending delivery, as its channel and the retry policy need it.

    `task_id` is None for an event of a source or channel. `body` is None if its `body_size` is
    above `SMALL_BODY`; a channel that combines events gets a summary instead.
    `event_at` is when the event was observed. `first_attempt_at` and `last_attempt_at` are None
    before the first attempt. `attempts` counts all attempts, `scheduled` those that used a step of
    the channel's schedule (a probe does not). `next_attempt_at` is when it is due, `scheduled_at`
    when it would be due by the schedule alone (None before the first attempt). `not_before` is the
    receiver's `Retry-After`: nothing may be sent earlier. `sent_again` is that of the message.
    """

    id: int
    channel: str
    event_id: str
    type: str
    task_id: str | None
    body: bytes | None
    body_size: int
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
    sent_again: bool = False

    @property
    def is_large(self) -> bool:
        """Whether the body has to be read when it is sent."""
        return self.body_size > SMALL_BODY


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """How one attempt ended, and when the next one follows.

    `duration` is in seconds. `response` is the beginning of the response body.
    `unblocks_at` is when later events of the same task stop waiting for this one; None keeps the
    stored time. It applies only to a delivery that stays pending.
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
    response: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt: its number from 1, when it was made, its duration in seconds, and its result."""

    number: int
    at: float
    duration: float
    status: int | None
    error: str | None
    response: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one channel, as users see it."""

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
    """The deliveries of one channel; `oldest_created_at` is None if none is pending.

    `pending_bytes` and `failed_bytes` are what they take in the store; an event of several channels
    counts for each of them. `bypassed` are those of the pending ones that let later ones pass:
    the receiver rejected them, or they failed for longer than `order_wait`.
    """

    channel: str
    pending: int
    failed: int
    oldest_created_at: float | None
    pending_bytes: int
    failed_bytes: int
    bypassed: int

    @classmethod
    def empty(cls, channel: str) -> "OutboxDepth":
        """Return that of a channel without deliveries."""
        return cls(
            channel=channel,
            pending=0,
            failed=0,
            oldest_created_at=None,
            pending_bytes=0,
            failed_bytes=0,
            bypassed=0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OldestPending:
    """The oldest pending deliveries of a channel: how many, and when the first and the last of
    their events were observed. `last_event` is the number of the last one in the store.
    """

    channel: str
    count: int
    last_event: int
    first_at: float
    last_at: float
