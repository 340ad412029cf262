"""The statements of retention, size and readiness."""

from watcher.stores.postgresql.watch_queries import LAST_EVENT_ID, NOTHING_PENDING

# The number of an event that is removed is not used again. The counter is written by what removes
# events, and by nothing else: as long as an old snapshot keeps its versions, each recording reads
# them.
_KEEP_NUMBER = f"""
kept AS (
    UPDATE event_counter SET last_id = newest.id
    FROM ({LAST_EVENT_ID}) AS newest (id) WHERE newest.id > last_id)
"""


def _oldest(table: str, time: str, condition: str = "true", also: str = "") -> str:
    """Return the statement that deletes up to $2 rows from before $1, the oldest from $3 on; it
    returns how many, and the time of the last.

    What is deleted stays in the index while an old snapshot is kept: without a time from which on
    it searches, each batch would read what all those before it have deleted.
    """
    return f"""
    WITH {also} deleted AS (
        DELETE FROM {table} WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM {table}
            WHERE {time} < $1 AND {time} >= $3 AND {condition} ORDER BY {time} LIMIT $2))
        RETURNING {time})
    SELECT count(*), max({time}) FROM deleted
    """


_NOT_NEEDED = """
NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id)
AND NOT EXISTS (SELECT 1 FROM watches WHERE source = events.source AND task_id = events.task_id)
"""

PRUNED = (
    _oldest("deliveries", "delivered_at", "state = 'delivered'"),
    _oldest("watches", "changed_at", f"state = 'done' AND {NOTHING_PENDING}"),
    _oldest("events", "at", _NOT_NEEDED, also=f"{_KEEP_NUMBER},"),
    _oldest("operations", "at"),
    _oldest("channel_notes", "at"),
)
"""In this order: events are pruned after the deliveries and watches that need them."""

# The history of a watch that is kept loses these events, too.
OLDEST_ENDED = """
SELECT id, length(body) + 1024 FROM events
WHERE id > $1 AND NOT EXISTS (
    SELECT 1 FROM deliveries WHERE event = events.id AND state <> 'delivered')
ORDER BY id LIMIT $2
"""

OLDEST_FAILED = """
SELECT id, size FROM deliveries WHERE channel = $1 AND state = 'failed' ORDER BY id LIMIT $2
"""

DELETE_FAILED = """
DELETE FROM deliveries WHERE state = 'failed' AND id = ANY ($1::bigint[]) RETURNING event
"""

DELETE_DELIVERED = """
DELETE FROM deliveries WHERE state = 'delivered' AND event = ANY ($1::bigint[])
"""

DELETE_EVENTS = f"""
WITH {_KEEP_NUMBER}
DELETE FROM events WHERE id = ANY ($1::bigint[])
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id)
"""

# Of the watcher's own tables, with their indices and what is stored out of line.
SIZE = """
SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
WHERE relkind = 'r' AND relnamespace = (
    SELECT relnamespace FROM pg_class WHERE oid = to_regclass('watcher_schema'))
"""

# No row where the schema is not for this program any more.
PROBE = """
UPDATE readiness_probe SET at = $1 FROM watcher_schema WHERE serves <= $2::integer RETURNING 1
"""

# 128 KiB, in rows that are too short to be compressed.
TAKE_ROOM = """
CREATE TABLE readiness_room AS SELECT repeat('x', 1000) AS filler FROM generate_series(1, 128)
"""

GIVE_ROOM_BACK = "DROP TABLE readiness_room"
