"""The statements of sessions, slices and signals. All times are those of the database.

Those that change who is there or who owns what notify the others, with the number of the session.
"""

from watcher.core.ownership import SESSION_LASTS, SIGNALS_KEPT
from watcher.stores.postgresql.watch_queries import LAST_EVENT_ID

_EXPIRY = f"clock_timestamp() + interval '{SESSION_LASTS} seconds'"
_LIVE = "expires_at > clock_timestamp()"

CHANNEL = "watcher"
"""The channel of notifications."""
_NOTIFY = f"pg_notify('{CHANNEL}', session::text)"

# No row where the schema is not for this program any more.
BEGIN_SESSION = f"""
WITH begun AS (
    INSERT INTO sessions (name, version, started_at, schema, renewed_at, expires_at)
    SELECT $1::text, $2::text, $3::float8, $4::integer, clock_timestamp(), {_EXPIRY}
    FROM watcher_schema WHERE serves <= $4::integer RETURNING session
)
SELECT session, {_NOTIFY} FROM begun
"""

# One statement in all while nothing changes. A session that is being deleted is waited for.
RENEW_SESSION = f"""
WITH renewed AS (
    UPDATE sessions
    SET renewed_at = clock_timestamp(), expires_at = {_EXPIRY}, groups = $2::jsonb, lag = $3,
        report = $4, changes = $5
    WHERE session = $1 AND {_LIVE} AND schema >= (SELECT serves FROM watcher_schema) RETURNING *
), live AS (
    SELECT * FROM renewed UNION ALL SELECT * FROM sessions WHERE session <> $1 AND {_LIVE}
)
SELECT (SELECT count(*) FROM renewed) AS renewed,
    extract(epoch FROM clock_timestamp())::float8 AS now,
    (SELECT jsonb_agg(jsonb_build_array(session, name, version, started_at, groups, lag,
        extract(epoch FROM clock_timestamp() - renewed_at))) FROM live)::text AS sessions,
    (SELECT jsonb_agg(jsonb_build_array(name, number, epoch, slices, owner))
        FROM slices JOIN slice_groups USING (name) WHERE number < slices)::text AS slices
"""

NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"

LIVE_SESSIONS = f"""
SELECT live.name, version, started_at, report, lag,
    extract(epoch FROM clock_timestamp() - renewed_at)::float8 AS renewed, (
        SELECT coalesce(jsonb_agg(jsonb_build_array(owned.name, number)), '[]')
        FROM slices AS owned JOIN slice_groups USING (name)
        WHERE owner = session AND number < slices)::text AS slices
FROM sessions AS live WHERE {_LIVE} ORDER BY live.name, started_at
"""

END_SESSION = f"""
WITH ended AS (DELETE FROM sessions WHERE session = $1 RETURNING session)
SELECT {_NOTIFY} FROM ended
"""

DIVIDE = """
WITH changed AS (
    INSERT INTO slice_groups AS present (name, slices)
    SELECT * FROM unnest($1::text[], $2::smallint[])
    ON CONFLICT (name) DO UPDATE SET slices = excluded.slices
    WHERE present.slices <> excluded.slices
    RETURNING name, slices
)
INSERT INTO slices (name, number)
SELECT name, generate_series(0, slices - 1) FROM changed
UNION SELECT name, number FROM slices JOIN changed USING (name)
ON CONFLICT (name, number) DO UPDATE SET owner = NULL, epoch = slices.epoch + 1
"""

END_EXPIRED_SESSIONS = "DELETE FROM sessions WHERE expires_at <= clock_timestamp()"

# A slice that a transaction of its former owner still holds is left for the next time.
CLAIM = f"""
WITH free AS (
    SELECT name, number FROM slices
    WHERE (name, number) IN (SELECT * FROM unnest($2::text[], $3::smallint[]))
        AND (owner IS NULL OR NOT EXISTS (SELECT 1 FROM sessions WHERE session = owner))
        AND EXISTS (SELECT 1 FROM sessions WHERE session = $1 AND {_LIVE})
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE slices SET owner = $1, epoch = epoch + 1
    FROM free WHERE slices.name = free.name AND slices.number = free.number
    RETURNING owner AS session
)
SELECT {_NOTIFY} FROM claimed LIMIT 1
"""

RELEASE = f"""
WITH released AS (
    UPDATE slices SET owner = NULL
    WHERE owner = $1 AND (name, number) IN (SELECT * FROM unnest($2::text[], $3::smallint[]))
    RETURNING $1 AS session
)
SELECT {_NOTIFY} FROM released LIMIT 1
"""

# No other replica claims them until the transaction ends.
FENCE = """
SELECT name, number, epoch FROM slices
WHERE owner = $1 AND (name, number) IN (SELECT * FROM unnest($2::text[], $3::smallint[]))
ORDER BY name, number FOR SHARE
"""

COUNT_ACTIVE = """
SELECT count(*) FROM (
    SELECT 1 FROM watches WHERE source = $1 AND state = 'active' LIMIT $2) AS counted
"""

STORE_SIGNAL = """
INSERT INTO signals (at, origin, name, task_ids, attempt)
VALUES (clock_timestamp(), $1, $2, $3, $4)
"""

# The last one stays, so that a search for the greatest number finds it at once.
PRUNE_SIGNALS = f"""
DELETE FROM signals WHERE at < clock_timestamp() - interval '{SIGNALS_KEPT} seconds'
    AND id < (SELECT max(id) FROM signals)
"""

SIGNALS = f"""
SELECT coalesce((SELECT max(id) FROM signals), 0) AS last,
    ({LAST_EVENT_ID}) AS last_event,
    (SELECT jsonb_agg(jsonb_build_array(name, task_ids, attempt) ORDER BY id) FROM signals
        WHERE id > $1 AND origin IS DISTINCT FROM $2)::text AS signals
"""

# Each replica counts its own transactions and publishes the number when it renews its session, so
# nothing is written for this alone. Events and signals show at once.
CHANGES_OF_OTHERS = f"""
SELECT hashtextextended(concat_ws(' ',
    ({LAST_EVENT_ID}),
    (SELECT max(id) FROM signals),
    (SELECT string_agg(concat_ws(' ', session, changes), ' ' ORDER BY session)
        FROM sessions WHERE session IS DISTINCT FROM $1 AND {_LIVE})), 0)
"""
