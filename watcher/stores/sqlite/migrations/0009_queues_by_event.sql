-- A queue is in the order of its events. A delivery that is replayed after it was removed has a later ID.
DROP INDEX deliveries_queue;
CREATE INDEX deliveries_queue ON deliveries (channel, order_key, is_head, bypassed, event, size) WHERE state = 'pending';
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (channel, next_attempt_at, event) WHERE state = 'pending' AND is_head = 1;
