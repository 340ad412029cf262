"""A missing task is lost, not lost yet, or the source is suspect."""

import pytest

from watcher.polling.absence import AbsenceJudge, Verdict
from watcher.polling.reachability import Reachability

LOST_AFTER = 600.0
NEVER = float("-inf")


def judge(*, missing: int, watches: int, at: float = 0.0) -> AbsenceJudge:
    absences = AbsenceJudge(LOST_AFTER, Reachability(60.0))
    for number in range(missing):
        absences.observe(f"task_{number}", known=False)
    absences.review(watches, at)
    return absences


@pytest.mark.parametrize(
    ("missing", "watches", "now", "clock_steady_since", "expected"),
    [
        (1, 4, 1000.0, NEVER, Verdict.LOST),
        (1, 10, 1000.0, NEVER, Verdict.LOST),
        (5, 10, 1000.0, NEVER, Verdict.LOST),
        (6, 10, 1000.0, NEVER, Verdict.SOURCE_SUSPECT),
        (1, 10, 1000.0, 401.0, Verdict.NOT_YET),
        (1, 10, 1000.0, 399.0, Verdict.LOST),
    ],
)
def test_the_verdict(
    missing: int, watches: int, now: float, clock_steady_since: float, expected: Verdict
) -> None:
    absences = judge(missing=missing, watches=watches)
    assert absences.verdict(now, clock_steady_since=clock_steady_since) is expected


def test_after_the_source_was_suspect_missing_tasks_get_their_full_time() -> None:
    absences = judge(missing=6, watches=10)
    absences.observe("task_0", known=True)
    absences.review(10, 1000.0)
    assert absences.verdict(1000.0 + LOST_AFTER, clock_steady_since=NEVER) is Verdict.NOT_YET
    assert absences.verdict(1001.0 + LOST_AFTER, clock_steady_since=NEVER) is Verdict.LOST


def test_lost_tasks_are_neither_missing_nor_watches() -> None:
    absences = judge(missing=6, watches=10)
    for number in range(4):
        absences.remember(f"task_{number}", missing=True, lost=True)
    absences.review(10, 1.0)
    assert absences.missing == {"task_4", "task_5"}
    assert absences.verdict(1000.0, clock_steady_since=NEVER) is not Verdict.SOURCE_SUSPECT


def test_review_returns_whether_the_source_went_down_or_came_back() -> None:
    absences = judge(missing=6, watches=10)
    assert absences.review(10, 59.0) is False
    assert absences.review(10, 60.0) is True
    for number in range(6):
        absences.forget(f"task_{number}")
    assert absences.review(10, 61.0) is True
