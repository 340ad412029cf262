"""`deliveries`, `attempts`, `retry`, `replay` and `purge` against the real API."""

import json

import pytest

from tests.cli.harness import Harness, run
from tests.support.records import settled
from watcher.core.deliveries import DeliveryState


@pytest.fixture
def outbox(harness: Harness) -> Harness:
    """The API with a failed delivery (1) and a pending one (2) of task_1."""
    harness.lines("add", "task_1")
    harness.record("task_1", "IN_PROGRESS", "FAILED")
    harness.call("settle", [settled(1, DeliveryState.FAILED)])
    return harness


def test_deliveries_are_listed_with_filters(outbox: Harness) -> None:
    rows = outbox.run("deliveries").rows
    assert rows[0] == [
        "ID",
        "CHANNEL",
        "TYPE",
        "TASK_ID",
        "STATE",
        "ATTEMPTS",
        "LAST_ERROR",
        "CREATED",
    ]
    assert [row[:6] for row in rows[1:]] == [
        ["2", "backend", "task.failed", "task_1", "pending", "0"],
        ["1", "backend", "task.in_progress", "task_1", "failed", "1"],
    ]
    (failed,) = json.loads(outbox.run("deliveries", "--state", "failed", "--json").stdout)
    assert failed["id"] == 1
    assert outbox.run("deliveries", "--channel", "other").rows[1:] == []


def test_attempts_of_a_delivery(outbox: Harness) -> None:
    assert outbox.run("attempts", "1").rows[0] == [
        "NUMBER",
        "AT",
        "DURATION",
        "STATUS",
        "ERROR",
        "ANSWER",
    ]
    (attempt,) = json.loads(outbox.run("attempts", "1", "--json").stdout)
    assert attempt["number"] == 1
    missing = outbox.run("attempts", "99")
    assert (missing.exit_code, "HTTP 404" in missing.stderr) == (4, True)


def test_failed_deliveries_are_retried(outbox: Harness) -> None:
    assert outbox.lines("retry", "1") == ["1 queued"]
    assert outbox.run("deliveries", "--state", "failed").rows[1:] == []


def test_events_of_a_time_range_are_sent_again(outbox: Harness) -> None:
    replay = ("replay", "--channel", "backend", "--since", "1h")
    assert outbox.lines(*replay) == ["1 queued"]  # the pending one is not queued twice
    assert outbox.lines(*replay, "--status", "completed") == ["0 queued"]
    assert outbox.lines(*replay, "--task", "task_2") == ["0 queued"]
    assert outbox.lines(*replay, "--until", "2026-01-01T00:00:00Z") == ["0 queued"]
    for arguments, exit_code, error in (
        (("--channel", "backend", "--since", "soon"), 2, "invalid time 'soon'; expected RFC 3339"),
        (("--channel", "backend", "--since", "2026-01-01T"), 2, "invalid time '2026-01-01T'"),
        (("--channel", "unknown", "--since", "1h"), 4, "unknown channel 'unknown'"),
    ):
        finished = outbox.run("replay", *arguments)
        assert finished.exit_code == exit_code, finished
        assert error in finished.stderr


def test_deliveries_are_purged(outbox: Harness) -> None:
    purge = ("purge", "--channel", "backend", "--yes", "--state")
    assert outbox.lines(*purge, "failed", "--before", "1h") == ["0 deleted"]
    assert outbox.lines(*purge, "failed") == ["1 deleted"]
    assert outbox.lines(*purge, "pending") == ["1 deleted"]
    assert outbox.run("deliveries").rows[1:] == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["retry", "x"], "'x' is not a valid integer"),
        (["replay", "--channel", "c"], "Missing option '--since'"),
        (["purge", "--channel", "c", "--state", "lost"], "'lost' is not one of 'pending'"),
        (["purge", "--channel", "c", "--state", "failed"], "set --yes"),
        (["kill", "t"], "set --yes"),
        (["cancel-batch", "b", "c", "--json"], "set --yes"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments: list[str], error: str) -> None:
    finished = run(*arguments)
    assert (finished.exit_code, finished.stdout) == (2, "")
    assert error in finished.stderr
