-- Failed and stalled tasks are counted for the status. A full index on the status would slow down lists of watches.
CREATE INDEX watches_ended ON watches (status, changed_at) WHERE state = 'done' AND status <> 'COMPLETED';
CREATE INDEX watches_stalled ON watches (stalled_at) WHERE state = 'active' AND stalled_at IS NOT NULL;
