"""Shares the event loop between the connections of our listeners and everything else.

What a connection costs is measured: parsing what it sent, and each step of its requests. One turn
is taken per iteration of the loop, by the peer, and of its connections by the one, that has cost
least lately. Once all of them together have used their burst, they get a share of the time only.
"""

import asyncio
import math
import time
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol

SHARE = 0.5
"""Share of the loop's time that all connections together may use for long."""
BURST = 1.0
"""Seconds of the loop that they may use before that share counts."""
LONGEST_PAUSE = 0.25
"""Seconds after which the next turn is due at the latest, so that probes are answered."""
_HALF_LIFE = 1.0
"""Seconds after which what was used counts for half."""

Clock = Callable[[], float]


class Account:
    """Seconds of the loop that were used lately; each second, half of them are forgotten."""

    __slots__ = ("_at", "_clock", "_used", "rank")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._used = 0.0
        self._at = clock()
        self.rank = -math.inf
        """Lower than that of every account of which more is used, at any time until a charge.

        It does not depend on the time, so that what shares an account compares as equal.
        """

    def charge(self, seconds: float) -> None:
        """Add what was used."""
        self._used, self._at = self.used() + seconds, self._clock()
        if self._used > 0.0:
            self.rank = math.log2(self._used) + self._at / _HALF_LIFE

    def used(self) -> float:
        """Return what still counts."""
        halvings = (self._clock() - self._at) / _HALF_LIFE
        return self._used * math.exp2(-halvings)


class Party(Protocol):
    """What takes turns."""

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that pay: the widest one first."""
        ...

    def take_turn(self) -> None:
        """Work for about a millisecond."""
        ...


class Turns:
    """The turns of all listeners of a process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock = time.perf_counter) -> None:
        self.clock = clock  # not the loop's, which stands still during a turn
        self._loop = loop
        self._waiting: dict[Party, None] = {}
        self._next: asyncio.Handle | None = None
        self._debt = 0.0
        self._debt_at = self.clock()

    def want(self, party: Party) -> None:
        """Let `party` take a turn soon."""
        self._waiting[party] = None
        self._schedule()

    def drop(self, party: Party) -> None:
        """Forget that `party` wanted a turn."""
        self._waiting.pop(party, None)

    def charge(self, party: Party, seconds: float) -> None:
        """Note what `party` has cost."""
        for account in party.accounts:
            account.charge(seconds)
        self._debt = min(self._owed() + seconds, BURST + LONGEST_PAUSE * SHARE)

    def _owed(self) -> float:
        now = self.clock()
        self._debt = max(self._debt - (now - self._debt_at) * SHARE, 0.0)
        self._debt_at = now
        return self._debt

    def _schedule(self) -> None:
        if self._next is not None or not self._waiting:
            return
        pause = (self._owed() - BURST) / SHARE
        if pause > 0:
            self._next = self._loop.call_later(pause, self._run)
        else:
            self._next = self._loop.call_soon(self._run)

    def _run(self) -> None:
        if not self._waiting:
            self._next = None
            return
        party = min(self._waiting, key=lambda one: [account.rank for account in one.accounts])
        del self._waiting[party]
        began = self.clock()
        try:
            party.take_turn()
        finally:
            self.charge(party, self.clock() - began)
            self._next = None  # not before, so that nothing is scheduled within a turn
            self._schedule()


@types.coroutine
def metered(
    call: Awaitable[None], clock: Clock, charge: Callable[[float], None]
) -> Generator[Any, Any, None]:
    """Await `call`, and charge the time that each of its steps holds the loop."""
    steps = call.__await__()
    step: Callable[[Any], Any] = steps.send
    value: Any = None
    while True:
        began = clock()
        try:
            awaited = step(value)
        except StopIteration:
            return
        finally:
            charge(clock() - began)
        try:
            step, value = steps.send, (yield awaited)
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:  # noqa: BLE001  # of whatever kind, it is the call's
            step, value = steps.throw, error
