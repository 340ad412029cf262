"""How many requests were sent in the last minute."""

from collections import deque
from collections.abc import Callable

_WINDOW = 60


class RequestRate:
    """Counts by second, so that memory does not depend on the rate."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds: deque[tuple[int, int]] = deque()

    def count(self) -> None:
        """Count one request."""
        second = int(self._clock())
        counted = 0
        if self._seconds and self._seconds[-1][0] == second:
            counted = self._seconds.pop()[1]
        self._seconds.append((second, counted + 1))
        self._forget()

    def last_minute(self) -> int:
        """Return how many requests the last 60 seconds had."""
        self._forget()
        return sum(count for _, count in self._seconds)

    def _forget(self) -> None:
        oldest = int(self._clock()) - _WINDOW
        while self._seconds and self._seconds[0][0] <= oldest:
            self._seconds.popleft()
