"""What commands print: tables, values on one line, ages, progress."""

import io
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.harness import Terminal
from watcher.cli.checks import CheckResult
from watcher.cli.progress import Progress
from watcher.cli.tables import print_table
from watcher.cli.terminal import Counting, ago, plain, print_results
from watcher.core.cancellation import cancellation

ROWS: list[dict[str, Any]] = [
    {"task_id": "a", "status": "FAILED"},
    {"task_id": "longer\x1b[31m", "status": None},
]


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({}, "upstream did not report whether jobs were canceled"),
        ({"cancellation": None}, "upstream did not report whether jobs were canceled"),
        (
            {
                "cancellation": {
                    "ray_jobs_requested": 2,
                    "ray_jobs_accepted": 1,
                    "ray_jobs_refused": 1,
                }
            },
            "2 cancellations requested, 1 accepted, 1 rejected: work may still be running",
        ),
        (
            {"cancellation": {"ray_jobs_requested": 2, "ray_jobs_refused": None}},
            "2 cancellations requested, 0 accepted, 0 rejected",
        ),
    ],
)
def test_the_result_of_a_cancellation_is_printed_in_words(
    response: dict[str, Any], text: str
) -> None:
    assert cancellation(response) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (7, "7"),
        (True, "yes"),
        ({}, "-"),
        ({"team": "search", "tier": 1}, "team=search, tier=1"),
        ("two\nlines\x1b[31m\u2028", "two\\nlines\\x1b[31m\\u2028"),
    ],
)
def test_a_value_is_one_line_with_escapes_for_control_characters(value: object, text: str) -> None:
    assert plain(value) == text


def test_a_table_outside_a_terminal_is_aligned_text() -> None:
    with redirect_stdout(io.StringIO()) as output:
        print_table(("task_id", "status"), ROWS)
        print_table(("task_id", "status"), [])
    assert output.getvalue().splitlines() == [
        "TASK_ID         STATUS",
        "a               FAILED",
        "longer\\x1b[31m  -",
        "TASK_ID  STATUS",
    ]


def test_a_table_on_a_terminal_has_colours_and_no_foreign_control_characters() -> None:
    with redirect_stdout(Terminal()) as output:
        print_table(("task_id", "status"), ROWS)
    printed = output.getvalue()
    assert "task id" in printed
    assert "\x1b[31mFAILED" in printed
    assert "longer\\x1b[31m" in printed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5s"), (90, "1m"), (7300, "2h"), (200_000, "2d"), (-130, "in 2m")],
)
def test_ages_have_one_unit(seconds: int, text: str) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=seconds, milliseconds=200)
    assert ago(moment.isoformat()) == text
    assert ago(None) is None


def test_one_failed_check_exits_1() -> None:
    good = CheckResult(name="a", good=True, text="HTTP 204")
    bad = CheckResult(name="b", good=False, text="timeout")
    with redirect_stdout(io.StringIO()) as output:
        print_results([good])
        with pytest.raises(SystemExit, match="1"):
            print_results([bad, good])
    assert output.getvalue().splitlines() == [
        "a: ok: HTTP 204",
        "b: failed: timeout",
        "a: ok: HTTP 204",
    ]


def test_counting_is_shown_on_a_terminal_only() -> None:
    for stream, printed in ((io.StringIO(), ""), (Terminal(), "\r1 of 2 uploads\n")):
        with redirect_stderr(stream), Counting(2, "uploads") as counting:
            counting.reached(1)
        assert stream.getvalue() == printed


def test_progress_outside_a_terminal_is_a_line_for_each_change() -> None:
    with redirect_stderr(io.StringIO()) as output, Progress(1) as progress:
        progress.changed("task_1", "IN_PROGRESS", False)
        progress.changed("task_1", "COMPLETED", True)
    assert output.getvalue() == "task_1 IN_PROGRESS\ntask_1 COMPLETED\n"


def test_progress_on_a_terminal_counts_ended_tasks() -> None:
    with redirect_stderr(Terminal()) as output, Progress(3) as progress:
        progress.changed("task_1", "COMPLETED", True)
        progress.changed("task_2", "LOST", True)
        progress.changed("[bold]task_3", "IN_PROGRESS", False)
    assert "[bold]task_3 IN_PROGRESS" in output.getvalue()
    assert "2/3" in output.getvalue()
