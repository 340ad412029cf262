"""The statements that write many rows at once, which come as one JSON array.

After each row of `executemany` SQLite's thread waits until the interpreter is free: while the loop
is busy, up to 5 ms for each.
"""

import re
from collections.abc import Sequence

from watcher.stores.sqlite import rows
from watcher.stores.sqlite.queries import SIZE


def of_rows(statement: str, columns: Sequence[str]) -> str:
    """Replace each `:name` by that column of `wanted.value`, which is an array of `columns`."""

    def column(match: re.Match[str]) -> str:
        return f"json_extract(wanted.value, '$[{columns.index(match[1])}]')"

    return re.sub(r":(\w+)", column, statement)


# For events that were just stored, by their IDs. Of those with one order key the first may be the
# head of the queue.
INSERT_DELIVERIES = f"""
INSERT INTO deliveries (event, channel, order_key, created_at, next_attempt_at, size, is_head)
SELECT e.id, routed.value, order_key, at, at, {SIZE},
    row_number() OVER (PARTITION BY routed.value, order_key ORDER BY e.id) = 1 AND NOT EXISTS (
        SELECT 1 FROM deliveries AS before
        WHERE before.channel = routed.value AND before.order_key = e.order_key
            AND before.state = 'pending' AND before.bypassed = 0)
FROM json_each(?) AS wanted CROSS JOIN events AS e ON e.event_id = wanted.value
    CROSS JOIN json_each(e.channels) AS routed
ORDER BY e.id, routed.key
"""

# Only a head is bypassed: any other was given its place back while the attempt was in flight.
SETTLE = of_rows(
    """
UPDATE deliveries SET state = :state, attempts = attempts + 1, scheduled = :scheduled,
    first_attempt_at = min(coalesce(first_attempt_at, :attempted_at), :attempted_at),
    last_attempt_at = :attempted_at, next_attempt_at = :next_attempt_at, not_before = :not_before,
    scheduled_at = :next_attempt_at, unblocks_at = :unblocks_at, last_error = :last_error,
    last_status = :last_status, delivered_at = CASE WHEN :state = 'delivered' THEN :now END,
    bypassed = bypassed OR (is_head = 1
        AND :state = 'pending' AND :unblocks_at IS NOT NULL AND :unblocks_at <= :attempted_at)
FROM json_each(?) AS wanted
WHERE deliveries.id = :delivery_id AND deliveries.state = 'pending'
""",
    rows.SETTLE_PARAMETERS,
)

# The last fifty of a delivery are kept; each replaces the one fifty before it.
STORE_ATTEMPTS = of_rows(
    """
INSERT OR REPLACE INTO attempts (delivery, slot, number, at, duration, status, error, response)
SELECT d.id, d.attempts % 50, d.attempts, :attempted_at, :duration, :last_status, :last_error,
    nullif(:response, '')
FROM json_each(?) AS wanted CROSS JOIN deliveries AS d ON d.id = :delivery_id
""",
    rows.ATTEMPT_PARAMETERS,
)
