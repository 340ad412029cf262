"""Limits how often the same fault is logged."""

from collections.abc import Callable, Hashable

REPEAT_INTERVAL = 600.0
"""Seconds after which the same fault is logged again."""


class LogThrottle:
    """Allows one log record per topic and interval; `now` returns monotonic seconds."""

    def __init__(self, now: Callable[[], float], interval: float = REPEAT_INTERVAL) -> None:
        self._now = now
        self._interval = interval
        self._next_at: dict[Hashable, float] = {}

    def ready(self, topic: Hashable) -> bool:
        """Return whether `topic` may be logged now; if so, its interval starts."""
        now = self._now()
        if now < self._next_at.get(topic, now):
            return False
        self._next_at[topic] = now + self._interval
        return True
