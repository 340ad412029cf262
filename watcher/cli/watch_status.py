"""The status of a watch as text: where upstream has shown none, why."""

from collections.abc import Callable, Mapping
from typing import Any

from watcher.core.clock import Clock, parse_rfc3339, wall_clock
from watcher.core.durations import rounded_duration

_REJECTED_KEY = ("unauthorized", "forbidden")


class WatchStatus:
    """Describes the statuses of watches. `status` returns the daemon's status, which is requested
    once, and only for a watch whose source has to explain it.
    """

    def __init__(self, status: Callable[[], Mapping[str, Any]], wall: Clock = wall_clock) -> None:
        self._status = status
        self._wall = wall
        self._reasons: Mapping[str | None, str | None] | None = None

    def of(self, watch: Mapping[str, Any]) -> str:
        """Return the status, with what is wrong with the task, if anything is."""
        status, trouble = watch.get("status"), self._trouble(watch)
        if status is not None:
            return f"{status}, {trouble}" if trouble else str(status)
        if (down := self._down(watch.get("source"))) is not None:
            return down
        return trouble or ("not polled yet" if watch.get("polled_at") is None else "no status yet")

    def _down(self, source: str | None) -> str | None:
        """Return why nothing is learnt from a source; None if something is."""
        if self._reasons is None:
            sources = self._status()["sources"]
            self._reasons = {one.get("name"): one.get("reason") for one in sources}
        reason = self._reasons.get(source)
        if reason is None:
            return None
        return "API key rejected" if reason in _REJECTED_KEY else f"source is down: {reason}"

    def _trouble(self, watch: Mapping[str, Any]) -> str | None:
        """Return for how long upstream has not known an active task, or that it is lost."""
        if watch.get("terminal"):
            return None
        if watch.get("lost_at") is not None:
            return "lost"
        if (since := watch.get("missing_since")) is None:
            return None
        missing_for = self._wall() - parse_rfc3339(since)
        return f"404 for {rounded_duration(max(missing_for, 0.0))}"
