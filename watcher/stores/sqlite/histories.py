"""What happened: the statements of SQLite."""

from watcher.core.deliveries import DeliveryState
from watcher.stores._histories import Statements
from watcher.stores.sqlite import queries, rows

EVENTS = """
SELECT id, event_id, type, at, sequence, previous_status, status,
    CASE WHEN type IN ('task.lost', 'task.stalled') THEN body END, channels
FROM events WHERE source = ? AND task_id = ? ORDER BY id
"""
DELIVERIES = f"""
SELECT d.event, {queries.DELIVERY_COLUMNS}
FROM json_each(?) AS wanted CROSS JOIN deliveries AS d ON d.event = wanted.value
    JOIN events AS e ON e.id = d.event
ORDER BY d.event, d.id
"""
ATTEMPTS = f"""
SELECT delivery, {queries.ATTEMPT_COLUMNS}
FROM json_each(?) AS wanted CROSS JOIN attempts ON delivery = wanted.value
ORDER BY delivery, number
"""
FAILED = """
SELECT channel, substr(last_error, 1, 200), count(*), min(created_at), max(created_at)
FROM deliveries INDEXED BY deliveries_failed
WHERE state = 'failed' AND (?1 IS NULL OR channel = ?1)
GROUP BY 1, 2 ORDER BY 3 DESC, 5 DESC LIMIT 100
"""

# The state stands in each as it is, so that its partial index is used.
COUNTED = {
    state: "SELECT count(*), min(created_at), max(created_at) FROM deliveries"
    f" WHERE channel = ? AND state = '{state}'"
    for state in DeliveryState
}

STATEMENTS = Statements(
    events=EVENTS,
    deliveries=DELIVERIES,
    attempts=ATTEMPTS,
    failed=FAILED,
    counted=COUNTED,
    as_parameter=rows.as_json,
    names=rows.names,
)
