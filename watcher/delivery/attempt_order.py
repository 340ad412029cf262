"""The order in which attempts begin, over all channels.

An attempt begins with work that holds the loop: a signature, a request, often a new connection.
If many began in one turn of the loop, each would last as long as all of them together. So a few
begin in each turn, and those that will end soon begin first: a receiver that responds at once does
not wait for others that fail or are slow.
"""

import asyncio
from heapq import heappop, heappush
from itertools import count

import anyio

from watcher.core.clock import Clock

PER_TURN = 4
"""Attempts that begin in one turn of the loop."""
LONGEST = 0.25
"""Seconds that count at most of what an attempt is expected to take: no attempt is overtaken by
others that came later than this after it.
"""
_WEIGHT = 0.2  # of the last attempt


class ExpectedDuration:
    """Seconds that the next attempt of a channel will take, after those before it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def observe(self, duration: float, *, delivered: bool) -> None:
        """Count an attempt. One that failed counts as the longest."""
        last = min(duration, LONGEST) if delivered else LONGEST
        self.seconds += (last - self.seconds) * _WEIGHT


class AttemptOrder:
    """Shared by all channels."""

    def __init__(self, monotonic: Clock = anyio.current_time) -> None:
        self._monotonic = monotonic
        self._begun = 0
        self._numbers = count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    async def begin(self, expected: float) -> None:
        """Wait until an attempt may begin that will take `expected` seconds."""
        loop = asyncio.get_running_loop()
        if self._begun < PER_TURN and not self._waiting:
            self._count(loop)
            return
        future = loop.create_future()
        ends_at = self._monotonic() + min(expected, LONGEST)
        heappush(self._waiting, (ends_at, next(self._numbers), future))
        await future

    def _count(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._begun:
            loop.call_soon(self._turn, loop)
        self._begun += 1

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._begun = 0
        while self._waiting and self._begun < PER_TURN:
            *_, future = heappop(self._waiting)
            if not future.done():  # it may have been cancelled
                future.set_result(None)
                self._count(loop)
