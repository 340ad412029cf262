-- What each delivery takes in the store, in bytes. The indices of the pending and of the failed ones contain it, so that it
-- is summed up without reading a row.
ALTER TABLE deliveries ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET size = (SELECT length(body) + 1024 FROM events WHERE events.id = deliveries.event);
DROP INDEX deliveries_queue;
CREATE INDEX deliveries_queue ON deliveries (channel, order_key, is_head, bypassed, id, size) WHERE state = 'pending';
DROP INDEX deliveries_failed;
CREATE INDEX deliveries_failed ON deliveries (channel, id, size) WHERE state = 'failed';
