"""An adaptive limit on concurrent requests: additive increase, multiplicative decrease, as in TCP.

Each round of timely responses raises the limit by one; each error and each slow response lowers it
by a tenth.
"""

from watcher.core.wakeup import Wakeup

_INITIAL = 8.0
_MAXIMUM = 32.0
_DECREASE = 0.9


class ConcurrencyLimit:
    """A response that takes longer than `slow_after` seconds counts as an error."""

    def __init__(self, slow_after: float) -> None:
        self._slow_after = slow_after
        self._limit = _INITIAL
        self._running = 0
        self._released = Wakeup()

    @property
    def limit(self) -> int:
        """The maximum number of concurrent requests."""
        return int(self._limit)

    async def acquire(self) -> None:
        """Wait for a slot and occupy it."""
        while self._running >= self.limit:
            await self._released.wait(self._released.generation)
        self._running += 1

    def release(self) -> None:
        self._running -= 1
        self._released.set()

    def answered(self, seconds: float) -> None:
        """Record a response that took `seconds`."""
        if seconds > self._slow_after:
            self.failed()
        else:
            self._limit = min(self._limit + 1 / self._limit, _MAXIMUM)

    def failed(self) -> None:
        """Record an error."""
        self._limit = max(self._limit * _DECREASE, 1.0)
