"""The status of a watch as `ls` and `show` print it."""

from typing import Any

import pytest

from watcher.cli.watch_status import WatchStatus
from watcher.core.clock import rfc3339

NOW = 1_800_000_000.0
AGO = rfc3339(NOW - 185)
WATCH = {
    "status": None,
    "source": "mixpeek",
    "terminal": False,
    "polled_at": AGO,
    "missing_since": None,
    "lost_at": None,
}


class Daemon:
    """Counts how often its status is requested."""

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason
        self.requests = 0

    def status(self) -> dict[str, Any]:
        self.requests += 1
        return {"sources": [{"name": "mixpeek", "reason": self.reason}]}


@pytest.mark.parametrize(
    ("watch", "reason", "text"),
    [
        ({}, None, "no status yet"),
        ({"polled_at": None}, None, "not polled yet"),
        ({"missing_since": AGO}, None, "404 for 3 min"),
        ({"missing_since": AGO, "lost_at": AGO}, None, "lost"),
        ({}, "unauthorized", "API key rejected"),
        ({}, "forbidden", "API key rejected"),
        ({"missing_since": AGO}, "timeout", "source is down: timeout"),
        ({"status": "PENDING"}, "timeout", "PENDING"),
        ({"status": "PENDING", "missing_since": AGO}, None, "PENDING, 404 for 3 min"),
        ({"status": "PENDING", "lost_at": AGO}, None, "PENDING, lost"),
        ({"status": "FAILED", "terminal": True, "lost_at": AGO}, None, "FAILED"),
        ({"source": "removed"}, "timeout", "no status yet"),
    ],
)
def test_a_watch_without_a_status_says_why(
    watch: dict[str, Any], reason: str | None, text: str
) -> None:
    assert WatchStatus(Daemon(reason).status, wall=lambda: NOW).of({**WATCH, **watch}) == text


def test_the_daemon_is_requested_once_and_only_where_it_has_to_explain() -> None:
    daemon = Daemon("unauthorized")
    shown = WatchStatus(daemon.status)
    shown.of({**WATCH, "status": "PENDING"})
    assert daemon.requests == 0
    assert {shown.of(WATCH) for _ in range(3)} == {"API key rejected"}
    assert daemon.requests == 1
