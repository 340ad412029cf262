"""The statements of retention, size and readiness.

In those of retention, $1 is a time and $2 how many rows at most.
"""

from watcher.stores.postgresql.watch_queries import NOTHING_PENDING

_PRUNE_DELIVERED = """
DELETE FROM deliveries WHERE id = ANY (ARRAY(
    SELECT id FROM deliveries WHERE state = 'delivered' AND delivered_at < $1 LIMIT $2))
"""

_PRUNE_DONE = f"""
DELETE FROM watches WHERE id = ANY (ARRAY(
    SELECT id FROM watches
    WHERE state = 'done' AND changed_at < $1 AND {NOTHING_PENDING} LIMIT $2))
"""

_PRUNE_EVENTS = """
DELETE FROM events WHERE id = ANY (ARRAY(
    SELECT id FROM events
    WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id)
        AND NOT EXISTS (
            SELECT 1 FROM watches WHERE source = events.source AND task_id = events.task_id)
    LIMIT $2))
"""

_PRUNE_OPERATIONS = """
DELETE FROM operations WHERE (source, scope, key) IN (
    SELECT source, scope, key FROM operations WHERE at < $1 LIMIT $2)
"""

_PRUNE_NOTES = """
DELETE FROM channel_notes WHERE (channel, name) IN (
    SELECT channel, name FROM channel_notes WHERE at < $1 LIMIT $2)
"""

PRUNED = (_PRUNE_DELIVERED, _PRUNE_DONE, _PRUNE_EVENTS, _PRUNE_OPERATIONS, _PRUNE_NOTES)
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

DELETE_EVENTS = """
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
