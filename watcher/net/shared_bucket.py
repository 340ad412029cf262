"""Takes the requests of one route from the budget that replicas share.

Each take is a statement of the store. So while requests follow each other, one take is for several:
those that the budget holds, and the next ones that it will gain, each of which may be sent from
then on. One that is not sent within `HELD_FOR` is lost. The budget holds less by what it gains in
that time, so no more than the limit are sent in its window.
"""

from collections import deque

from watcher.core.cooldown import Now
from watcher.core.errors import StoreError
from watcher.core.interfaces.budgets import SharedBudgets
from watcher.net.token_bucket import LONGEST_WAIT

HELD_FOR = 1.0
"""Seconds within which a request has to be sent. Another replica's pause is noticed as late."""
_AGAIN_AFTER = 1.0
"""Seconds after which a budget is tried again whose store failed."""


class SharedBucket:
    """The budget `name` of `budgets`. `now` returns monotonic seconds."""

    def __init__(self, budgets: SharedBudgets, name: str, now: Now) -> None:
        self._budgets = budgets
        self._name = name
        self._now = now
        self._held: deque[tuple[float, float]] = deque()
        self._at_once = 1
        self._lost = False
        self._taken_at = now()

    async def take(self, burst: float, rate: float) -> float:
        """Take a request from a budget of this shape; return 0, or the seconds until there may be
        one.
        """
        if not self._held_now():
            wait = await self._reserve(burst, rate)
            if wait > 0:
                return min(wait, LONGEST_WAIT)
        now = self._now()
        if self._held and self._held[0][0] > now:
            return self._held[0][0] - now
        self._held.popleft()
        return 0.0

    def _held_now(self) -> bool:
        """Return whether a request is held that may still be sent."""
        while self._held and self._held[0][1] <= self._now():
            self._held.popleft()
            self._lost = True
        return bool(self._held)

    async def _reserve(self, burst: float, rate: float) -> float:
        """Take as many requests as will probably be sent; return 0, or the seconds until there is
        one.
        """
        gained = rate * HELD_FOR
        several = gained >= 2 and burst - gained >= 1
        if several:
            burst -= gained
        number = self._number(int(gained)) if several else 1
        try:
            reserved = await self._budgets.take_requests(self._name, burst, rate, number)
        except StoreError:
            return _AGAIN_AFTER
        if reserved.wait > 0:
            return reserved.wait
        now = self._taken_at = self._now()
        self._at_once, self._lost = number, False
        for place in range(1, number + 1):
            later = max((place - reserved.held) / rate, 0.0)
            self._held.append((now + later, now + later + HELD_FOR))
        return 0.0

    def _number(self, most: int) -> int:
        """Return twice as many as at last, up to `most`; one after a pause or a loss."""
        if self._lost or self._now() - self._taken_at >= 2 * HELD_FOR:
            return 1
        return min(2 * self._at_once, most)

    async def pause(self, seconds: float) -> None:
        """Let every replica pause. Raises `StoreError`."""
        self._held.clear()
        await self._budgets.pause_requests(self._name, seconds)
