"""When an outage is opened, announced and closed."""

import pytest

from watcher.core.outage import Outage, OutageAction, next_step, restored

OPENED = Outage(subject="channel a", since=10.0)
ANNOUNCED = Outage(subject="channel a", since=10.0, alerted_at=20.0)
NEW = Outage(subject="channel a", since=5.0)


@pytest.mark.parametrize(
    ("stored", "failing_since", "alert_due", "expected"),
    [
        (None, None, False, None),
        (None, None, True, None),
        (None, 5.0, False, (OutageAction.OPEN, NEW, False)),
        (
            None,
            5.0,
            True,
            (OutageAction.ANNOUNCE, Outage(subject="channel a", since=5.0, alerted_at=30.0), True),
        ),
        (OPENED, 5.0, False, None),
        (
            OPENED,
            5.0,
            True,
            (OutageAction.ANNOUNCE, Outage(subject="channel a", since=10.0, alerted_at=30.0), True),
        ),
        (ANNOUNCED, 5.0, True, None),
        (ANNOUNCED, 5.0, False, None),
        (OPENED, None, False, (OutageAction.CLOSE, OPENED, False)),
        (ANNOUNCED, None, False, (OutageAction.CLOSE, ANNOUNCED, True)),
    ],
)
def test_every_row_of_the_table(
    stored: Outage | None,
    failing_since: float | None,
    alert_due: bool,
    expected: tuple[OutageAction, Outage, bool] | None,
) -> None:
    step = next_step(
        stored, subject="channel a", failing_since=failing_since, alert_due=alert_due, now=30.0
    )
    assert (None if step is None else (step.action, step.outage, step.send_event)) == expected


def test_one_that_was_stored_before_the_clock_was_set_back_begins_now() -> None:
    assert restored(None, 15.0) is None
    assert restored(ANNOUNCED, 15.0) == ANNOUNCED
    assert restored(ANNOUNCED, 5.0) == Outage(subject="channel a", since=5.0, alerted_at=20.0)
