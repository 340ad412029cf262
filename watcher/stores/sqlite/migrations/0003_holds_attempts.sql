-- Suspended channels: paused by an operator, or stopped because the endpoint no longer exists.
CREATE TABLE holds (
    channel TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('paused', 'stopped')),
    reason TEXT NOT NULL,
    since REAL NOT NULL
);

-- The last attempts of each delivery, in a ring (slot).
CREATE TABLE attempts (
    delivery INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    duration REAL NOT NULL,
    status INTEGER,
    error TEXT,
    answer TEXT,
    PRIMARY KEY (delivery, slot)
) WITHOUT ROWID;
