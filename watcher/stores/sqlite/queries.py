"""The statements of the SQLite store, by consumer, as constants.

Keys and IDs come as one JSON array, so that a batch is one statement.
"""

from watcher.core.tasks import SLOW_STATUSES, TERMINAL_STATUSES
from watcher.stores._rows import delivery_columns, listed
from watcher.stores.sqlite import rows


def _insert(table: str, columns: tuple[str, ...], verb: str = "INSERT") -> str:
    return f"{verb} INTO {table} ({listed(columns)}) VALUES ({listed('?' * len(columns))})"


# The watchlist

WATCH = listed(rows.WATCH_COLUMNS)

HAS_LABEL = """
instr(labels, ?) AND EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND json_each.value = ?)
"""
"""A label, as it stands in the column's JSON, and its name and value: few rows are decoded."""
_IS_WANTED = """
source = json_extract(wanted.value, '$[0]') AND task_id = json_extract(wanted.value, '$[1]')
"""

WATCHES_BY_KEY = f"SELECT {WATCH} FROM json_each(?) AS wanted CROSS JOIN watches WHERE {_IS_WANTED}"

WATCHES_BY_TASK_ID = f"SELECT {WATCH} FROM watches WHERE task_id = ? ORDER BY source"

WATCHES_PAGE = f"SELECT id, {WATCH} FROM watches WHERE id < ?"
"""Conditions of the filter follow, then `PAGE_END`."""

PAGE_END = " ORDER BY id DESC LIMIT ?"

# Of a condition for the status. The conditions of the partial indexes stand in each as they are.
ENDED_WITH = """
SELECT id FROM watches INDEXED BY watches_ended
WHERE state = 'done' AND status <> 'COMPLETED' AND {}
"""

ACTIVE_WITH = "SELECT id FROM watches INDEXED BY watches_active WHERE state = 'active' AND {}"

INSERT_WATCH = _insert("watches", rows.WATCH_COLUMNS)

INSERT_WATCH_IF_NEW = f"{INSERT_WATCH} ON CONFLICT DO NOTHING"

MERGE_WATCH = """
UPDATE watches SET namespace = ?, labels = ?, state = ? WHERE source = ? AND task_id = ?
"""

DELETE_WATCH = "DELETE FROM watches WHERE source = ? AND task_id = ?"

ACTIVE_WATCHES = """
SELECT source, task_id, status, missing_since, lost_at, id FROM watches
WHERE state = 'active' AND id > ? ORDER BY id LIMIT ?
"""

# The names of the sources are found by the index, one search for each.
ACTIVE_ELSEWHERE = """
WITH RECURSIVE named (source) AS (
    SELECT min(source) FROM watches
    UNION ALL
    SELECT (SELECT min(source) FROM watches WHERE source > named.source) FROM named
    WHERE named.source IS NOT NULL)
SELECT count(*) FROM watches WHERE state = 'active' AND source IN (
    SELECT source FROM named
    WHERE source IS NOT NULL AND source NOT IN (SELECT value FROM json_each(?)))
"""

_NOT_RUNNING = listed(f"'{status}'" for status in sorted(SLOW_STATUSES | TERMINAL_STATUSES))

UNCHANGED_WATCHES = f"""
SELECT {WATCH}, id FROM watches
WHERE source = ?1 AND state = 'active' AND stalled_at IS NULL AND status NOT IN ({_NOT_RUNNING})
    AND missing_since IS NULL AND changed_at < ?2 AND (changed_at, id) > (?3, ?4)
ORDER BY changed_at, id LIMIT ?5
"""

NOTHING_PENDING = """
NOT EXISTS (
    SELECT 1 FROM events AS e JOIN deliveries AS d ON d.event = e.id
    WHERE e.source = watches.source AND e.task_id = watches.task_id AND d.state = 'pending')
"""

PRUNE_LOST = f"""
DELETE FROM watches WHERE id IN (
    SELECT id FROM watches
    WHERE lost_at IS NOT NULL AND lost_at < ? AND {NOTHING_PENDING} LIMIT ?)
RETURNING source, task_id
"""

# Events and outages

WATCH_SEQUENCES = f"""
SELECT source, task_id, sequence, state, batch FROM json_each(?) AS wanted CROSS JOIN watches
WHERE {_IS_WANTED}
"""

CHANGE_WATCH = f"""
UPDATE watches SET {listed(f"{name} = ?" for name in rows.CHANGED_COLUMNS)}
WHERE source = ? AND task_id = ?
"""

SET_BATCH = "UPDATE watches SET batch = ? WHERE source = ? AND task_id = ?"
"""Apart from `CHANGE_WATCH`, because it rewrites an entry of an index."""

INSERT_EVENT = _insert("events", rows.EVENT_COLUMNS)

SIZE = "length(body) + 1024"
"""What a delivery of an event takes: a kilobyte is the rows of both, with their indices."""

STORED_EVENT = f"SELECT {listed(rows.STORED_EVENT_COLUMNS)} FROM events"

TRANSITIONS = f"{STORED_EVENT} WHERE source = ? AND task_id = ? ORDER BY id"

EVENTS_AFTER = f"{STORED_EVENT} WHERE id > ? ORDER BY id LIMIT ?"

LAST_EVENT_ID = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"

OUTAGE = f"SELECT {listed(rows.OUTAGE_COLUMNS)} FROM outages WHERE subject = ?"

STORE_OUTAGE = _insert("outages", rows.OUTAGE_COLUMNS, "INSERT OR REPLACE")

DELETE_OUTAGE = "DELETE FROM outages WHERE subject = ?"

# The outbox. A queue is the deliveries with one channel and one order key, in the order of their
# events: one that is replayed after it was removed has a later ID than what belongs after it.

_JOINED = "FROM deliveries AS d JOIN events AS e ON e.id = d.event"

_HEADS = f"""
SELECT {delivery_columns(rows.DUE_COLUMNS)} {_JOINED}
WHERE d.channel = ? AND d.state = 'pending' AND d.is_head = 1
"""

BODY = f"SELECT e.body {_JOINED} WHERE d.id = ?"

DUE = f"{_HEADS} AND d.next_attempt_at <= ? ORDER BY d.next_attempt_at, d.event LIMIT ?"

DUE_FOR_PROBE = f"{_HEADS} ORDER BY coalesce(d.last_attempt_at, 0), d.event LIMIT ?"

_BLOCKS = "state = 'pending' AND is_head = 1 AND bypassed = 0 AND unblocks_at IS NOT NULL"

NEXT_DUE_AT = f"""
SELECT min(moment) FROM (
    SELECT min(next_attempt_at) AS moment FROM deliveries
    WHERE channel = ?1 AND state = 'pending' AND is_head = 1 AND next_attempt_at > ?2
    UNION ALL
    SELECT min(unblocks_at) FROM deliveries WHERE channel = ?1 AND {_BLOCKS} AND unblocks_at > ?2)
"""

ATTEMPT_COLUMNS = listed(rows.ATTEMPT_COLUMNS)

ATTEMPTS = f"""
SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE delivery = ? ORDER BY number
"""

# For each delivery that ended or is bypassed: the oldest blocked one of its queue becomes the head,
# unless the queue has a head that is not bypassed.
UNBLOCK_NEXT = """
UPDATE deliveries SET is_head = 1 WHERE id IN (
    SELECT (
        SELECT next.id FROM deliveries AS next
        WHERE next.channel = done.channel AND next.order_key = done.order_key
            AND next.state = 'pending' AND next.is_head = 0 AND next.bypassed = 0
        ORDER BY next.event LIMIT 1)
    FROM json_each(?) AS ended JOIN deliveries AS done ON done.id = ended.value
    WHERE (done.state <> 'pending' OR done.bypassed = 1) AND NOT EXISTS (
        SELECT 1 FROM deliveries AS head
        WHERE head.channel = done.channel AND head.order_key = done.order_key
            AND head.state = 'pending' AND head.is_head = 1 AND head.bypassed = 0))
"""

HAS_EXPIRED = f"""
SELECT 1 FROM deliveries WHERE channel = ? AND {_BLOCKS} AND unblocks_at <= ? LIMIT 1
"""

UNBLOCK_EXPIRED = f"""
UPDATE deliveries SET bypassed = 1 WHERE channel = ? AND {_BLOCKS} AND unblocks_at <= ?
RETURNING id
"""

# A last attempt in the future: the clock was set back, and `not_before` means nothing.
MAKE_DUE = """
UPDATE deliveries SET next_attempt_at =
    CASE WHEN not_before > ?3 AND last_attempt_at <= ?3 THEN not_before ELSE 0 END
WHERE channel = ?1 AND state = 'pending' AND is_head = 1 AND (
    last_attempt_at < ?2 OR last_attempt_at > ?3
    OR (last_attempt_at IS NULL AND next_attempt_at > ?3)
)
"""

# Also due, because the next one of a queue may have been attempted before the first.
TAKE_PLACES_AGAIN = """
UPDATE deliveries SET bypassed = 0, unblocks_at = NULL,
    next_attempt_at = max(min(next_attempt_at, ?2), coalesce(not_before, 0))
WHERE channel = ?1 AND state = 'pending' AND (bypassed = 1 OR last_attempt_at IS NOT NULL)
"""

RETRY_AFTER_ENDS_AT = """
SELECT max(not_before) FROM deliveries
WHERE channel = ? AND state = 'pending' AND is_head = 1 AND last_attempt_at <= ?
"""

FORGET_RETRY_AFTER = """
UPDATE deliveries SET not_before = NULL
WHERE channel = ? AND state = 'pending' AND not_before IS NOT NULL
"""

DELIVERY_COLUMNS = delivery_columns(rows.DELIVERY_COLUMNS)

_DELIVERY = f"SELECT {DELIVERY_COLUMNS} {_JOINED}"

DELIVERY = f"{_DELIVERY} WHERE d.id = ?"


DELIVERIES_BY_ID = f"""
{_DELIVERY} WHERE d.id IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR d.state = ?2)
ORDER BY d.id DESC
"""

# Pending again from now on, with the whole schedule ahead. ?2 is now.
RESTART = """
state = 'pending', scheduled = 0, first_attempt_at = NULL, next_attempt_at = ?2, scheduled_at = ?2,
    not_before = NULL, unblocks_at = NULL, delivered_at = NULL,
    sent_again = sent_again OR state = 'delivered'
"""

# A pending one keeps its place in the queue, and what it has waited. One that had ended has lost
# its place, so it is sent beside the others.
RETRY = """
UPDATE deliveries SET state = 'pending', scheduled = 0, next_attempt_at = ?2, scheduled_at = ?2,
    not_before = NULL, delivered_at = NULL,
    first_attempt_at = CASE state WHEN 'pending' THEN first_attempt_at END,
    unblocks_at = CASE state WHEN 'pending' THEN unblocks_at END,
    is_head = CASE state WHEN 'pending' THEN is_head ELSE 1 END,
    bypassed = CASE state WHEN 'pending' THEN bypassed ELSE 1 END,
    sent_again = sent_again OR state = 'delivered'
WHERE id = ?1
"""

# Statuses and task IDs as JSON; NULL selects all.
SELECTED = """
at >= ?3 AND at <= ?4 AND (?5 IS NULL OR status IN (SELECT value FROM json_each(?5)))
    AND (?6 IS NULL OR task_id IN (SELECT value FROM json_each(?6)))
"""

REPLAY_STORED = f"""
UPDATE deliveries SET {RESTART}, is_head = 0, bypassed = 0
WHERE channel = ?1 AND state <> 'pending' AND event IN (SELECT id FROM events WHERE {SELECTED})
RETURNING id
"""

REPLAY_PRUNED = f"""
INSERT INTO deliveries (event, channel, order_key, created_at, next_attempt_at, size, sent_again)
SELECT id, ?1, order_key, at, ?2, {SIZE}, 1 FROM events
WHERE {SELECTED} AND EXISTS (SELECT 1 FROM json_each(events.channels) WHERE value = ?1)
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id AND channel = ?1)
ORDER BY id
RETURNING id
"""

# After a replay or a purge the oldest of each queue is its head.
RESET_HEADS = """
UPDATE deliveries SET is_head = (event = (
    SELECT min(first.event) FROM deliveries AS first
    WHERE first.channel = deliveries.channel AND first.order_key = deliveries.order_key
        AND first.state = 'pending' AND first.bypassed = 0))
WHERE channel = ? AND state = 'pending' AND bypassed = 0
"""

OUTBOX_DEPTHS = """
SELECT counted.channel, counted.pending, counted.failed, oldest.created_at,
    counted.pending_bytes, counted.failed_bytes, counted.bypassed
FROM (
    SELECT channel, sum(pending) AS pending, sum(failed) AS failed, min(oldest) AS oldest,
        sum(pending_bytes) AS pending_bytes, sum(failed_bytes) AS failed_bytes,
        sum(bypassed) AS bypassed
    FROM (
        SELECT channel, count(*) AS pending, 0 AS failed, min(event) AS oldest,
            sum(size) AS pending_bytes, 0 AS failed_bytes, sum(bypassed) AS bypassed
        FROM deliveries WHERE state = 'pending' GROUP BY channel
        UNION ALL
        SELECT channel, 0, count(*), NULL, 0, sum(size), 0
        FROM deliveries WHERE state = 'failed' GROUP BY channel)
    GROUP BY channel) AS counted
LEFT JOIN deliveries AS oldest
    ON oldest.event = counted.oldest AND oldest.channel = counted.channel
"""

PURGE = """
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries WHERE channel = ? AND state = ? AND created_at < ?
    ORDER BY id LIMIT ?)
"""

# The fewest of the oldest, from before ?3, that take ?2 bytes together.
OLDEST_PENDING = """
SELECT channel, count(*), max(event), min(created_at), max(created_at) FROM (
    SELECT channel, event, created_at, sum(size) OVER (ORDER BY event) - size AS older
    FROM deliveries WHERE channel = ?1 AND state = 'pending' AND created_at < ?3)
WHERE older < ?2 HAVING count(*) > 0
"""

FAIL_OLDEST = """
UPDATE deliveries SET state = 'failed', last_error = ?4 WHERE id IN (
    SELECT id FROM deliveries
    WHERE channel = ?1 AND state = 'pending' AND event <= ?2 AND created_at <= ?5
    ORDER BY event LIMIT ?3)
RETURNING id
"""

# Suspensions and notes of channels

SUSPENSIONS = f"SELECT {listed(rows.SUSPENSION_COLUMNS)} FROM suspensions ORDER BY channel"

STORE_SUSPENSION = _insert("suspensions", rows.SUSPENSION_COLUMNS, "INSERT OR REPLACE")

DELETE_SUSPENSION = "DELETE FROM suspensions WHERE channel = ?"

TARGET = "SELECT digest FROM channel_targets WHERE channel = ?"

STORE_TARGET = "INSERT OR REPLACE INTO channel_targets (channel, digest) VALUES (?, ?)"

NOTE = "SELECT value FROM channel_notes WHERE channel = ? AND name = ?"

STORE_NOTE = "INSERT OR REPLACE INTO channel_notes (channel, name, value, at) VALUES (?, ?, ?, ?)"

# Sources

LIST_SIZE = "SELECT task_ids FROM list_sizes WHERE source = ?"

STORE_LIST_SIZE = "INSERT OR REPLACE INTO list_sizes (source, task_ids) VALUES (?, ?)"

# Discovery

RULE_RAN = "SELECT 1 FROM discovery_rules WHERE rule = ?"

STORE_RULE = "INSERT OR IGNORE INTO discovery_rules (rule, first_ran_at) VALUES (?, ?)"

KNOWN_TASKS = """
SELECT task_id FROM discovered_tasks
WHERE rule = ? AND task_id IN (SELECT value FROM json_each(?))
"""

# Updated once a day at most, so that a rule that discovers nothing new writes next to nothing.
STILL_LISTED = """
UPDATE discovered_tasks SET listed_at = ?3
WHERE rule = ?1 AND listed_at < ?3 - 86400 AND task_id IN (SELECT value FROM json_each(?2))
"""

STORE_DISCOVERED = "INSERT INTO discovered_tasks (rule, task_id, listed_at) VALUES (?, ?, ?)"

DONE_AMONG = """
SELECT task_id FROM watches
WHERE source = ? AND state = 'done' AND task_id IN (SELECT value FROM json_each(?))
"""

FORGET_UNLISTED = "DELETE FROM discovered_tasks WHERE rule = ? AND listed_at < ?"

# Operations

KNOWN_OPERATIONS = """
SELECT key, task_id FROM operations
WHERE source = ? AND scope = ? AND key IN (SELECT value FROM json_each(?))
"""

CLAIM_OPERATION = "INSERT INTO operations (source, scope, key, at) VALUES (?, ?, ?, ?)"

RELEASE_OPERATIONS = """
DELETE FROM operations WHERE source = ? AND scope = ? AND task_id IS NULL
    AND key IN (SELECT value FROM json_each(?))
"""

COMPLETE_OPERATIONS = """
INSERT INTO operations (source, scope, key, task_id, at)
SELECT ?1, ?2, value, ?4, ?5 FROM json_each(?3)
WHERE true ON CONFLICT DO UPDATE SET task_id = excluded.task_id, at = excluded.at
"""
