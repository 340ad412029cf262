"""Batches of tasks: the statements of SQLite."""

from watcher.stores._batches import RANK, Statements
from watcher.stores._task_lists import ERROR_START
from watcher.stores.sqlite import queries, rows

LAST_BATCHES = """
SELECT batch FROM (
    SELECT batch, id FROM watches NOT INDEXED WHERE id > (SELECT max(id) FROM watches) - ?
        AND batch IS NOT NULL)
GROUP BY batch ORDER BY max(id) DESC LIMIT ?
"""
COUNTS = """
SELECT batch, source, status, state, count(*), min(added_at), max(changed_at)
FROM watches INDEXED BY watches_batch WHERE batch IN (SELECT value FROM json_each(?))
GROUP BY batch, source, status, state
"""
FAILURES = f"""
SELECT status, min(substr(error_message, 1, 200)), count(*), max(changed_at)
FROM watches INDEXED BY watches_batch
WHERE batch = ? AND state = 'done' AND status IN ('FAILED', 'COMPLETED_WITH_ERRORS')
GROUP BY status, {ERROR_START} ORDER BY 3 DESC, 4 DESC LIMIT 100
"""
TASKS = f"""
SELECT * FROM (
    SELECT {RANK} AS rank, id, {queries.WATCH} FROM watches INDEXED BY watches_batch
    WHERE batch = ?1)
WHERE (rank, -id) > (?2, ?3) ORDER BY rank, id DESC LIMIT ?4
"""
BODIES = "SELECT body FROM events WHERE source = ? AND task_id = ? ORDER BY id DESC LIMIT 1"

STATEMENTS = Statements(
    last=LAST_BATCHES,
    counts=COUNTS,
    failures=FAILURES,
    tasks=TASKS,
    bodies=BODIES,
    as_parameter=rows.as_json,
    watch=rows.watch,
)
