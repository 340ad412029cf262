"""Counts of the SQLite store for the daemon's status."""

from watcher.stores import _minutes
from watcher.stores._minutes import Read
from watcher.stores._summary import CountedSummary, Statements
from watcher.stores.sqlite.database import StorePart

# The condition of the partial index has to stand in the query as it is.
ENDED = """
SELECT status, count(*) FROM watches WHERE state = 'done' AND status <> 'COMPLETED' GROUP BY status
"""
DONE = "SELECT count(*) FROM watches WHERE state = 'done'"
FAILURES = """
SELECT status, min(substr(error_message, 1, 200)), count(*), max(changed_at) FROM watches
WHERE state = 'done' AND status <> 'COMPLETED' AND status IN ('FAILED', 'COMPLETED_WITH_ERRORS')
    AND changed_at > ?
GROUP BY status, substr(error_message, 1, 40) ORDER BY 3 DESC, 4 DESC LIMIT 100
"""
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
        failures=FAILURES,
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
