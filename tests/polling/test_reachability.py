"""When a source counts as down."""

import pytest

from watcher.core.errors import SourceError, SourceFailure
from watcher.polling.reachability import Reachability


def error(reason: SourceFailure) -> SourceError:
    return SourceError(reason, "test")


def test_down_after_three_failures_and_the_limit() -> None:
    reachability = Reachability(60.0)
    failure = error(SourceFailure.CONNECT)
    assert [reachability.failed(failure, now) for now in (0.0, 30.0, 59.0)] == [False] * 3
    assert reachability.failed(failure, 60.0)
    assert reachability.reason is SourceFailure.CONNECT
    assert not reachability.answering
    assert not reachability.failed(failure, 90.0)  # reported once
    assert reachability.succeeded()
    assert reachability.reason is None


def test_two_failures_are_too_few_however_long_they_last() -> None:
    reachability = Reachability(60.0)
    failure = error(SourceFailure.CONNECT)
    assert not reachability.failed(failure, 0.0)
    assert not reachability.failed(failure, 600.0)


def test_an_invalid_key_counts_at_once() -> None:
    reachability = Reachability(60.0)
    assert reachability.failed(error(SourceFailure.UNAUTHORIZED), 0.0)


@pytest.mark.parametrize(("retry_after", "down"), [(59.0, False), (60.0, False), (61.0, True)])
def test_a_retry_after_beyond_the_limit_counts_as_enough_failures(
    retry_after: float, down: bool
) -> None:
    reachability = Reachability(60.0)
    limited = SourceError(SourceFailure.RATE_LIMITED, "test", retry_after=retry_after)
    assert not reachability.failed(limited, 0.0)
    assert not reachability.review(59.0)
    assert reachability.review(60.0) is down
    assert reachability.reason is (SourceFailure.RATE_LIMITED if down else None)


@pytest.mark.parametrize(
    ("missing", "watches", "mostly_unknown"),
    [(4, 4, False), (3, 5, True), (3, 6, False), (4, 6, True), (0, 0, False)],
)
def test_more_than_half_of_at_least_five(missing: int, watches: int, mostly_unknown: bool) -> None:
    reachability = Reachability(60.0)
    assert not reachability.unknown(missing, watches, 0.0)
    assert reachability.mostly_unknown is mostly_unknown


def test_mostly_unknown_for_the_limit_is_down_but_still_answers() -> None:
    reachability = Reachability(60.0)
    assert not reachability.unknown(5, 5, 0.0)
    assert not reachability.unknown(5, 5, 59.0)
    assert reachability.unknown(5, 5, 60.0)
    assert reachability.reason is SourceFailure.NOT_FOUND
    assert reachability.answering
    assert not reachability.succeeded()  # an answer alone does not prove the account right
    assert reachability.unknown(0, 5, 70.0)
    assert reachability.reason is None


def test_a_suspected_source_is_down_without_the_limit() -> None:
    reachability = Reachability(60.0)
    reachability.unknown(5, 5, 0.0)
    assert reachability.suspected()
    assert not reachability.suspected()
    assert reachability.reason is SourceFailure.NOT_FOUND
