"""The statements of retention, size and readiness.

In those of retention, ?1 is a time and ?2 how many rows at most.
"""

from watcher.stores.sqlite.queries import NOTHING_PENDING

PRUNE_DELIVERED = """
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries WHERE state = 'delivered' AND delivered_at < ?1 LIMIT ?2)
"""

PRUNE_DONE = f"""
DELETE FROM watches WHERE id IN (
    SELECT id FROM watches WHERE state = 'done' AND changed_at < ?1 AND {NOTHING_PENDING} LIMIT ?2)
"""

PRUNE_EVENTS = """
DELETE FROM events WHERE id IN (
    SELECT id FROM events
    WHERE at < ?1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id)
        AND NOT EXISTS (
            SELECT 1 FROM watches WHERE source = events.source AND task_id = events.task_id)
    LIMIT ?2)
"""

PRUNE_OPERATIONS = """
DELETE FROM operations WHERE (source, scope, key) IN (
    SELECT source, scope, key FROM operations WHERE at < ?1 LIMIT ?2)
"""

PRUNE_NOTES = """
DELETE FROM channel_notes WHERE (channel, name) IN (
    SELECT channel, name FROM channel_notes WHERE at < ?1 LIMIT ?2)
"""

# The history of a watch that is kept loses these events, too.
OLDEST_ENDED = """
SELECT id, length(body) + 1024 FROM events
WHERE id > ?1 AND NOT EXISTS (
    SELECT 1 FROM deliveries WHERE event = events.id AND state <> 'delivered')
ORDER BY id LIMIT ?2
"""

OLDEST_FAILED = """
SELECT id, size FROM deliveries WHERE channel = ?1 AND state = 'failed' ORDER BY id LIMIT ?2
"""

DELETE_FAILED = """
DELETE FROM deliveries
WHERE state = 'failed' AND id IN (SELECT value FROM json_each(?)) RETURNING event
"""

DELETE_DELIVERED = """
DELETE FROM deliveries
WHERE state = 'delivered' AND event IN (SELECT value FROM json_each(?))
"""

DELETE_EVENTS = """
DELETE FROM events WHERE id IN (SELECT value FROM json_each(?))
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id)
"""

SIZE = """
SELECT (pages.page_count - free.freelist_count) * page.page_size,
    most.max_page_count * page.page_size
FROM pragma_page_count AS pages, pragma_freelist_count AS free, pragma_page_size AS page,
    pragma_max_page_count AS most
"""

# Takes as many bytes as an event of this size, and is rolled back.
PROBE_ROOM = "UPDATE readiness_probe SET at = zeroblob(?)"

PROBE = "UPDATE readiness_probe SET at = ?"

# The batches of watches that were stored by an earlier version, from their last transitions: the
# newest watches first, down to those below `batch_backfill.below`, which only becomes smaller.
WITHOUT_BATCH = """
SELECT id, (
    SELECT CASE WHEN json_valid(CAST(body AS TEXT))
            AND json_type(CAST(body AS TEXT), '$.data.additional_data.batch_id') = 'text'
        THEN nullif(json_extract(CAST(body AS TEXT), '$.data.additional_data.batch_id'), '') END
    FROM events
    WHERE source = watches.source AND task_id = watches.task_id
        AND type NOT IN ('task.lost', 'task.stalled')
    ORDER BY events.id DESC LIMIT 1)
FROM watches NOT INDEXED WHERE id < (SELECT below FROM batch_backfill) ORDER BY id DESC LIMIT ?
"""

FILL_IN_BATCHES = """
UPDATE watches SET batch = json_extract(wanted.value, '$[1]') FROM json_each(?) AS wanted
WHERE watches.id = json_extract(wanted.value, '$[0]') AND batch IS NULL
"""

FILLED_IN_BELOW = "UPDATE batch_backfill SET below = ?"
