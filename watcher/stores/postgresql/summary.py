"""Counts of the PostgreSQL store for the daemon's status."""

from collections.abc import AsyncIterator

from watcher.core.summary import FailureGroup
from watcher.stores import _minutes
from watcher.stores._minutes import Read
from watcher.stores._summary import CountedSummary, Statements
from watcher.stores._task_lists import ERROR_START
from watcher.stores.postgresql.database import StorePart
from watcher.stores.postgresql.watch_queries import LAST_EVENT_ID

# The condition of the partial index has to stand in the query as it is.
ENDED = """
SELECT status, count(*) FROM watches WHERE state = 'done' AND status <> 'COMPLETED' GROUP BY status
"""
DONE = "SELECT count(*) FROM watches WHERE state = 'done'"
FAILURES = f"""
SELECT status, min(substr(error_message, 1, 200) COLLATE "C"), count(*), max(changed_at)
FROM watches
WHERE state = 'done' AND status <> 'COMPLETED' AND status IN ('FAILED', 'COMPLETED_WITH_ERRORS')
    AND changed_at >= $1
GROUP BY status, {ERROR_START} ORDER BY 3 DESC, 4 DESC LIMIT 100
"""
TROUBLED = """
SELECT source, sum(lost)::bigint, sum(stalled)::bigint FROM (
    SELECT source, count(*) AS lost, 0 AS stalled FROM watches
    WHERE lost_at IS NOT NULL GROUP BY source
    UNION ALL
    SELECT source, 0, count(*) FROM watches
    WHERE state = 'active' AND stalled_at IS NOT NULL GROUP BY source) AS counted
GROUP BY source
"""
LOST = "SELECT count(*), max(lost_at) FROM watches WHERE lost_at IS NOT NULL"
STALLED = """
SELECT count(*), max(stalled_at) FROM watches WHERE state = 'active' AND stalled_at IS NOT NULL
"""
# By the index of times: the minimum alone would be looked for from the first event on.
FIRST_EVENT = "SELECT min(id) FROM (SELECT id FROM events WHERE at >= $1 OFFSET 0) AS since"
COUNTED = """
SELECT floor(at / 60)::bigint, count(*), count(*) FILTER (WHERE status = 'FAILED') FROM events
WHERE id > $1 AND id <= $2 AND previous_status IS DISTINCT FROM status AND task_id IS NOT NULL
GROUP BY 1
"""


class PostgresqlSummary(StorePart, CountedSummary):
    """Implements `watcher.core.interfaces.summary.Summary`."""

    _summary_statements = Statements(
        ended=ENDED,
        done=DONE,
        troubled=TROUBLED,
        lost=LOST,
        stalled=STALLED,
        minutes=_minutes.Statements(
            first_event=FIRST_EVENT, last_event=LAST_EVENT_ID, counted=COUNTED
        ),
    )

    @property
    def _read_counts(self) -> Read:
        return self._database.read

    async def _failures(self, since: float) -> AsyncIterator[FailureGroup]:
        for status, error, count, last_at in await self._read_counts(FAILURES, since):
            yield FailureGroup(status=status, error=error, count=count, last_at=last_at)
