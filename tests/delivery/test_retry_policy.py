"""What follows each disposition, as a table."""

from dataclasses import replace
from random import Random

import pytest

from tests.delivery.records import DELIVERY
from watcher.core.deliveries import DeliveryState, DueDelivery, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.delivery.retry_policy import Retry, delivered_result, failed_result, next_retry

SCHEDULE = (0.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
NOW = 1000.0


def failure(
    disposition: Disposition,
    *,
    reason: DeliveryFailure = DeliveryFailure.UNAVAILABLE,
    retry_after: float | None = None,
) -> DeliveryError:
    return DeliveryError(reason, "failed", disposition=disposition, retry_after=retry_after)


def retry(error: DeliveryError, delivery: DueDelivery = DELIVERY, suspended: bool = False) -> Retry:
    return next_retry(
        delivery,
        error,
        schedule=SCHEDULE,
        suspended=suspended,
        attempted_at=NOW,
        now=NOW,
        random=Random(1),
    )


@pytest.mark.parametrize(
    ("error", "steps_used", "delay"),
    [
        (failure(Disposition.TRANSIENT), 2, 30.0),
        (failure(Disposition.OVERLOADED), 2, 30.0),
        (failure(Disposition.OVERLOADED, retry_after=60.0), 2, 30.0),
        (
            failure(Disposition.OVERLOADED, reason=DeliveryFailure.RATE_LIMITED, retry_after=60.0),
            1,
            60.0,
        ),
        (
            failure(Disposition.OVERLOADED, reason=DeliveryFailure.RATE_LIMITED, retry_after=0.0),
            1,
            1.0,
        ),
        (failure(Disposition.PERSISTENT), 3, 120.0),
        (failure(Disposition.REJECTED), 3, 120.0),
        (failure(Disposition.GONE), 1, 5.0),
        (failure(Disposition.NOT_SENT), 1, 5.0),
    ],
)
def test_the_next_attempt(error: DeliveryError, steps_used: int, delay: float) -> None:
    following = retry(error)
    assert following.steps_used == steps_used
    assert following.next_attempt_at is not None
    assert delay <= following.next_attempt_at - NOW <= delay * 1.1


RETRIED = [one for one in Disposition if one is not Disposition.TOO_LARGE]


@pytest.mark.parametrize("disposition", RETRIED)
def test_a_suspended_channel_uses_no_step(disposition: Disposition) -> None:
    assert retry(failure(disposition), suspended=True).steps_used == DELIVERY.scheduled


@pytest.mark.parametrize("disposition", RETRIED)
def test_a_probe_leaves_the_schedule_as_it_was(disposition: Disposition) -> None:
    probe = replace(DELIVERY, scheduled_at=NOW + 500.0)
    assert retry(failure(disposition), probe) == Retry(steps_used=1, next_attempt_at=NOW + 500.0)


@pytest.mark.parametrize("suspended", [False, True])
def test_what_is_too_large_is_not_sent_again(suspended: bool) -> None:
    assert retry(failure(Disposition.TOO_LARGE), suspended=suspended).exhausted


@pytest.mark.parametrize("disposition", Disposition)
def test_after_the_last_step_retries_are_exhausted(disposition: Disposition) -> None:
    last = replace(DELIVERY, scheduled=len(SCHEDULE) - 1)
    free = disposition in (Disposition.GONE, Disposition.NOT_SENT)
    assert retry(failure(disposition), last).exhausted is not free


@pytest.mark.parametrize(
    ("disposition", "unblocks_at"),
    [(Disposition.REJECTED, NOW), (Disposition.TRANSIENT, 990.0 + 600.0)],
)
def test_the_stored_result_of_a_failure(disposition: Disposition, unblocks_at: float) -> None:
    error = failure(disposition, retry_after=300.0)
    result = failed_result(
        DELIVERY,
        error,
        Retry(steps_used=2, next_attempt_at=NOW + 30.0),
        attempted_at=NOW,
        now=NOW,
        duration=0.5,
        order_wait=600.0,
    )
    assert (result.state, result.scheduled) == (DeliveryState.PENDING, 2)
    assert (result.next_attempt_at, result.not_before) == (NOW + 300.0, NOW + 300.0)
    assert result.unblocks_at == unblocks_at


def test_order_wait_counts_from_the_last_attempt_if_the_first_is_in_the_future() -> None:
    result = failed_result(
        replace(DELIVERY, first_attempt_at=NOW + 3600.0),
        failure(Disposition.TRANSIENT),
        Retry(steps_used=2, next_attempt_at=NOW + 30.0),
        attempted_at=NOW,
        now=NOW,
        duration=0.5,
        order_wait=600.0,
    )
    assert result.unblocks_at == NOW + 600.0


def test_the_stored_result_of_the_last_failure() -> None:
    result = failed_result(
        DELIVERY,
        failure(Disposition.TRANSIENT),
        Retry(steps_used=6, next_attempt_at=None),
        attempted_at=NOW,
        now=NOW,
        duration=0.5,
        order_wait=600.0,
    )
    assert (result.state, result.next_attempt_at) == (DeliveryState.FAILED, None)


def test_the_stored_result_of_a_success() -> None:
    receipt = Receipt(status=204, response="ok")
    result = delivered_result(DELIVERY, receipt, attempted_at=NOW, duration=0.5)
    assert (result.state, result.scheduled) == (DeliveryState.DELIVERED, 2)
    assert (result.last_status, result.response) == (204, "ok")
