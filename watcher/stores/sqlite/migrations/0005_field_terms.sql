-- Tables, columns and indices in standard terms. No row changes.
ALTER TABLE deliveries RENAME COLUMN turn TO is_head;
ALTER TABLE deliveries RENAME COLUMN passed TO bypassed;
ALTER TABLE deliveries RENAME COLUMN passes_at TO unblocks_at;
DROP INDEX deliveries_line;
CREATE INDEX deliveries_queue ON deliveries (channel, order_key, is_head, bypassed, id) WHERE state = 'pending';
DROP INDEX deliveries_passing;
CREATE INDEX deliveries_unblocks_at ON deliveries (channel, unblocks_at)
    WHERE state = 'pending' AND is_head = 1 AND bypassed = 0 AND unblocks_at IS NOT NULL;

ALTER TABLE attempts RENAME COLUMN answer TO response;

ALTER TABLE troubles RENAME TO outages;
ALTER TABLE holds RENAME TO suspensions;
ALTER TABLE pulse RENAME TO readiness_probe;

ALTER TABLE notes RENAME TO channel_notes;
DROP INDEX notes_at;
CREATE INDEX channel_notes_at ON channel_notes (at);

ALTER TABLE discovered RENAME TO discovered_tasks;
DROP INDEX discovered_listed;
CREATE INDEX discovered_tasks_listed ON discovered_tasks (rule, listed_at);

-- An operation is known by its source, its scope (for an upload, the bucket) and its key within that.
ALTER TABLE confirmations RENAME TO operations;
ALTER TABLE operations RENAME COLUMN bucket TO scope;
ALTER TABLE operations RENAME COLUMN upload_id TO key;
