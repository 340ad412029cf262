"""The statements about the watchlist and the events, as constants.

Rows, keys and IDs come as arrays, so that a batch is one statement.
"""

from watcher.core.tasks import SLOW_STATUSES, TERMINAL_STATUSES
from watcher.stores._rows import (
    CHANGED_COLUMNS,
    KEY_COLUMNS,
    OUTAGE_COLUMNS,
    STORED_EVENT_COLUMNS,
    WATCH_COLUMNS,
    listed,
)
from watcher.stores.postgresql import rows

# The watchlist

WATCH = listed(WATCH_COLUMNS)

WATCHES_BY_KEY = f"SELECT {WATCH} FROM {rows.unnested(KEY_COLUMNS)} JOIN watches USING {rows.KEY}"

WATCHES_BY_TASK_ID = f"SELECT {WATCH} FROM watches WHERE task_id = $1 ORDER BY source"

WATCHES_PAGE = f"""
SELECT id, {WATCH} FROM watches
WHERE id < $1 AND ($2::text[] IS NULL OR status = ANY($2)) AND ($3::text IS NULL OR state = $3)
    AND labels @> $4::jsonb
ORDER BY id DESC LIMIT $5
"""

# One that another transaction has added is left as it is.
INSERT_WATCHES = f"""
INSERT INTO watches ({listed(rows.WATCH_COLUMNS)})
SELECT {listed(rows.WATCH_COLUMNS)} FROM {rows.unnested(rows.WATCH_COLUMNS)}
ON CONFLICT (source, task_id) DO NOTHING
"""

MERGE_WATCHES = f"""
UPDATE watches SET namespace = wanted.namespace, labels = wanted.labels, state = wanted.state
FROM {rows.unnested(rows.MERGED_COLUMNS)}
WHERE {rows.IS_WANTED}
"""

DELETE_WATCH = "DELETE FROM watches WHERE source = $1 AND task_id = $2 RETURNING id"

# Between two slots, from one watch on: a search of the index.
ACTIVE_WATCHES = """
SELECT task_id, status, missing_since, lost_at, slot, id FROM watches
WHERE state = 'active' AND source = $1 AND slot <= $2 AND (slot, id) > ($3, $4)
ORDER BY slot, id LIMIT $5
"""

# The names of the sources are found by the index, one search for each.
ACTIVE_ELSEWHERE = """
WITH RECURSIVE named (source) AS (
    SELECT min(source) FROM watches
    UNION ALL
    SELECT (SELECT min(source) FROM watches WHERE source > named.source) FROM named
    WHERE named.source IS NOT NULL)
SELECT count(*) FROM watches WHERE state = 'active' AND source IN (
    SELECT source FROM named WHERE source <> ALL($1))
"""

_NOT_RUNNING = listed(f"'{status}'" for status in sorted(SLOW_STATUSES | TERMINAL_STATUSES))

UNCHANGED_WATCHES = f"""
SELECT {WATCH}, id FROM watches
WHERE source = $1 AND state = 'active' AND stalled_at IS NULL AND status NOT IN ({_NOT_RUNNING})
    AND missing_since IS NULL AND changed_at < $2 AND (changed_at, id) > ($3, $4)
    AND ($5::smallint[] IS NULL OR slot = ANY($5))
ORDER BY changed_at, id LIMIT $6
"""

IS_PENDING = "d.state NOT IN ('delivered', 'failed')"
"""That a delivery, which is searched for by its number or its event, is pending. By these words the
planner finds no index of pending ones: if none was when the table was analyzed, it would read such
an index from end to end, with all that an old snapshot keeps in it.
"""

NOTHING_PENDING = f"""
NOT EXISTS (
    SELECT 1 FROM events AS e JOIN deliveries AS d ON d.event = e.id
    WHERE e.source = watches.source AND e.task_id = watches.task_id AND {IS_PENDING})
"""

PRUNE_LOST = f"""
DELETE FROM watches WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM watches
    WHERE lost_at IS NOT NULL AND lost_at < $1 AND {NOTHING_PENDING} LIMIT $2))
RETURNING source, task_id
"""

# Events and outages

WATCH_SEQUENCES = f"""
SELECT source, task_id, sequence, state, batch
FROM {rows.unnested(KEY_COLUMNS)} JOIN watches USING {rows.KEY}
"""

CHANGE_WATCHES = f"""
UPDATE watches SET {listed(f"{name} = wanted.{name}" for name in CHANGED_COLUMNS)},
    batch = coalesce(wanted.new_batch, watches.batch)
FROM {rows.unnested(rows.CHANGED_COLUMNS)}
WHERE {rows.IS_WANTED}
"""

# The counter knows what was removed: see `maintenance_queries`.
LAST_EVENT_ID = """
SELECT greatest(last_id, (SELECT max(id) FROM events WHERE id > last_id)) FROM event_counter
"""

SIZE = "length(body) + 1024"
"""What a delivery of an event takes: a kilobyte is the rows of both, with their indices."""

# Only one transaction at a time writes, so the number that is read here is the last one. An event
# that is stored already is left out: its transaction was committed, although the response to the
# commit was lost. Of the deliveries with one channel and one order key the first may be the
# head of the queue. Whether another one exists is one search of the index, due to the limit.
INSERT_EVENTS = f"""
WITH new AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY place) AS number
    FROM {rows.unnested(rows.EVENT_COLUMNS, with_place=True)}
    WHERE (SELECT true FROM events WHERE events.event_id = wanted.event_id LIMIT 1) IS NULL
), counted (last_before) AS MATERIALIZED ({LAST_EVENT_ID}
), stored AS (
    INSERT INTO events (id, {listed(rows.EVENT_COLUMNS)})
    SELECT last_before + number,
        {listed(rows.EVENT_COLUMNS).replace("channels", "channels::text[]")}
    FROM new, counted ORDER BY number
    RETURNING id, channels, order_key, slot, at, {SIZE} AS size
)
INSERT INTO deliveries
    (event, channel, order_key, slot, created_at, next_attempt_at, size, is_head)
SELECT stored.id, routed.channel, order_key, slot, at, at, size,
    row_number() OVER (PARTITION BY routed.channel, order_key ORDER BY stored.id) = 1 AND (
        SELECT true FROM deliveries AS before
        WHERE before.channel = routed.channel AND before.order_key = stored.order_key
            AND before.state = 'pending' AND NOT before.bypassed LIMIT 1) IS NULL
FROM stored CROSS JOIN LATERAL unnest(channels) WITH ORDINALITY AS routed (channel, place)
ORDER BY stored.id, routed.place
"""

STORED_EVENT = f"SELECT {listed(STORED_EVENT_COLUMNS)} FROM events"

TRANSITIONS = f"{STORED_EVENT} WHERE source = $1 AND task_id = $2 ORDER BY id"

EVENTS_AFTER = f"{STORED_EVENT} WHERE id > $1 ORDER BY id LIMIT $2"

OUTAGE = f"SELECT {listed(OUTAGE_COLUMNS)} FROM outages WHERE subject = $1"

STORE_OUTAGE = rows.replacing("outages", OUTAGE_COLUMNS)

DELETE_OUTAGE = "DELETE FROM outages WHERE subject = $1"
