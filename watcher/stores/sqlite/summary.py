"""Counts of the SQLite store for the daemon's status."""

from collections.abc import Mapping
from functools import cached_property

from watcher.core.summary import FailureGroup, StoredSummary, TroubledTasks
from watcher.stores.sqlite.database import StorePart
from watcher.stores.sqlite.minutes import MinuteCounts

_DAY = 86400.0

# The condition of the partial index has to stand in the query as it is.
_ENDED = """
SELECT status, count(*) FROM watches WHERE state = 'done' AND status <> 'COMPLETED' GROUP BY status
"""
_DONE = "SELECT count(*) FROM watches WHERE state = 'done'"
_FAILURES = """
SELECT status, min(substr(error_message, 1, 200)), count(*), max(changed_at) FROM watches
WHERE state = 'done' AND status <> 'COMPLETED' AND status IN ('FAILED', 'COMPLETED_WITH_ERRORS')
    AND changed_at > ?
GROUP BY status, substr(error_message, 1, 40) ORDER BY 3 DESC, 4 DESC LIMIT 100
"""
_TROUBLED = """
SELECT source, sum(lost), sum(stalled) FROM (
    SELECT source, count(*) AS lost, 0 AS stalled FROM watches
    WHERE lost_at IS NOT NULL GROUP BY source
    UNION ALL
    SELECT source, 0, count(*) FROM watches
    WHERE state = 'active' AND stalled_at IS NOT NULL GROUP BY source)
GROUP BY source
"""
_LOST = "SELECT count(*), max(lost_at) FROM watches WHERE lost_at IS NOT NULL"
_STALLED = """
SELECT count(*), max(stalled_at) FROM watches WHERE state = 'active' AND stalled_at IS NOT NULL
"""


class SqliteSummary(StorePart):
    """Implements `watcher.core.interfaces.store.Summary`."""

    @cached_property
    def _minutes(self) -> MinuteCounts:
        return MinuteCounts(self._database.read)

    async def summary(self, now: float) -> StoredSummary:
        read = self._database.read
        ((lost, lost_at),) = await read(_LOST)
        ((stalled, stalled_at),) = await read(_STALLED)
        return StoredSummary(
            ended=await self.ended(),
            failures=[
                FailureGroup(status=status, error=error, count=count, last_at=at)
                for status, error, count, at in await read(_FAILURES, now - _DAY)
            ],
            lost=lost,
            lost_at=lost_at,
            stalled=stalled,
            stalled_at=stalled_at,
            minutes=await self._minutes.last_hour(now),
        )

    async def ended(self) -> Mapping[str, int]:
        ended = dict(await self._database.read(_ENDED))
        ((done,),) = await self._database.read(_DONE)
        if completed := done - sum(ended.values()):
            ended["COMPLETED"] = completed
        return ended

    async def troubled_tasks(self) -> Mapping[str, TroubledTasks]:
        return {
            source: TroubledTasks(lost=lost, stalled=stalled)
            for source, lost, stalled in await self._database.read(_TROUBLED)
        }
