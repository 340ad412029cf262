"""When the attempts of a channel demand that it stops."""

import pytest

from tests.delivery.harness import DOWN, GONE
from watcher.core.channels import SuspensionKind
from watcher.delivery.stop_conditions import Stop, StopConditions

DAY = 86400.0
OFF = Stop(SuspensionKind.OFF, f"no success for 3 days ({DOWN})")
STOPPED = Stop(SuspensionKind.STOPPED, str(GONE))


@pytest.mark.parametrize(
    ("failing_since", "now", "stop"),
    [
        (None, 10 * DAY, None),
        (DAY, 4 * DAY - 1, None),
        (DAY, 4 * DAY, OFF),
    ],
)
def test_a_channel_is_off_once_it_has_failed_for_days(
    failing_since: float | None, now: float, stop: Stop | None
) -> None:
    assert StopConditions(3 * DAY).met(failing_since, DOWN, now) == stop


def test_failures_count_from_the_last_resumption() -> None:
    conditions = StopConditions(3 * DAY)
    conditions.resumed(4 * DAY)
    assert conditions.met(DAY, DOWN, 7 * DAY - 1) is None
    assert conditions.met(DAY, DOWN, 7 * DAY) == OFF


@pytest.mark.parametrize("failing_since", [None, DAY])
def test_an_endpoint_that_is_gone_stops_its_channel_at_once(failing_since: float | None) -> None:
    conditions = StopConditions(3 * DAY)
    conditions.gone(GONE)
    assert conditions.gone_error is GONE
    assert conditions.met(failing_since, DOWN, DAY) == STOPPED
    assert conditions.met(failing_since, DOWN, 9 * DAY) == STOPPED


def test_a_410_counts_until_it_is_stored_or_the_channel_is_resumed() -> None:
    conditions = StopConditions(3 * DAY)
    conditions.gone(GONE)
    conditions.stop_is_stored()
    assert conditions.met(None, None, DAY) is None
    conditions.gone(GONE)
    conditions.resumed(DAY)
    assert conditions.gone_error is None
