"""The statements of the outbox, as constants. IDs and results of attempts come as arrays, so that a
batch is one statement.

A queue is the deliveries with one channel and one order key, in the order of their events: one that
is replayed after it was removed has a later ID than what belongs after it.
"""

from watcher.core.ownership import SLOTS
from watcher.stores._rows import ATTEMPT_COLUMNS, DELIVERY_COLUMNS, DUE_COLUMNS, delivery_columns
from watcher.stores._rows import listed as columns
from watcher.stores.postgresql import rows
from watcher.stores.postgresql.watch_queries import IS_PENDING, SIZE

_JOINED = "FROM deliveries AS d JOIN events AS e ON e.id = d.event"


def _owned(slots: str) -> str:
    """Return the condition that a delivery is in one of the slots that this replica owns; the
    parameter `slots` is NULL where nothing is restricted.
    """
    return f"({slots}::smallint[] IS NULL OR slot = ANY ({slots}))"


def _in_slices_of(session: str) -> str:
    """Return the condition that the session, a parameter, owns the slice of the delivery `d`."""
    return f"""EXISTS (
    SELECT 1 FROM slices JOIN slice_groups USING (name)
    WHERE name = 'channel ' || d.channel AND number = d.slot * slices / {SLOTS}
        AND owner = {session})
"""


_HEADS = f"""
SELECT {delivery_columns(DUE_COLUMNS)} {_JOINED}
WHERE d.channel = $1 AND d.state = 'pending' AND d.is_head
"""
_OWNED_HEADS = f"{_HEADS} AND {_owned('$2').replace('slot =', 'd.slot =')}"

BODY = f"SELECT e.body {_JOINED} WHERE d.id = $1"

# $5 is where the search begins: entries before it may be dead, and many.
DUE = f"""
{_OWNED_HEADS} AND d.next_attempt_at <= $3 AND d.next_attempt_at >= $5
ORDER BY d.next_attempt_at, d.event LIMIT $4
"""

DUE_FOR_PROBE = f"{_OWNED_HEADS} ORDER BY coalesce(d.last_attempt_at, 0), d.event LIMIT $3"

_BLOCKS = "state = 'pending' AND is_head AND NOT bypassed AND unblocks_at IS NOT NULL"

NEXT_DUE_AT = f"""
SELECT least(
    (SELECT min(next_attempt_at) FROM deliveries
    WHERE channel = $1 AND state = 'pending' AND is_head AND next_attempt_at > $3
        AND {_owned("$2")}),
    (SELECT min(unblocks_at) FROM deliveries
    WHERE channel = $1 AND {_BLOCKS} AND unblocks_at > $3 AND {_owned("$2")}))
"""

ATTEMPTS = f"SELECT {columns(ATTEMPT_COLUMNS)} FROM attempts WHERE delivery = $1 ORDER BY number"

# A replica settles what is in slices of its own session; the parameter is NULL where nothing is
# restricted.
_SESSION = f"${len(rows.SETTLED_COLUMNS) + 1}::bigint"
_OWNED_BY = f"({_SESSION} IS NULL OR {_in_slices_of(_SESSION)})"

# Only a head is bypassed: any other was given its place back while the attempt was in flight. The
# last fifty attempts of a delivery are kept: each replaces the one fifty before it. Returns how
# many attempts were stored, and the deliveries that ended or are bypassed.
SETTLE = f"""
WITH wanted AS MATERIALIZED (
    SELECT * FROM {rows.unnested(rows.SETTLED_COLUMNS)}
), settled AS (
    UPDATE deliveries AS d SET state = wanted.state, attempts = attempts + 1,
        scheduled = wanted.scheduled, last_attempt_at = attempted_at,
        first_attempt_at = least(first_attempt_at, attempted_at),
        next_attempt_at = wanted.next_attempt_at, scheduled_at = wanted.next_attempt_at,
        not_before = wanted.not_before, unblocks_at = wanted.unblocks_at,
        last_error = wanted.last_error, last_status = wanted.last_status,
        delivered_at = CASE WHEN wanted.state = 'delivered' THEN wanted.now END,
        bypassed = bypassed OR (is_head AND wanted.state = 'pending'
            AND coalesce(wanted.unblocks_at <= attempted_at, false))
    FROM wanted WHERE d.id = delivery_id AND {IS_PENDING} AND {_OWNED_BY}
    RETURNING d.id, d.state, d.bypassed
), kept AS (
    INSERT INTO attempts (delivery, slot, {columns(ATTEMPT_COLUMNS)})
    SELECT delivery_id, number % 50, number, attempted_at, duration, last_status, last_error,
        nullif(response, '')
    FROM (
        SELECT wanted.*, d.attempts + (d.state = 'pending')::int AS number
        FROM wanted JOIN deliveries AS d ON d.id = delivery_id AND {_OWNED_BY}) AS attempted
    ON CONFLICT (delivery, slot)
        DO UPDATE SET {columns(f"{name} = excluded.{name}" for name in ATTEMPT_COLUMNS)}
    RETURNING delivery
)
SELECT (SELECT count(*) FROM kept) AS kept,
    ARRAY(SELECT id FROM settled WHERE state <> 'pending' OR bypassed) AS ended
"""

# How many of these deliveries are in slices that the session $2 does not own.
UNOWNED = f"""
SELECT count(*) FROM deliveries AS d WHERE id = ANY ($1::bigint[]) AND NOT {_in_slices_of("$2")}
"""

# For each delivery that ended or is bypassed: the oldest of its queue that is not bypassed becomes
# the head, unless it is. Of a queue one row is read, however long it is.
UNBLOCK_NEXT = """
UPDATE deliveries SET is_head = true WHERE NOT is_head AND id IN (
    SELECT (
        SELECT next.id FROM deliveries AS next
        WHERE next.channel = done.channel AND next.order_key = done.order_key
            AND next.state = 'pending' AND NOT next.bypassed
        ORDER BY next.event LIMIT 1)
    FROM unnest($1::bigint[]) AS ended (id) JOIN deliveries AS done ON done.id = ended.id
    WHERE done.state <> 'pending' OR done.bypassed)
RETURNING channel, coalesce(next_attempt_at, 0)
"""

HAS_EXPIRED = f"""
SELECT 1 FROM deliveries
WHERE channel = $1 AND {_owned("$2")} AND {_BLOCKS} AND unblocks_at <= $3 LIMIT 1
"""

UNBLOCK_EXPIRED = f"""
UPDATE deliveries SET bypassed = true
WHERE channel = $1 AND {_owned("$2")} AND {_BLOCKS} AND unblocks_at <= $3
RETURNING id
"""

# A last attempt in the future: the clock was set back, and `not_before` means nothing.
MAKE_DUE = f"""
UPDATE deliveries SET next_attempt_at =
    CASE WHEN not_before > $4 AND last_attempt_at <= $4 THEN not_before ELSE 0 END
WHERE channel = $1 AND {_owned("$2")} AND state = 'pending' AND is_head AND (
    last_attempt_at < $3 OR last_attempt_at > $4
    OR (last_attempt_at IS NULL AND next_attempt_at > $4))
"""

# Also due, because the next one of a queue may have been attempted before the first.
TAKE_PLACES_AGAIN = f"""
UPDATE deliveries SET bypassed = false, unblocks_at = NULL,
    next_attempt_at = greatest(least(next_attempt_at, $3), not_before)
WHERE channel = $1 AND {_owned("$2")} AND state = 'pending'
    AND (bypassed OR last_attempt_at IS NOT NULL)
"""

RETRY_AFTER_ENDS_AT = """
SELECT max(not_before) FROM deliveries
WHERE channel = $1 AND state = 'pending' AND is_head AND last_attempt_at <= $2
"""

FORGET_RETRY_AFTER = f"""
UPDATE deliveries SET not_before = NULL
WHERE channel = $1 AND {_owned("$2")} AND state = 'pending' AND not_before IS NOT NULL
"""

_DELIVERY = f"SELECT {delivery_columns(DELIVERY_COLUMNS)} {_JOINED}"

DELIVERY = f"{_DELIVERY} WHERE d.id = $1"

DELIVERIES_BY_ID = f"""
{_DELIVERY} WHERE d.id = ANY ($1::bigint[]) AND ($2::text IS NULL OR d.state = $2)
ORDER BY d.id DESC
"""

# Pending again from now on, with the whole schedule ahead. $2 is now.
RESTART = """
state = 'pending', scheduled = 0, first_attempt_at = NULL, next_attempt_at = $2, scheduled_at = $2,
    not_before = NULL, unblocks_at = NULL, delivered_at = NULL,
    sent_again = sent_again OR state = 'delivered'
"""

# A pending one keeps its place in the queue, and what it has waited. One that had ended has lost
# its place, so it is sent beside the others.
RETRY = """
UPDATE deliveries SET state = 'pending', scheduled = 0, next_attempt_at = $2, scheduled_at = $2,
    not_before = NULL, delivered_at = NULL,
    first_attempt_at = CASE state WHEN 'pending' THEN first_attempt_at END,
    unblocks_at = CASE state WHEN 'pending' THEN unblocks_at END,
    is_head = is_head OR state <> 'pending', bypassed = bypassed OR state <> 'pending',
    sent_again = sent_again OR state = 'delivered'
WHERE id = $1
"""

# Without statuses or task IDs (NULL), all are selected.
SELECTED = """
at >= $3 AND at <= $4 AND ($5::text[] IS NULL OR status = ANY($5))
    AND ($6::text[] IS NULL OR task_id = ANY($6))
"""

REPLAY_STORED = f"""
UPDATE deliveries SET {RESTART}, is_head = false, bypassed = false
WHERE channel = $1 AND state <> 'pending' AND event IN (SELECT id FROM events WHERE {SELECTED})
"""

NOT_QUEUED = """
NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id AND channel = $1)
"""

REPLAY_PRUNED = f"""
INSERT INTO deliveries
    (event, channel, order_key, slot, created_at, next_attempt_at, size, sent_again)
SELECT id, $1, order_key, slot, at, $2, {SIZE}, true FROM events
WHERE {SELECTED} AND $1 = ANY(channels) AND {NOT_QUEUED}
ORDER BY id
"""

# After a replay or a purge the oldest of each queue is its head.
RESET_HEADS = """
UPDATE deliveries SET is_head = placed.is_first FROM (
    SELECT id, row_number() OVER (PARTITION BY order_key ORDER BY event) = 1 AS is_first
    FROM deliveries WHERE channel = $1 AND state = 'pending' AND NOT bypassed) AS placed
WHERE deliveries.id = placed.id AND is_head <> is_first
"""

OUTBOX_DEPTHS = """
SELECT counted.channel, pending, failed, created_at, pending_bytes, failed_bytes, counted.bypassed
FROM (
    SELECT channel, sum(pending)::bigint AS pending, sum(failed)::bigint AS failed,
        min(oldest) AS oldest, sum(pending_bytes)::bigint AS pending_bytes,
        sum(failed_bytes)::bigint AS failed_bytes, sum(bypassed)::bigint AS bypassed
    FROM (
        SELECT channel, count(*) AS pending, 0 AS failed, min(event) AS oldest,
            sum(size) AS pending_bytes, 0 AS failed_bytes,
            count(*) FILTER (WHERE bypassed) AS bypassed
        FROM deliveries WHERE state = 'pending' GROUP BY channel
        UNION ALL
        SELECT channel, 0, count(*), NULL, 0, sum(size), 0
        FROM deliveries WHERE state = 'failed' GROUP BY channel) AS each
    GROUP BY channel) AS counted
LEFT JOIN deliveries AS d ON d.event = counted.oldest AND d.channel = counted.channel
"""

PURGE = """
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries WHERE channel = $1 AND state = $2 AND created_at < $3
    ORDER BY id LIMIT $4)
"""

# The fewest of the oldest, from before $3, that take $2 bytes together.
OLDEST_PENDING = """
SELECT channel, count(*), max(event), min(created_at), max(created_at) FROM (
    SELECT channel, event, created_at, sum(size) OVER (ORDER BY event) - size AS older
    FROM deliveries WHERE channel = $1 AND state = 'pending' AND created_at < $3) AS pending
WHERE older < $2 GROUP BY channel
"""

FAIL_OLDEST = """
UPDATE deliveries SET state = 'failed', last_error = $4 WHERE id IN (
    SELECT id FROM deliveries
    WHERE channel = $1 AND state = 'pending' AND event <= $2 AND created_at <= $5
    ORDER BY event LIMIT $3)
RETURNING id
"""
