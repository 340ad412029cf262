"""The statements about channels, sources, discovery and operations, as constants."""

from watcher.stores._rows import SUSPENSION_COLUMNS, listed
from watcher.stores.postgresql.rows import replacing

# Suspensions and notes of channels

SUSPENSIONS = f'SELECT {listed(SUSPENSION_COLUMNS)} FROM suspensions ORDER BY channel COLLATE "C"'

IS_SUSPENDED = "SELECT 1 FROM suspensions WHERE channel = $1 AND kind = $2"

STORE_SUSPENSION = replacing("suspensions", SUSPENSION_COLUMNS)

DELETE_SUSPENSION = "DELETE FROM suspensions WHERE channel = $1"

TARGET = "SELECT digest FROM channel_targets WHERE channel = $1"

STORE_TARGET = replacing("channel_targets", ("channel", "digest"))

NOTE = "SELECT value FROM channel_notes WHERE channel = $1 AND name = $2"

STORE_NOTE = replacing("channel_notes", ("channel", "name", "value", "at"), key=2)

# Sources

LIST_SIZE = "SELECT task_ids FROM list_sizes WHERE source = $1"

STORE_LIST_SIZE = replacing("list_sizes", ("source", "task_ids"))

# Discovery

RULE_RAN = "SELECT 1 FROM discovery_rules WHERE rule = $1"

STORE_RULE = """
INSERT INTO discovery_rules (rule, first_ran_at) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""

# Returns those that the rule had not listed before. The others are updated once a day at most, so
# that a rule that discovers nothing new writes next to nothing.
STORE_LISTED = """
WITH still_listed AS (
    UPDATE discovered_tasks SET listed_at = $3::double precision
    WHERE rule = $1::text AND listed_at < $3::double precision - 86400 AND task_id = ANY($2::text[])
)
INSERT INTO discovered_tasks (rule, task_id, listed_at)
SELECT $1::text, wanted.task_id, $3::double precision FROM unnest($2::text[]) AS wanted (task_id)
WHERE NOT EXISTS (
    SELECT 1 FROM discovered_tasks WHERE rule = $1::text AND task_id = wanted.task_id)
ON CONFLICT DO NOTHING RETURNING task_id
"""

DONE_AMONG = """
SELECT task_id FROM watches WHERE source = $1 AND state = 'done' AND task_id = ANY($2::text[])
"""

FORGET_UNLISTED = "DELETE FROM discovered_tasks WHERE rule = $1::text AND listed_at < $2"

# Operations

# Returns those that were stored before.
CLAIM_OPERATIONS = """
WITH claimed AS (
    INSERT INTO operations (source, scope, key, at)
    SELECT $1::text, $2::text, key, $4::double precision
    FROM unnest($3::text[]) AS wanted (key) ON CONFLICT DO NOTHING
)
SELECT key, task_id FROM operations
WHERE source = $1::text AND scope = $2::text AND key = ANY($3::text[])
"""

RELEASE_OPERATIONS = """
DELETE FROM operations
WHERE source = $1::text AND scope = $2::text AND task_id IS NULL AND key = ANY($3::text[])
"""

COMPLETE_OPERATIONS = """
INSERT INTO operations (source, scope, key, task_id, at)
SELECT DISTINCT $1::text, $2::text, key, $4::text, $5::double precision
FROM unnest($3::text[]) AS wanted (key)
ON CONFLICT (source, scope, key) DO UPDATE SET task_id = excluded.task_id, at = excluded.at
"""
