"""Counts of the SQLite store for the daemon's status.

A connection reads for many, so that a statement takes some ten milliseconds with a million watches.
"""

from collections.abc import AsyncIterator

from watcher.core.summary import FailureGroup
from watcher.stores import _minutes
from watcher.stores._minutes import Read
from watcher.stores._summary import CountedSummary, Statements
from watcher.stores._task_lists import ERROR_START, FAILED_STATE
from watcher.stores.sqlite.database import StorePart

# The condition of the partial index has to stand in the query as it is.
ENDED = """
SELECT status, count(*) FROM watches WHERE state = 'done' AND status <> 'COMPLETED' GROUP BY status
"""
# Counting all rows of a table is reading the sizes of its pages: a fifth of counting rows by a
# condition. Where many are done, there are fewer that are active.
DONE = """
SELECT CASE WHEN few.counted < 50000 THEN few.counted
    ELSE (SELECT count(*) FROM watches) - (SELECT count(*) FROM watches WHERE state = 'active') END
FROM (
    SELECT count(*) AS counted FROM (SELECT 1 FROM watches WHERE state = 'done' LIMIT 50000)
) AS few
"""
_FAILED = f"watches INDEXED BY watches_failed WHERE {FAILED_STATE} AND status = ?1"
_NEXT = (
    f"SELECT {ERROR_START} FROM {_FAILED} AND {ERROR_START} > {{}} ORDER BY {ERROR_START} LIMIT 1"
)
_ALIKE = f"{_FAILED} AND {ERROR_START} = start AND changed_at >= ?3"
FAILURES = f"""
WITH RECURSIVE starts (start) AS (
    SELECT ({_NEXT.format("?2")})
    UNION ALL
    SELECT ({_NEXT.format("start")}) FROM starts WHERE start IS NOT NULL LIMIT ?4)
SELECT start, (SELECT count(*) FROM {_ALIKE}),
    (SELECT changed_at FROM {_ALIKE} ORDER BY changed_at DESC LIMIT 1),
    (SELECT substr(error_message, 1, 200) FROM {_ALIKE} ORDER BY changed_at LIMIT 1)
FROM starts WHERE start IS NOT NULL
"""
"""Of a status, the groups after a beginning: it, number, last time, and the error of the first."""
_GROUPS = 500
"""Groups that are counted at once."""
_BEFORE_ALL = 0
"""A number comes before every text."""
TROUBLED = """
SELECT source, sum(lost), sum(stalled) FROM (
    SELECT source, count(*) AS lost, 0 AS stalled FROM watches
    WHERE lost_at IS NOT NULL GROUP BY source
    UNION ALL
    SELECT source, 0, count(*) FROM watches
    WHERE state = 'active' AND stalled_at IS NOT NULL GROUP BY source)
GROUP BY source
"""
LOST = "SELECT count(*), max(lost_at) FROM watches WHERE lost_at IS NOT NULL"
STALLED = """
SELECT count(*), max(stalled_at) FROM watches WHERE state = 'active' AND stalled_at IS NOT NULL
"""
FIRST_EVENT = "SELECT min(id) FROM events INDEXED BY events_at WHERE at >= ?"
LAST_EVENT = "SELECT coalesce(max(id), 0) FROM events"
COUNTED = """
SELECT CAST(at / 60 AS INTEGER), count(*), sum(status = 'FAILED') FROM events NOT INDEXED
WHERE id > ? AND id <= ? AND previous_status IS NOT status AND task_id IS NOT NULL GROUP BY 1
"""


class SqliteSummary(StorePart, CountedSummary):
    """Implements `watcher.core.interfaces.summary.Summary`."""

    _summary_statements = Statements(
        ended=ENDED,
        done=DONE,
        troubled=TROUBLED,
        lost=LOST,
        stalled=STALLED,
        minutes=_minutes.Statements(
            first_event=FIRST_EVENT, last_event=LAST_EVENT, counted=COUNTED
        ),
    )

    @property
    def _read_counts(self) -> Read:
        return self._database.read

    async def _failures(self, since: float) -> AsyncIterator[FailureGroup]:
        for status in ("FAILED", "COMPLETED_WITH_ERRORS"):
            after: str | int | None = _BEFORE_ALL
            while after is not None:
                found = await self._read_counts(FAILURES, status, after, since, _GROUPS)
                for _, count, last_at, error in found:
                    if count:
                        yield FailureGroup(status=status, error=error, count=count, last_at=last_at)
                after = found[-1][0] if len(found) == _GROUPS else None
