"""How many requests may be under way at once: additive increase, multiplicative decrease (AIMD), as in TCP.

Each round of answers in time raises the limit by one; each error and each slow answer lowers it by a tenth.
"""

from watcher.core.wakeup import Wakeup

_BEGIN = 8.0
_MOST = 32.0
_SHRINK = 0.9


class Concurrency:
    """`slow_after` is in seconds: an answer that took longer counts like an error."""

    def __init__(self, slow_after: float) -> None:
        self._slow_after = slow_after
        self._limit = _BEGIN
        self._running = 0
        self._freed = Wakeup()

    @property
    def limit(self) -> int:
        """How many may be under way."""
        return int(self._limit)

    async def acquire(self) -> None:
        """Wait for a place, and take it."""
        while self._running >= self.limit:
            await self._freed.wait(self._freed.generation)
        self._running += 1

    def release(self) -> None:
        """Give the place back."""
        self._running -= 1
        self._freed.set()

    def answered(self, seconds: float) -> None:
        """Note an answer that came after `seconds`."""
        if seconds > self._slow_after:
            self.failed()
        else:
            self._limit = min(self._limit + 1 / self._limit, _MOST)

    def failed(self) -> None:
        """Note an error."""
        self._limit = max(self._limit * _SHRINK, 1.0)
