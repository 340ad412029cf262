"""`deliveries`, `attempts`, `retry`, `replay` and `purge` against the real API."""

import json
from pathlib import Path

import pytest

from tests.cli.harness import TOKEN, Harness, harness_in, run
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


def test_failed_deliveries_of_a_channel_are_retried(outbox: Harness) -> None:
    retry = ("retry", "--channel", "backend")
    assert outbox.lines(*retry, "--dry-run") == ["1 would be queued"]
    assert outbox.lines(*retry, "--error", "no such text") == ["0 queued"]
    assert outbox.lines(*retry) == ["1 queued"]
    assert outbox.lines(*retry) == ["0 queued"]
    unknown = outbox.run("retry", "--channel", "unknown")
    assert (unknown.exit_code, "unknown channel" in unknown.stderr) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "set either IDs or --channel"),
        (["1", "--channel", "backend"], "set either IDs or --channel"),
        (["1", "--error", "x"], "--error and --dry-run need --channel"),
        (["1", "--dry-run"], "--error and --dry-run need --channel"),
    ],
)
def test_what_to_retry_is_said_in_one_way(arguments: list[str], error: str) -> None:
    finished = run("retry", *arguments)
    assert (finished.exit_code, finished.stdout) == (2, "")
    assert error in finished.stderr


def test_dry_runs_count_and_need_no_confirmation(outbox: Harness) -> None:
    assert outbox.lines("replay", "--channel", "backend", "--since", "1h", "--dry-run") == [
        "1 would be queued"
    ]
    assert outbox.lines("purge", "--channel", "backend", "--state", "failed", "--dry-run") == [
        "1 would be deleted"
    ]
    assert len(outbox.run("deliveries").rows) == 3


def test_a_replay_includes_what_only_todays_routes_select(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    channels = [
        {"name": name, "type": "webhook", "url": "https://x/", "secrets": secrets}
        for name in ("backend", "new", "unused")
    ]
    routes = [
        {"channels": ["backend"]},
        {"channels": ["new"], "events": ["task.failed"], "labels": {"team": "search"}},
    ]
    monkeypatch.setenv("WATCHER_API_TOKEN", TOKEN)
    with harness_in(
        tmp_path,
        WATCHER_SERVER__API_TOKEN=TOKEN,
        WATCHER_CHANNELS=json.dumps(channels),
        WATCHER_ROUTES=json.dumps(routes),
    ) as harness:
        harness.lines("add", "task_1", "task_2", "--label", "team=search")
        harness.lines("add", "task_3")
        for task_id in ("task_1", "task_2", "task_3"):
            harness.record(task_id, "IN_PROGRESS", "FAILED")
        replay = ("replay", "--channel", "new", "--since", "1h")
        assert harness.lines(*replay) == ["0 queued"]
        assert harness.lines(*replay, "--include-new", "--dry-run") == ["2 would be queued"]
        assert harness.lines(*replay, "--include-new", "--task", "task_1") == ["1 queued"]
        assert harness.lines(*replay, "--include-new") == ["1 queued"]
        listed = harness.run("deliveries", "--channel", "new").rows[1:]
        assert sorted(row[3] for row in listed) == ["task_1", "task_2"]
        unused = ("replay", "--channel", "unused", "--since", "1h", "--include-new")
        assert harness.lines(*unused) == ["0 queued"]
