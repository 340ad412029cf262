"""When the demo is complete, and its totals."""

from typing import Any

import pytest

from watcher.cli.demo.outcome import DemoOutcome
from watcher.core.tasks import TERMINAL_STATUSES
from watcher.testing.receiver import Received


def transition(task_id: str, status: str, previous: str | None = None) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "status": status,
        "previous_status": previous,
        "terminal": status in TERMINAL_STATUSES,
    }


def received(event_id: str, *, verified: bool = True) -> Received:
    return Received(
        event_id=event_id,
        verified=verified,
        event={"timestamp": "2026-11-23T07:00:00Z"},
        body=b"",
        accepted=True,
    )


ARRIVED = 1_795_417_200.25  # a quarter of a second after the event's timestamp


@pytest.mark.parametrize(
    ("statuses", "webhooks", "complete"),
    [
        ([], [], False),
        (["COMPLETED", "FAILED"], ["1", "2"], True),
        (["COMPLETED", "FAILED"], ["1", "1"], False),  # one of them twice
        (["COMPLETED", "IN_PROGRESS"], ["1", "2"], False),
        (["COMPLETED", "FAILED"], ["1"], False),
    ],
)
def test_complete_is_every_end_with_a_webhook_for_each_transition_that_is_sent(
    statuses: list[str], webhooks: list[str], complete: bool
) -> None:
    outcome = DemoOutcome(2)
    for number, status in enumerate(statuses):
        outcome.transition(transition(f"task_{number}", status, "PENDING"))
    for event_id in webhooks:
        outcome.delivery(received(event_id), ARRIVED)
    assert outcome.complete == complete


def test_a_webhook_with_an_invalid_signature_does_not_count() -> None:
    outcome = DemoOutcome(1)
    outcome.transition(transition("task_1", "COMPLETED"))
    outcome.delivery(received("1", verified=False), ARRIVED)
    assert not outcome.complete
    assert ("stored to delivered" in dict(outcome.rows(requests=1, slack_messages=0))) is False


def test_the_totals() -> None:
    outcome = DemoOutcome(1)
    outcome.transition(transition("task_1", "PENDING"))
    outcome.transition(transition("task_1", "IN_PROGRESS", "PENDING"))
    outcome.transition(transition("task_1", "COMPLETED", "IN_PROGRESS"))
    for event_id in ("1", "2"):
        outcome.delivery(received(event_id), ARRIVED)
    assert outcome.complete
    assert outcome.rows(requests=3, slack_messages=1) == [
        ("tasks", "1 of 1 polled, in 3 requests"),
        ("transitions", "3, of which 2 are sent"),
        ("webhooks", "2 delivered, signatures verified"),
        ("Slack", "1 messages"),
        ("stored to delivered", "250 ms (median)"),
    ]
