"""The transitions of each of the last 60 minutes, counted in memory."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from watcher.core.summary import Minute
from watcher.stores._rows import Row

MINUTES = 60
_STEP = 5000
"""Events that are counted at once: a few milliseconds."""

Read = Callable[..., Awaitable[Sequence[Row]]]
"""Reads all rows of a statement with its parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The statements of a database."""

    first_event: str
    """The number of the first event since a time; NULL without one."""
    last_event: str
    """The number of the last event."""
    counted: str
    """Of the events after one number, up to another: minute, transitions, and those to FAILED."""


class MinuteCounts:
    """Counts the transitions of the last hour: all of it once, then what was stored since."""

    def __init__(self, read: Read, statements: Statements) -> None:
        self._read = read
        self._statements = statements
        self._counted_to: int | None = None
        self._counts: dict[int, tuple[int, int]] = {}

    async def last_hour(self, now: float) -> Sequence[Minute]:
        """Return the last 60 minutes, the oldest first; the last is the present one."""
        present = int(now // 60)
        first = present - MINUTES + 1
        await self._count(60.0 * first)
        self._counts = {minute: one for minute, one in self._counts.items() if minute >= first}
        return [
            Minute(began=60.0 * minute, transitions=transitions, failed=failed)
            for minute in range(first, present + 1)
            for transitions, failed in [self._counts.get(minute, (0, 0))]
        ]

    async def _count(self, since: float) -> None:
        ((last,),) = await self._read(self._statements.last_event)
        if self._counted_to is None:
            ((first,),) = await self._read(self._statements.first_event, since)
            self._counted_to = last if first is None else first - 1
        while (after := self._counted_to) < last:
            until = min(after + _STEP, last)
            found = await self._read(self._statements.counted, after, until)
            if self._counted_to != after:  # another reader has counted these meanwhile
                continue
            self._counted_to = until
            for minute, transitions, failed in found:
                before = self._counts.get(minute, (0, 0))
                self._counts[minute] = (before[0] + transitions, before[1] + (failed or 0))
