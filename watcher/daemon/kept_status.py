"""The status, kept for a while: many look at once, and one read serves them all.

Nothing is read unless a page or a program requests it.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from watcher.core.errors import StoreError
from watcher.core.status import Status
from watcher.core.wakeup import Wakeup

MIN_AGE = 1.0
"""Seconds for which a status is the latest."""
COST_SHARE = 50.0
"""It is also the latest for this many times what it took to read: that is 2 % of the time."""
QUICK = 0.02
"""Seconds: people wait for a read if the last one took no longer."""
OVERDUE = 10.0
"""Seconds for which people are shown a status that is no longer the latest."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A status, the time when its read began, and how many seconds that took."""

    status: Status
    read_at: float
    took: float

    @property
    def latest_until(self) -> float:
        return self.read_at + self.took + max(MIN_AGE, COST_SHARE * self.took)


class KeptStatus:
    """Keeps what `read` returned, which may raise `StoreError`."""

    def __init__(self, read: Callable[[], Awaitable[Status]]) -> None:
        self._read = read
        self._lock = anyio.Lock()
        self._kept: _Kept | None = None
        self._forgotten = 0
        self._overdue = Wakeup()
        self._seen = 0

    @property
    def read_at(self) -> float:
        """When the read of the status began that is kept: it has all that was stored before."""
        return -math.inf if self._kept is None else self._kept.read_at

    async def latest(self) -> Status:
        """Return the latest status; read it if there is none. Raises `StoreError`."""
        async with self._lock:
            kept = self._kept
            if kept is None or anyio.current_time() >= kept.latest_until:
                return await self._read_now()
            return kept.status

    async def shown(self) -> Status:
        """Return the status for people, who do not wait for a slow read: for `OVERDUE` seconds
        they are shown the last one while `refresh` reads the next. Raises `StoreError`.
        """
        kept, now = self._kept, anyio.current_time()
        if kept is None or kept.took <= QUICK or now >= kept.latest_until + OVERDUE:
            return await self.latest()
        if now >= kept.latest_until:
            self._overdue.set()
        return kept.status

    async def refresh(self) -> None:
        """Read the status each time `shown` has returned one that was overdue. Does not return."""
        while True:
            await self._overdue.wait(self._seen)
            self._seen = self._overdue.generation
            try:
                await self.latest()
            except StoreError:  # the next request reads it again, and gets the error
                continue

    def forget(self) -> None:
        """Let the next request wait until the status is read again."""
        self._forgotten += 1
        self._kept = None

    async def _read_now(self) -> Status:
        forgotten, began = self._forgotten, anyio.current_time()
        try:
            status = await self._read()
        except StoreError:
            self._kept = None
            raise
        if self._forgotten == forgotten:  # else it may lack what was done meanwhile
            self._kept = _Kept(status, began, anyio.current_time() - began)
        return status
