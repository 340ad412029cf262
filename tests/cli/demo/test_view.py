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
    def section(text: str) -> dict[str, Any]:
        return {"type": "section", "text": {"type": "mrkdwn", "text": text}}

    link = "<https://console.example/tasks/task_1|task_1>"
    line = {"type": "context", "elements": [{"text": "`api_x` · <!date^1^{date}|07:00> · a_b"}]}
    attached = [section("```Object &lt;x&gt; not found```"), line]
    view.slack(
        {
            "blocks": [section(f"<!here> ❌ *Task failed*: {link}")],
            "attachments": [{"color": "#d72638", "blocks": attached}],
        }
    )
    view.slack({"blocks": [section("a")], "attachments": []})
    lines = [line.strip("│ ") for line in output.getvalue().splitlines()]
    assert lines[0].startswith("╭─ Slack ")
    assert lines[1:4] == [
        "@here ❌ Task failed: task_1",
        "Object <x> not found",
        "api_x · 07:00 · a_b",
    ]
    assert lines[6] == "a"


def test_the_summary_counts_the_final_statuses_and_names_the_next_command(
    view: View, output: io.StringIO
) -> None:
    view.summary([("transitions", "4")], {"FAILED": 1, "COMPLETED": 3})
    assert [line.split() for line in output.getvalue().splitlines()] == [
        [],
        ["transitions", "4"],
        ["final", "statuses", "3", "COMPLETED", "1", "FAILED"],
        [],
        ["With", "your", "own", "tasks:", "watcher", "init"],
    ]


def test_the_end_of_the_first_round_names_a_command_that_works(
    view: View, output: io.StringIO
) -> None:
    view.continuing("http://127.0.0.1:34567")
    assert "\n  watcher status --url http://127.0.0.1:34567\n" in output.getvalue()
