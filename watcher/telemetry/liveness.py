"""Whether a loop still comes round, for the liveness probe."""

from collections.abc import Callable

LIVENESS_LIMIT = 60.0
"""Seconds within which every loop has to come round."""


class LivenessMonitor:
    """Beaten by a loop each time it comes round; `now` returns monotonic seconds.

    A loop that may rightly wait for longer than the limit has to wake up in between and beat.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._beaten_at = now()

    def beat(self) -> None:
        """The loop came round."""
        self._beaten_at = self._now()

    def late(self, limit: float = LIVENESS_LIMIT) -> bool:
        """Return whether the last beat is longer than `limit` seconds ago."""
        return self._now() - self._beaten_at > limit
