"""Typing errors in what selects events and statuses."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.events import event_type
from watcher.core.selectors import (
    KNOWN_EVENTS,
    Mistake,
    mistake_in_events,
    mistake_in_status,
    nearest,
)
from watcher.core.tasks import KNOWN_STATUSES


@pytest.mark.parametrize(
    "pattern", [*KNOWN_EVENTS, "*", "task.*", "TASK.Failed", "*.recovered", "task.fail*", "t?sk.*"]
)
def test_what_matches_a_known_event_is_right(pattern: str) -> None:
    assert mistake_in_events(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "fatal", "suggestion"),
    [
        ("task.faild", True, "task.failed"),
        ("task.fialed", True, "task.failed"),
        ("task.cancelled", True, "task.canceled"),
        ("tsk.failed", True, "task.failed"),
        ("failed", True, "task.failed"),
        ("lost", True, "task.lost"),
        ("task.faild*", True, "task.failed"),
        ("sorce.*", True, "source.*"),
        ("source.lost", True, None),
        ("sources", True, None),
        ("source.x*", True, None),
        ("batch.*", True, None),
        ("task.with space", True, None),
        ("", True, None),
        ("task.something_new", False, None),
        ("task.something*", False, None),
        ("ta*_new", False, None),
    ],
)
def test_what_matches_none_is_fatal_if_it_is_close_or_impossible(
    pattern: str, fatal: bool, suggestion: str | None
) -> None:
    mistake = mistake_in_events(pattern)
    assert mistake is not None
    assert mistake.fatal == fatal, mistake
    assert mistake.text.endswith(f"did you mean {suggestion!r}?") == (suggestion is not None)


@pytest.mark.parametrize("status", ["FAILED", "failed", "cancelled", "SUCCESS", "in-progress"])
def test_a_known_status_is_right_in_any_spelling(status: str) -> None:
    assert mistake_in_status(status) is None


def test_an_unknown_status_is_fatal_if_it_is_close_to_a_known_one_or_can_be_none() -> None:
    assert mistake_in_status("FAILD") == Mistake(
        text="unknown status 'FAILD'; did you mean 'FAILED'?", fatal=True
    )
    assert mistake_in_status("WAITING_FOR_GPU") == Mistake(
        text="unknown status 'WAITING_FOR_GPU'", fatal=False
    )
    for status in ("", " ", "x" * 300):
        mistake = mistake_in_status(status)
        assert mistake is not None
        assert mistake.fatal
    assert mistake_in_status("stopped") is not None
    assert mistake_in_status("stopped", ["STOPPED"]) is None


@given(st.sampled_from(sorted(KNOWN_STATUSES)), st.integers(0, 30), st.sampled_from("xX"))
def test_one_more_letter_is_always_found(status: str, position: int, letter: str) -> None:
    word = status[:position] + letter + status[position:]
    mistake = mistake_in_status(word)
    assert mistake is not None
    assert mistake.fatal
    of_event = mistake_in_events(event_type(word))
    assert of_event is not None
    assert of_event.fatal


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_the_distance_is_the_same_in_both_directions(first: str, second: str) -> None:
    assert (nearest(first, [second]) is None) == (nearest(second, [first]) is None)
    assert nearest(first, [first]) == first


@pytest.mark.parametrize("check", [mistake_in_events, mistake_in_status])
def test_what_may_be_a_secret_is_not_quoted(check: Callable[[str], Mistake | None]) -> None:
    for secret in ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "https://hooks.slack.com/T0/B0/x"):
        mistake = check(secret)
        assert mistake is not None
        assert secret.lower() not in mistake.text.lower()
