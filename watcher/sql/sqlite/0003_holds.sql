-- Channels to which nothing is sent for now: paused by a person, or stopped because the receiver said never again.
CREATE TABLE holds (
    channel TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('paused', 'stopped')),
    reason TEXT NOT NULL,
    since REAL NOT NULL
);
