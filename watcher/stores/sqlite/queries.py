"""The statements of the SQLite store. Keys and ids come as one JSON array, so that a batch is one statement."""

from watcher.core.tasks import RUNNING_STATUSES

WATCH_COLUMNS = (
    "source, task_id, namespace, labels, state, status, sequence, task_type, error_message,"
    " added_at, first_seen_at, changed_at, missing_since, lost_at, stalled_at"
)

WATCHES_BY_KEY = f"""
SELECT {WATCH_COLUMNS} FROM json_each(?) AS wanted CROSS JOIN watches
WHERE source = json_extract(wanted.value, '$[0]') AND task_id = json_extract(wanted.value, '$[1]')
"""

INSERT_WATCH = (
    "INSERT INTO watches (source, task_id, namespace, labels, added_at) VALUES (?, ?, ?, ?, ?)"
)

MERGE_WATCH = "UPDATE watches SET namespace = ?, labels = ? WHERE source = ? AND task_id = ?"

ACTIVE_WATCHES = """
SELECT source, task_id, status, missing_since, lost_at, id FROM watches
WHERE state = 'active' AND id > ? ORDER BY id LIMIT ?
"""

_RUNNING = ", ".join(f"'{status}'" for status in sorted(RUNNING_STATUSES))

UNCHANGED_WATCHES = f"""
SELECT {WATCH_COLUMNS}, id FROM watches
WHERE source = ?1 AND state = 'active' AND stalled_at IS NULL AND status IN ({_RUNNING}) AND missing_since IS NULL
    AND changed_at < ?2 AND (changed_at, id) > (?3, ?4)
ORDER BY changed_at, id LIMIT ?5
"""

STANDING = """
SELECT source, task_id, sequence, state FROM json_each(?) AS wanted CROSS JOIN watches
WHERE source = json_extract(wanted.value, '$[0]') AND task_id = json_extract(wanted.value, '$[1]')
"""

# Labels are not among these: somebody may have added some since the watch was read.
STEP_WATCH = """
UPDATE watches SET state = ?, status = ?, sequence = ?, task_type = ?, error_message = ?, first_seen_at = ?,
    changed_at = ?, missing_since = ?, lost_at = ?, stalled_at = ?
WHERE source = ? AND task_id = ?
"""

INSERT_EVENT = """
INSERT INTO events (event_id, type, source, task_id, sequence, previous_status, status, at, body, order_key, channels,
    watched_for)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

INSERT_DELIVERY = """
INSERT INTO deliveries (event, channel, order_key, created_at, next_attempt_at, turn)
SELECT id, ?2, order_key, at, at, NOT EXISTS (
    SELECT 1 FROM deliveries AS before
    WHERE before.channel = ?2 AND before.order_key = events.order_key AND before.state = 'pending'
        AND before.passed = 0)
FROM events WHERE event_id = ?1
"""

EVENT_COLUMNS = "id, event_id, type, at, body, sequence, previous_status, status"

_DUE_COLUMNS = """
    d.id, d.channel, e.event_id, e.type, e.body, e.at AS event_at, d.created_at, e.watched_for, d.attempts, d.scheduled,
    d.first_attempt_at, d.last_attempt_at, d.next_attempt_at, d.scheduled_at, d.not_before
FROM deliveries AS d JOIN events AS e ON e.id = d.event
WHERE d.channel = ? AND d.state = 'pending' AND d.turn = 1
"""

DUE = f"SELECT {_DUE_COLUMNS} AND d.next_attempt_at <= ? ORDER BY d.next_attempt_at, d.id LIMIT ?"

STALEST = f"SELECT {_DUE_COLUMNS} ORDER BY coalesce(d.last_attempt_at, 0), d.id LIMIT ?"

NEXT_DUE_AT = """
SELECT min(moment) FROM (
    SELECT min(next_attempt_at) AS moment FROM deliveries
    WHERE channel = ?1 AND state = 'pending' AND turn = 1 AND next_attempt_at > ?2
    UNION ALL
    SELECT min(passes_at) FROM deliveries
    WHERE channel = ?1 AND state = 'pending' AND turn = 1 AND passed = 0 AND passes_at IS NOT NULL AND passes_at > ?2)
"""

SETTLE = """
UPDATE deliveries SET state = ?1, attempts = attempts + 1, scheduled = ?2,
    first_attempt_at = coalesce(first_attempt_at, ?3), last_attempt_at = ?3, next_attempt_at = ?4, scheduled_at = ?4,
    not_before = ?5, passes_at = ?6, last_error = ?7, last_status = ?8,
    delivered_at = CASE WHEN ?1 = 'delivered' THEN ?9 END,
    passed = passed OR (?1 = 'pending' AND ?6 IS NOT NULL AND ?6 <= ?3)
WHERE id = ?10 AND state = 'pending'
"""

# The last fifty of a delivery are kept; each takes the place of the one fifty before it.
ATTEMPT = """
INSERT OR REPLACE INTO attempts (delivery, slot, number, at, duration, status, error, answer)
SELECT id, attempts % 50, attempts, ?2, ?3, ?4, ?5, ?6 FROM deliveries WHERE id = ?1
"""

ATTEMPTS = "SELECT number, at, duration, status, error, answer FROM attempts WHERE delivery = ? ORDER BY number"

# What ended or was passed gives its turn to the oldest of its line that has none, unless somebody has it already.
UNBLOCK_NEXT = """
UPDATE deliveries SET turn = 1 WHERE id IN (
    SELECT (
        SELECT min(next.id) FROM deliveries AS next
        WHERE next.channel = done.channel AND next.order_key = done.order_key AND next.state = 'pending'
            AND next.turn = 0 AND next.passed = 0)
    FROM json_each(?) AS ended JOIN deliveries AS done ON done.id = ended.value
    WHERE (done.state <> 'pending' OR done.passed = 1) AND NOT EXISTS (
        SELECT 1 FROM deliveries AS head
        WHERE head.channel = done.channel AND head.order_key = done.order_key AND head.state = 'pending'
            AND head.turn = 1 AND head.passed = 0))
"""

PASSING = """
SELECT 1 FROM deliveries
WHERE channel = ? AND state = 'pending' AND turn = 1 AND passed = 0 AND passes_at IS NOT NULL AND passes_at <= ? LIMIT 1
"""

LET_PASS = """
UPDATE deliveries SET passed = 1
WHERE channel = ? AND state = 'pending' AND turn = 1 AND passed = 0 AND passes_at IS NOT NULL AND passes_at <= ?
RETURNING id
"""

HASTEN = """
UPDATE deliveries SET next_attempt_at = CASE WHEN not_before > ?3 THEN not_before ELSE 0 END
WHERE channel = ?1 AND state = 'pending' AND turn = 1
    AND (last_attempt_at < ?2 OR (last_attempt_at IS NULL AND next_attempt_at > ?3))
"""

DELIVERY_COLUMNS = """
    d.id, e.event_id, e.type, e.task_id, d.channel, d.state, d.attempts, d.next_attempt_at, d.last_error, d.last_status,
    d.created_at, d.delivered_at
FROM deliveries AS d JOIN events AS e ON e.id = d.event
"""

# Its place in the line was given up, so it goes beside the others, now and with the whole schedule before it.
RETRY = """
UPDATE deliveries SET state = 'pending', turn = 1, passed = 1, scheduled = 0, first_attempt_at = NULL,
    next_attempt_at = ?2, scheduled_at = ?2, not_before = NULL, passes_at = NULL, delivered_at = NULL
WHERE id = ?1
"""

# Statuses and task IDs as JSON; NULL takes all.
_CHOSEN = """
AND (?5 IS NULL OR status IN (SELECT value FROM json_each(?5)))
AND (?6 IS NULL OR task_id IN (SELECT value FROM json_each(?6)))
"""

REPLAY_STORED = f"""
UPDATE deliveries SET state = 'pending', turn = 0, passed = 0, scheduled = 0, first_attempt_at = NULL,
    next_attempt_at = ?4, scheduled_at = ?4, not_before = NULL, passes_at = NULL, delivered_at = NULL
WHERE channel = ?1 AND state <> 'pending' AND event IN (SELECT id FROM events WHERE at >= ?2 AND at <= ?3 {_CHOSEN})
RETURNING id
"""

REPLAY_RETIRED = f"""
INSERT INTO deliveries (event, channel, order_key, created_at, next_attempt_at)
SELECT id, ?1, order_key, at, ?4 FROM events
WHERE at >= ?2 AND at <= ?3 {_CHOSEN} AND EXISTS (SELECT 1 FROM json_each(events.channels) WHERE value = ?1)
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id AND channel = ?1)
ORDER BY id
RETURNING id
"""

# After a replay the line has older members again: the oldest takes the turn.
REORDER_LINES = """
UPDATE deliveries SET turn = (id = (
    SELECT min(first.id) FROM deliveries AS first
    WHERE first.channel = deliveries.channel AND first.order_key = deliveries.order_key AND first.state = 'pending'
        AND first.passed = 0))
WHERE channel = ? AND state = 'pending' AND passed = 0
"""

OUTBOX = """
SELECT counted.channel, counted.pending, counted.failed, oldest.created_at FROM (
    SELECT channel, sum(pending) AS pending, sum(failed) AS failed, min(oldest) AS oldest FROM (
        SELECT channel, count(*) AS pending, 0 AS failed, min(id) AS oldest
        FROM deliveries WHERE state = 'pending' GROUP BY channel
        UNION ALL
        SELECT channel, 0, count(*), NULL FROM deliveries WHERE state = 'failed' GROUP BY channel)
    GROUP BY channel) AS counted
LEFT JOIN deliveries AS oldest ON oldest.id = counted.oldest
"""

PURGE = """
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries WHERE channel = ? AND state = ? AND created_at < ? ORDER BY id LIMIT ?)
"""

PENDING = "SELECT count(*) FROM deliveries WHERE channel = ? AND state = 'pending'"

OLDEST_FAIL = """
UPDATE deliveries SET state = 'failed', last_error = ?3 WHERE id IN (
    SELECT id FROM deliveries WHERE channel = ?1 AND state = 'pending' ORDER BY id LIMIT ?2)
RETURNING id
"""

RETIRE_DELIVERIES = """
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries WHERE state = 'delivered' AND delivered_at < ? LIMIT ?)
"""

RETIRE_FAILED = """
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries WHERE state = 'failed' AND coalesce(last_attempt_at, created_at) < ? LIMIT ?)
"""

RETIRE_NOTES = """
DELETE FROM notes WHERE (channel, name) IN (SELECT channel, name FROM notes WHERE at < ? LIMIT ?)
"""

SIZE = """
SELECT (pages.page_count - free.freelist_count) * page.page_size, most.max_page_count * page.page_size
FROM pragma_page_count AS pages, pragma_freelist_count AS free, pragma_page_size AS page, pragma_max_page_count AS most
"""

_NOTHING_PENDING = """
NOT EXISTS (
    SELECT 1 FROM events AS e JOIN deliveries AS d ON d.event = e.id
    WHERE e.source = watches.source AND e.task_id = watches.task_id AND d.state = 'pending')
"""

RETIRE_DONE = f"""
DELETE FROM watches WHERE id IN (
    SELECT id FROM watches WHERE state = 'done' AND changed_at < ? AND {_NOTHING_PENDING} LIMIT ?)
"""

RETIRE_LOST = f"""
DELETE FROM watches WHERE id IN (
    SELECT id FROM watches WHERE lost_at IS NOT NULL AND lost_at < ? AND {_NOTHING_PENDING} LIMIT ?)
RETURNING source, task_id
"""

DISCOVERED = (
    "SELECT task_id FROM discovered WHERE rule = ? AND task_id IN (SELECT value FROM json_each(?))"
)

# Refreshed once a day at most, so that a rule that finds nothing new writes next to nothing.
STILL_LISTED = """
UPDATE discovered SET listed_at = ?3
WHERE rule = ?1 AND listed_at < ?3 - 86400 AND task_id IN (SELECT value FROM json_each(?2))
"""

DISCOVER = "INSERT INTO discovered (rule, task_id, listed_at) VALUES (?, ?, ?)"

INSERT_FINISHED = """
INSERT INTO watches (source, task_id, labels, state, status, task_type, added_at, first_seen_at, changed_at)
VALUES (?1, ?2, ?3, 'done', ?4, ?5, ?6, ?6, ?6) ON CONFLICT DO NOTHING
"""

KNOWN_UPLOADS = """
SELECT upload_id, task_id FROM confirmations
WHERE source = ? AND bucket = ? AND upload_id IN (SELECT value FROM json_each(?))
"""

CLAIM_UPLOAD = "INSERT INTO confirmations (source, bucket, upload_id, at) VALUES (?, ?, ?, ?)"

RELEASE_UPLOADS = """
DELETE FROM confirmations
WHERE source = ? AND bucket = ? AND task_id IS NULL AND upload_id IN (SELECT value FROM json_each(?))
"""

CONFIRM_UPLOADS = """
INSERT INTO confirmations (source, bucket, upload_id, task_id, at) SELECT ?1, ?2, value, ?4, ?5 FROM json_each(?3)
WHERE true ON CONFLICT DO UPDATE SET task_id = excluded.task_id, at = excluded.at
"""

RETIRE_UPLOADS = """
DELETE FROM confirmations WHERE (source, bucket, upload_id) IN (
    SELECT source, bucket, upload_id FROM confirmations WHERE at < ? LIMIT ?)
"""

RETIRE_EVENTS = """
DELETE FROM events WHERE id IN (
    SELECT id FROM events WHERE at < ? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id)
        AND NOT EXISTS (SELECT 1 FROM watches WHERE source = events.source AND task_id = events.task_id)
    LIMIT ?)
"""
