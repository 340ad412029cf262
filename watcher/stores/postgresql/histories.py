"""What happened: the statements of PostgreSQL."""

from watcher.core.deliveries import DeliveryState
from watcher.stores import _rows
from watcher.stores._histories import Statements

_DELIVERY = _rows.delivery_columns(_rows.DELIVERY_COLUMNS)

EVENTS = """
SELECT id, event_id, type, at, sequence, previous_status, status,
    CASE WHEN type IN ('task.lost', 'task.stalled') THEN body END, channels
FROM events WHERE source = $1 AND task_id = $2 ORDER BY id
"""
DELIVERIES = f"""
SELECT d.event, {_DELIVERY} FROM deliveries AS d JOIN events AS e ON e.id = d.event
WHERE d.event = ANY($1) ORDER BY d.event, d.id
"""
ATTEMPTS = f"""
SELECT delivery, {_rows.listed(_rows.ATTEMPT_COLUMNS)} FROM attempts
WHERE delivery = ANY($1) ORDER BY delivery, number
"""
FAILED = """
SELECT channel, substr(last_error, 1, 200), count(*), min(created_at), max(created_at)
FROM deliveries WHERE state = 'failed' AND ($1::text IS NULL OR channel = $1)
GROUP BY 1, 2 ORDER BY 3 DESC, 5 DESC LIMIT 100
"""
# The state stands in each as it is, so that its partial index is used.
COUNTED = {
    state: "SELECT count(*), min(created_at), max(created_at) FROM deliveries"
    f" WHERE channel = $1 AND state = '{state}'"
    for state in DeliveryState
}

STATEMENTS = Statements(
    events=EVENTS,
    deliveries=DELIVERIES,
    attempts=ATTEMPTS,
    failed=FAILED,
    counted=COUNTED,
    as_parameter=list,
    names=tuple,
)
