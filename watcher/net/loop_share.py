"""The event loop's time for what arrives, shared among all connections.

A peer can make a byte cost a thousand times what another costs: chunks of one byte, empty headers.
So what arrives is processed in pieces, and all connections together use a few milliseconds in one
turn of the loop. The rest waits for the next turns, while nothing more is read for it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol
from weakref import WeakKeyDictionary

import anyio.lowlevel

PIECE = 16 * 1024
"""Bytes processed at once."""

_PER_TURN = 0.01  # seconds


class Receiver(Protocol):
    """A connection with data that waits."""

    received_bytes: int
    """Bytes processed of the current response."""

    def process_piece(self) -> bool:
        """Process at most `PIECE` bytes; return whether more can be processed."""


class LoopShare:
    """Connections that have received little take precedence over the others, which take turns."""

    def __init__(
        self,
        call_in_next_turn: Callable[[Callable[[], None]], object],
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._call_in_next_turn = call_in_next_turn
        self._now = now
        self._spent = 0.0
        self._begun = False
        self._new: deque[Receiver] = deque()
        self._others: deque[Receiver] = deque()

    @property
    def free(self) -> bool:
        """Whether some of this turn's time is left, and no connection waits for it."""
        return self._spent < _PER_TURN and not self._new

    def run(self, work: Callable[[bytes], None], data: bytes) -> None:
        """Process `data` now."""
        began = self._now()
        work(data)
        self._spent += self._now() - began
        self._begin()

    async def next_piece(self, pieces: Iterator[bytes]) -> bytes | None:
        """Return the next of `pieces`, made in a turn that has time left; None at their end."""
        await anyio.lowlevel.checkpoint()
        while not self.free:
            await anyio.lowlevel.checkpoint()
        began = self._now()
        piece = next(pieces, None)
        self._spent += self._now() - began
        self._begin()
        return piece

    def enqueue(self, receiver: Receiver) -> None:
        """Process the data of `receiver` when it is its turn."""
        (self._new if receiver.received_bytes < PIECE else self._others).append(receiver)
        self._begin()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._call_in_next_turn(self._turn)

    def _turn(self) -> None:
        self._begun = False
        self._spent = 0.0
        while self._spent < _PER_TURN and (self._new or self._others):
            receiver = (self._new or self._others).popleft()
            began = self._now()
            more = receiver.process_piece()
            self._spent += self._now() - began
            if more:
                self.enqueue(receiver)
        if self._spent:
            self._begin()


_shares: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopShare] = WeakKeyDictionary()


def share_of(loop: asyncio.AbstractEventLoop) -> LoopShare:
    """Return the one share of `loop`."""
    share = _shares.get(loop)
    if share is None:
        share = _shares[loop] = LoopShare(loop.call_soon)
    return share
