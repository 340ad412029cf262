"""Wall-clock time: Unix seconds inside, RFC 3339 in UTC outside.

Intervals are measured with `anyio.current_time()` or `monotonic`, which never jump. The wall clock
is used only for what people and other programs read (a timestamp, a retention limit) and for what
must survive a restart (the next attempt of a delivery).
"""

import time
from asyncio import get_running_loop
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Returns Unix seconds. Always an argument, so that a test can pass a day in milliseconds."""

wall_clock: Clock = time.time


def boot_clock() -> float:
    """Return seconds that no setting of the clock changes, and that pass while the machine sleeps
    or the process is stopped.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class FollowedClock:
    """The wall clock of a server, as its answers show; it runs on by `steady` between them, and
    before the first it is `own`. So replicas agree on the time whatever their hosts' clocks say.
    """

    def __init__(self, own: Clock, steady: Clock) -> None:
        self._own = own
        self._steady = steady
        self._offset: float | None = None

    def __call__(self) -> float:
        return self._own() if self._offset is None else self._steady() + self._offset

    def answered(self, shown: float, requested_at: float) -> None:
        """The server has shown `shown` at a moment between `requested_at`, by `steady`, and now."""
        offset = self() - self._steady()
        self._offset = min(max(offset, shown - self._steady()), shown - requested_at)


_JUMP = 60.0  # seconds


def monotonic() -> float:
    """Return what `anyio.current_time()` does, at a sixth of its cost: it is for each request."""
    return get_running_loop().time()


def rfc3339(seconds: float) -> str:
    """Return Unix `seconds` as RFC 3339 in UTC, such as `2026-11-23T07:00:00.123456Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> float:
    """Return the Unix seconds of an RFC 3339 `text`.

    Raises `ValueError` if the text is invalid or has no UTC offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("missing UTC offset, such as a final Z")
    return moment.timestamp()


class ClockJumpDetector:
    """Since when the wall clock has run as steadily as the monotonic one.

    A duration of wall-clock time that a jump lies in proves nothing. `now` is the monotonic clock,
    in seconds. `observe` has to be called regularly: a jump counts from the call that notices it.
    """

    def __init__(self, wall: Clock, now: Clock) -> None:
        self._wall = wall
        self._now = now
        self._offset = wall() - now()
        self.steady_since = float("-inf")
        """The monotonic time at which the last jump was noticed; minus infinity without one."""

    def observe(self) -> float:
        """Compare the clocks; return by how many seconds the wall clock has jumped since the last
        call.
        """
        offset = self._wall() - self._now()
        jump = offset - self._offset
        self._offset = offset
        if abs(jump) <= _JUMP:
            return 0.0
        self.steady_since = self._now()
        return jump
