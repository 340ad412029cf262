"""Detects a stalled loop, for the liveness probe."""

from collections.abc import Callable

LIVENESS_LIMIT = 60.0
"""Maximum seconds between two iterations of a loop."""


class LivenessMonitor:
    """Watches one loop, which calls `beat` once per iteration; `now` returns monotonic seconds.

    A loop that waits for longer than the limit has to wake up and call `beat` in between.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last_beat = now()

    def beat(self) -> None:
        self._last_beat = self._now()

    def late(self, limit: float = LIVENESS_LIMIT) -> bool:
        """Return whether the last beat is more than `limit` seconds ago."""
        return self._now() - self._last_beat > limit
