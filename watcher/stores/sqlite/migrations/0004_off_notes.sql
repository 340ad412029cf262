-- A channel may also be off, after days without a success. Probes end that.
ALTER TABLE holds RENAME TO holds_before;
CREATE TABLE holds (
    channel TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('paused', 'stopped', 'off')),
    reason TEXT NOT NULL,
    since REAL NOT NULL
);
INSERT INTO holds SELECT channel, kind, reason, since FROM holds_before;
DROP TABLE holds_before;

-- What a channel has to remember, such as the location of its message about a batch.
CREATE TABLE notes (
    channel TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (channel, name)
) WITHOUT ROWID;
CREATE INDEX notes_at ON notes (at);
