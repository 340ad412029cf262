"""When a failed delivery is attempted again, and what is stored of an attempt. Pure.

    disposition    uses a step of the schedule      next attempt
    TRANSIENT      yes                              after the next step
    OVERLOADED     yes; not with a Retry-After      after the next step, or after Retry-After
                   on 429
    PERSISTENT     yes, of its second half          after that step
    REJECTED       yes, of its second half          after that step; later events need not wait
    TOO_LARGE      all                              never
    GONE           no                               when the channel is resumed
    NOT_SENT       no                               after 5 s

A probe, which is an attempt before its time, uses no step either and does not change the time of
the next attempt. Nor does an attempt use a step while the channel is suspended, or while its
receiver rejects everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from watcher.core.backoff import lengthened
from watcher.core.deliveries import AttemptResult, DeliveryState, DueDelivery, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.masking import SECRETS
from watcher.core.texts import RESPONSE_KEPT

FREE_RETRY = 5.0
"""Seconds until the next attempt if the last one used no step of the schedule."""
MAX_RETRY_AFTER = 3600.0
"""Seconds of a receiver's `Retry-After` that are honoured; after that, one probe is sent."""
MIN_FREE_RETRY = 1.0
"""Seconds. A shorter `Retry-After` is lengthened to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The number of steps used so far, and the time of the next attempt in Unix seconds.

    `next_attempt_at` is None once the delivery has exhausted its retries.
    """

    steps_used: int
    next_attempt_at: float | None

    @property
    def exhausted(self) -> bool:
        return self.next_attempt_at is None


def next_retry(
    delivery: DueDelivery,
    error: DeliveryError,
    *,
    schedule: Sequence[float],
    suspended: bool,
    attempted_at: float,
    now: float,
    random: Random,
) -> Retry:
    """Return what follows an attempt that failed with `error`.

    `schedule` has the delay in seconds before each attempt, the first one included. `suspended`
    says that the channel is suspended or rejects everything.
    """
    if error.disposition is Disposition.TOO_LARGE:
        return Retry(steps_used=len(schedule), next_attempt_at=None)
    probe = delivery.scheduled_at is not None and delivery.scheduled_at > attempted_at
    free = probe or suspended or _costs_no_attempt(error)
    used = delivery.scheduled if free else _next_step(delivery.scheduled, error, len(schedule))
    if used >= len(schedule):
        return Retry(steps_used=used, next_attempt_at=None)
    if probe and delivery.scheduled_at is not None:
        return Retry(steps_used=used, next_attempt_at=delivery.scheduled_at)
    delay = schedule[used] if used > delivery.scheduled else _free_delay(error)
    return Retry(steps_used=used, next_attempt_at=now + lengthened(delay, random))


def failed_result(
    delivery: DueDelivery,
    error: DeliveryError,
    retry: Retry,
    *,
    attempted_at: float,
    now: float,
    duration: float,
    order_wait: float | None,
) -> AttemptResult:
    """Return the result of a failed attempt.

    The next one is never before `Retry-After`, of which at most `MAX_RETRY_AFTER` are honoured. If
    `order_wait` is None, the delivery keeps its place in the queue.
    """
    wait = None if error.retry_after is None else min(error.retry_after, MAX_RETRY_AFTER)
    not_before = None if wait is None else now + wait
    # A first attempt in the future: the clock was set back.
    first_at = min(delivery.first_attempt_at or attempted_at, attempted_at)
    rejected = error.disposition is Disposition.REJECTED
    unblocks_at = None
    if order_wait is not None:
        unblocks_at = attempted_at if rejected else first_at + order_wait
    next_at = retry.next_attempt_at
    return AttemptResult(
        delivery_id=delivery.id,
        state=DeliveryState.FAILED if retry.exhausted else DeliveryState.PENDING,
        attempted_at=attempted_at,
        scheduled=retry.steps_used,
        next_attempt_at=None if next_at is None else max(next_at, not_before or 0.0),
        not_before=not_before,
        unblocks_at=unblocks_at,
        last_error=str(error),
        last_status=error.status,
        duration=duration,
        response=error.response,
    )


def delivered_result(
    delivery: DueDelivery, receipt: Receipt, *, attempted_at: float, duration: float
) -> AttemptResult:
    return AttemptResult(
        delivery_id=delivery.id,
        state=DeliveryState.DELIVERED,
        attempted_at=attempted_at,
        scheduled=delivery.scheduled + 1,
        last_status=receipt.status,
        duration=duration,
        response=SECRETS.text(receipt.response, RESPONSE_KEPT),
    )


def _costs_no_attempt(error: DeliveryError) -> bool:
    limited = error.reason is DeliveryFailure.RATE_LIMITED and error.retry_after is not None
    return limited or error.disposition in (Disposition.GONE, Disposition.NOT_SENT)


def _next_step(scheduled: int, error: DeliveryError, steps: int) -> int:
    """Return the next step. An error that time alone does not fix skips the first half."""
    slow = error.disposition in (Disposition.PERSISTENT, Disposition.REJECTED)
    return max(scheduled + 1, steps // 2 if slow else 0)


def _free_delay(error: DeliveryError) -> float:
    if error.retry_after is None:
        return FREE_RETRY
    return min(max(error.retry_after, MIN_FREE_RETRY), MAX_RETRY_AFTER)
