-- The batch of each task. Watches with a smaller ID than batch_backfill.below get theirs from their last event, in pieces,
-- while the daemon runs.
ALTER TABLE watches ADD COLUMN batch TEXT;
CREATE INDEX watches_batch ON watches (batch, id) WHERE batch IS NOT NULL;
CREATE TABLE batch_backfill (below INTEGER NOT NULL);
INSERT INTO batch_backfill SELECT max(id) + 1 FROM watches HAVING count(*) > 0;
