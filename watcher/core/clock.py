"""Wall-clock time as the product speaks of it: Unix seconds inside, RFC 3339 in UTC outside.

Intervals are measured with `anyio.current_time()`, which never jumps; only what people and other programs read
(a timestamp, a retention limit, the next attempt of a delivery that must outlive a restart) uses the wall clock.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Returns Unix seconds. An argument wherever it is used, so that a test can pass a day in milliseconds."""

wall_clock: Clock = time.time

_JUMP = 60.0


def rfc3339(seconds: float) -> str:
    """Return Unix `seconds` as RFC 3339 in UTC with microseconds, such as `2026-11-23T07:00:00.123456Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> float:
    """Return the Unix seconds that an RFC 3339 `text` means.

    Raises `ValueError` where it is no such text or names no UTC offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its offset, such as a final Z")
    return moment.timestamp()


class ClockJumpDetector:
    """Since when the wall clock has run as evenly as the one that never jumps: durations across a jump mean nothing.

    `now` is the monotonic clock, in seconds.
    """

    def __init__(self, wall: Clock, now: Clock) -> None:
        self._wall = wall
        self._now = now
        self._offset = wall() - now()
        self._since = float("-inf")

    def since(self) -> float:
        """Return the monotonic time at which the last jump was noticed, minus infinity where there was none."""
        offset = self._wall() - self._now()
        if abs(offset - self._offset) > _JUMP:
            self._since = self._now()
        self._offset = offset
        return self._since
