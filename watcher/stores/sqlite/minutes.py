"""The transitions of each of the last 60 minutes, counted in memory."""

from collections.abc import Awaitable, Callable, Sequence

from watcher.core.summary import Minute
from watcher.stores.sqlite.rows import Row

MINUTES = 60
_STEP = 5000
"""Events that are counted at once: a few milliseconds."""

FIRST_EVENT = "SELECT min(id) FROM events INDEXED BY events_at WHERE at >= ?"
LAST_EVENT = "SELECT coalesce(max(id), 0) FROM events"
COUNTED = """
SELECT CAST(at / 60 AS INTEGER), count(*), sum(status = 'FAILED') FROM events NOT INDEXED
WHERE id > ? AND id <= ? AND previous_status IS NOT status AND task_id IS NOT NULL GROUP BY 1
"""


class MinuteCounts:
    """Counts the transitions of the last hour: all of it once, then what was stored since."""

    def __init__(self, read: Callable[..., Awaitable[list[Row]]]) -> None:
        self._read = read
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
        ((last,),) = await self._read(LAST_EVENT)
        if self._counted_to is None:
            ((first,),) = await self._read(FIRST_EVENT, since)
            self._counted_to = last if first is None else first - 1
        while (after := self._counted_to) < last:
            until = min(after + _STEP, last)
            found = await self._read(COUNTED, after, until)
            if self._counted_to != after:  # another reader has counted these meanwhile
                continue
            self._counted_to = until
            for minute, transitions, failed in found:
                before = self._counts.get(minute, (0, 0))
                self._counts[minute] = (before[0] + transitions, before[1] + (failed or 0))
