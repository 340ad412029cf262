"""The event loop's time for what arrives, shared among all connections.

A peer can make a byte cost a thousand times what another costs: chunks of one byte, empty headers.
So what arrives is processed in pieces. All connections together use a millisecond or two in one
turn of the loop; then the loop rests from them, for twice as long as that and what followed from it
took. A write to the store takes many turns, which are short during a rest. What waits is not read
on.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol
from weakref import WeakKeyDictionary

import anyio.lowlevel

PIECE = 16 * 1024
"""Bytes processed at once."""

FIRST = 4 * 1024
"""Bytes of a response that are processed at once, whatever else waits: a short answer."""

PER_TURN = 0.001  # seconds
REST = 2
"""How much longer a rest is than the work before it."""
LONGEST_REST = 0.02  # seconds
_EMPTY = 100  # pieces that are made at once, if they are empty


class WaitingInput(Protocol):
    """A connection with data that waits."""

    received_bytes: int
    """Bytes processed of the current response."""

    def process_piece(self) -> bool:
        """Process at most `PIECE` bytes; return whether more can be processed."""


class LoopShare:
    """Connections that have received little alternate with the others; each kind takes turns.

    `call_soon` calls in the next turn of the loop, after what has been scheduled before;
    `call_later` after so many seconds. `now` is the processor time of this thread: while another
    process has the processor, nothing is used.
    """

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        call_later: Callable[[float, Callable[[], None]], object],
        now: Callable[[], float] = time.thread_time,
    ) -> None:
        self._call_soon = call_soon
        self._call_later = call_later
        self._now = now
        self._busy = False
        self._began = 0.0
        self._owed = 0.0
        self._new: deque[WaitingInput] = deque()
        self._others: deque[WaitingInput] = deque()
        self._new_is_next = True

    @property
    def free(self) -> bool:
        """Whether no connection waits, and the loop does not rest."""
        return not self._busy

    def run(self, work: Callable[[bytes], None], data: bytes) -> None:
        """Process `data` now."""
        if self._busy:
            work(data)
        else:
            self._busy, self._began = True, self._now()
            try:
                work(data)
            finally:  # also after an unexpected error: nothing would be processed any more
                self._call_soon(self._turn_ended)

    async def next_piece(self, pieces: Iterator[bytes]) -> bytes | None:
        """Return the next of `pieces`, made when it is its turn; None at their end. Of many empty
        ones it returns some.
        """
        await anyio.lowlevel.checkpoint()
        making = _Making(pieces)
        self.enqueue(making)
        return await making.made

    def enqueue(self, waiting: WaitingInput) -> None:
        """Process the data of `waiting` when it is its turn."""
        (self._new if waiting.received_bytes < PIECE else self._others).append(waiting)
        if not self._busy:
            self._busy = True
            self._call_soon(self._turn)

    def _turn(self) -> None:
        self._began = self._now()
        try:
            while self._now() - self._began < PER_TURN and (queue := self._next_queue()):
                waiting = queue.popleft()
                if waiting.process_piece():
                    self.enqueue(waiting)
        finally:
            self._call_soon(self._turn_ended)

    def _next_queue(self) -> deque[WaitingInput]:
        queues = (self._new, self._others) if self._new_is_next else (self._others, self._new)
        self._new_is_next = not self._new_is_next
        return queues[0] or queues[1]

    def _turn_ended(self) -> None:
        """Rest: the tasks that wait for what was processed have run by now."""
        self._owed += self._now() - self._began
        if self._owed >= PER_TURN:
            rest, self._owed = min(REST * self._owed, LONGEST_REST), 0.0
            self._call_later(rest, self._rested)
        else:
            self._rested()

    def _rested(self) -> None:
        self._busy = bool(self._new or self._others)
        if self._busy:
            self._call_soon(self._turn)


class _Making:
    """One piece of a body that is being decoded."""

    received_bytes = PIECE

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.made: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def process_piece(self) -> bool:
        if not self.made.done():
            try:
                self.made.set_result(_first(islice(self._pieces, _EMPTY)))
            except Exception as error:  # noqa: BLE001  (raised where the piece is awaited)
                self.made.set_exception(error)
        return False


def _first(pieces: Iterable[bytes]) -> bytes | None:
    """Return the first that is not empty; an empty one if there is no other, None without any."""
    found = None
    for piece in pieces:
        if piece:
            return piece
        found = piece
    return found


_shares: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopShare] = WeakKeyDictionary()


def share_of(loop: asyncio.AbstractEventLoop) -> LoopShare:
    """Return the one share of `loop`."""
    share = _shares.get(loop)
    if share is None:
        share = _shares[loop] = LoopShare(loop.call_soon, loop.call_later)
    return share
