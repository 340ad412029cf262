"""What the demo has observed so far: when it is complete, and its totals. Pure."""

import statistics
from collections.abc import Mapping
from typing import Any

from watcher.core.clock import parse_rfc3339
from watcher.core.tasks import TERMINAL_STATUSES
from watcher.testing.receiver import Received


class DemoOutcome:
    """The transitions of `tasks` tasks, and the webhooks that arrived for them."""

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks
        self._transitions = 0
        self._sent = 0
        self._delivered_ids: set[str] = set()
        self._latencies: list[float] = []
        self.statuses: dict[str, str] = {}

    def transition(self, data: Mapping[str, Any]) -> None:
        """Count a stored transition. By the default routes, a first status is sent if it is the
        last one as well.
        """
        self._transitions += 1
        self._sent += data["previous_status"] is not None or data["terminal"]
        self.statuses[data["task_id"]] = data["status"]

    def delivery(self, received: Received, now: float) -> None:
        """Count a webhook with a valid signature that arrived at `now`, in Unix seconds."""
        if received.verified:
            self._delivered_ids.add(received.event_id)
            self._latencies.append(now - parse_rfc3339(received.event["timestamp"]))

    @property
    def complete(self) -> bool:
        """Whether each task has ended, and a verified webhook has arrived for each transition
        that is sent.
        """
        ended = [status for status in self.statuses.values() if status in TERMINAL_STATUSES]
        return len(ended) == self._tasks and len(self._delivered_ids) == self._sent

    def rows(self, *, requests: int, slack_messages: int) -> list[tuple[str, str]]:
        """Return the totals as rows of a name and a text."""
        rows = [
            ("tasks", f"{len(self.statuses)} of {self._tasks} polled, in {requests} requests"),
            ("transitions", f"{self._transitions}, of which {self._sent} are sent"),
            ("webhooks", f"{len(self._delivered_ids)} delivered, signatures verified"),
            ("Slack", f"{slack_messages} messages"),
        ]
        if self._latencies:
            median = statistics.median(self._latencies) * 1000
            rows.append(("stored to delivered", f"{median:.0f} ms (median)"))
        return rows
