-- A channel may also be off: for days nothing but failures came from it. It comes back by itself.
ALTER TABLE holds RENAME TO holds_before;
CREATE TABLE holds (
    channel TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('paused', 'stopped', 'off')),
    reason TEXT NOT NULL,
    since REAL NOT NULL
);
INSERT INTO holds SELECT channel, kind, reason, since FROM holds_before;
DROP TABLE holds_before;
