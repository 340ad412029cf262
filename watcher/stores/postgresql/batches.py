"""Batches of tasks: the statements of PostgreSQL."""

from watcher.stores._batches import RANK, Statements
from watcher.stores._rows import WATCH_COLUMNS, listed
from watcher.stores._task_lists import ERROR_START
from watcher.stores.postgresql import rows

LAST_BATCHES = """
SELECT batch FROM watches WHERE id > (SELECT max(id) FROM watches) - $1 AND batch IS NOT NULL
GROUP BY batch ORDER BY max(id) DESC LIMIT $2
"""
COUNTS = """
SELECT batch, source, status, state, count(*), min(added_at), max(changed_at)
FROM watches WHERE batch = ANY($1) GROUP BY batch, source, status, state
"""
FAILURES = f"""
SELECT status, min(substr(error_message, 1, 200) COLLATE "C"), count(*), max(changed_at)
FROM watches
WHERE batch = $1 AND state = 'done' AND status IN ('FAILED', 'COMPLETED_WITH_ERRORS')
GROUP BY status, {ERROR_START} ORDER BY 3 DESC, 4 DESC LIMIT 100
"""
TASKS = f"""
SELECT * FROM (SELECT {RANK} AS rank, id, {listed(WATCH_COLUMNS)} FROM watches WHERE batch = $1)
    AS ranked
WHERE (rank, -id) > ($2, $3) ORDER BY rank, id DESC LIMIT $4
"""
BODIES = "SELECT body FROM events WHERE source = $1 AND task_id = $2 ORDER BY id DESC LIMIT 1"

STATEMENTS = Statements(
    last=LAST_BATCHES,
    counts=COUNTS,
    failures=FAILURES,
    tasks=TASKS,
    bodies=BODIES,
    as_parameter=rows.cleaned,
    watch=rows.watch,
)
