"""Output of the demo."""

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import pytest

from watcher.cli.console import GuardedConsole
from watcher.cli.demo.view import View
from watcher.testing.receiver import Received


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def view(output: io.StringIO) -> View:
    with redirect_stdout(output):
        return View(GuardedConsole(width=80))


def received(*, verified: bool) -> Received:
    event = {"type": "task.failed", "data": {"task_id": "task_1"}}
    return Received(event_id="1", verified=verified, event=event, body=b"", accepted=verified)


def test_the_introduction_fits_a_terminal(view: View, output: io.StringIO) -> None:
    view.opening(12, "http://127.0.0.1:8080")
    lines = output.getvalue().splitlines()
    assert lines[0] == "watcher demo  12 simulated tasks in twenty seconds"
    assert lines[2] == "loopback. Its own API is at http://127.0.0.1:8080."


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            {"task_id": "task_1", "previous_status": None, "status": "PENDING"},
            "  1.5 s  changed  task_1               · → PENDING",
        ),
        (
            {"task_id": "task_1", "previous_status": "PENDING", "status": "FAILED"},
            "  1.5 s  changed  task_1               PENDING → FAILED",
        ),
    ],
)
def test_a_transition_is_one_line(
    view: View, output: io.StringIO, data: Mapping[str, Any], text: str
) -> None:
    view.transition(1.5, data)
    assert output.getvalue() == f"{text}\n"


@pytest.mark.parametrize(
    ("verified", "text"), [(True, "signature verified"), (False, "INVALID SIGNATURE")]
)
def test_a_webhook_says_whether_its_signature_is_valid(
    view: View, output: io.StringIO, verified: bool, text: str
) -> None:
    view.delivery(10.0, received(verified=verified))
    assert output.getvalue() == f" 10.0 s  webhook  task_1               task.failed  {text}\n"


def test_a_slack_message_shows_each_kind_of_block(view: View, output: io.StringIO) -> None:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "Task failed: a &amp; b"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "```Object not found```"}},
        {"type": "section", "fields": [{"text": "*Status*\nFAILED"}, {"text": "*Task*\ntask_1"}]},
        {"type": "actions", "elements": [{"text": {"text": "Open task"}}]},
    ]
    view.slack({"blocks": blocks})
    lines = [line.strip("│ ") for line in output.getvalue().splitlines()]
    assert lines[0].startswith("╭─ Slack ")
    assert lines[1:-1] == [
        "Task failed: a & b",
        "Object not found",
        "Status: FAILED  |  Task: task_1",
        "[ Open task ]",
    ]


def test_the_summary_counts_the_final_statuses(view: View, output: io.StringIO) -> None:
    view.summary([("transitions", "4")], {"FAILED": 1, "COMPLETED": 3})
    assert [line.split() for line in output.getvalue().splitlines()] == [
        [],
        ["transitions", "4"],
        ["final", "statuses", "3", "COMPLETED", "1", "FAILED"],
    ]
