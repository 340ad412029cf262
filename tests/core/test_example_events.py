"""An example of each event type, in the shape that the type has."""

import json

import pytest

from watcher.core.example_events import EXAMPLE_TYPES, example_event

TASK_FIELDS = {"task_id", "task_type", "source", "status", "previous_status", "sequence", "labels"}


@pytest.mark.parametrize("kind", EXAMPLE_TYPES)
def test_each_type_has_an_example_that_says_it_is_one(kind: str) -> None:
    event = example_event(kind, channel="alerts", at=1_795_417_200.0, event_id="msg_1")
    body = json.loads(event.body)
    assert (event.type, body["type"], event.channels) == (kind, kind, ("alerts",))
    assert "example" in event.body.decode() or "a test" in event.body.decode()
    data = body["data"]
    subject = kind.partition(".")[0]
    if subject == "task":
        assert data.keys() >= TASK_FIELDS
        assert data["labels"] == {"example": "yes"}
    elif subject in ("source", "channel"):
        assert data.keys() >= {subject, "reason", "since"}


@pytest.mark.parametrize(
    ("kind", "status", "terminal"),
    [
        ("task.failed", "FAILED", True),
        ("task.pending", "PENDING", False),
        ("task.lost", "IN_PROGRESS", False),
    ],
)
def test_the_example_of_a_task_has_the_status_of_its_type(
    kind: str, status: str, terminal: bool
) -> None:
    data = json.loads(
        example_event(kind, channel="alerts", at=1_795_417_200.0, event_id="msg_1").body
    )["data"]
    assert (data["status"], data["terminal"]) == (status, terminal)
    assert ("reason" in data) == (kind == "task.lost")
