-- Channels to which nothing is sent for now: paused by a person, or stopped because the receiver said never again.
CREATE TABLE holds (
    channel TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('paused', 'stopped')),
    reason TEXT NOT NULL,
    since REAL NOT NULL
);

-- What became of each attempt; of a delivery the last ones alone, in a ring (slot).
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
