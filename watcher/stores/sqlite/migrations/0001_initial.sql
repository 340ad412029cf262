-- Times are Unix seconds. A status is upper-case text; upstream may send any.

CREATE TABLE watches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    task_id TEXT NOT NULL,
    namespace TEXT,
    labels TEXT NOT NULL DEFAULT '{}',
    state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'done')),
    status TEXT,
    sequence INTEGER NOT NULL DEFAULT 0,
    task_type TEXT,
    error_message TEXT,
    added_at REAL NOT NULL,
    first_seen_at REAL,
    changed_at REAL,
    missing_since REAL,
    lost_at REAL,
    UNIQUE (source, task_id)
);
CREATE INDEX watches_active ON watches (id) WHERE state = 'active';
CREATE INDEX watches_done ON watches (changed_at) WHERE state = 'done';
CREATE INDEX watches_lost ON watches (lost_at) WHERE lost_at IS NOT NULL;
CREATE INDEX watches_task ON watches (task_id);

-- The event stream resumes from the ascending id; AUTOINCREMENT never reuses one.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    source TEXT,
    task_id TEXT,
    sequence INTEGER,
    previous_status TEXT,
    status TEXT,
    at REAL NOT NULL,
    body BLOB NOT NULL,
    order_key TEXT NOT NULL,
    channels TEXT NOT NULL,
    watched_for REAL
);
CREATE INDEX events_task ON events (source, task_id, id) WHERE task_id IS NOT NULL;
CREATE INDEX events_at ON events (at);

-- The outbox. The pending deliveries with one channel and one order_key are a queue. Its head (turn = 1) is the oldest that
-- is not bypassed (passed = 0); a bypassed one stays due beside the head. Version 5 renames these columns.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event INTEGER NOT NULL REFERENCES events (id),
    channel TEXT NOT NULL,
    order_key TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    turn INTEGER NOT NULL DEFAULT 0,
    passed INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    scheduled INTEGER NOT NULL DEFAULT 0,
    first_attempt_at REAL,
    last_attempt_at REAL,
    next_attempt_at REAL,
    scheduled_at REAL,
    not_before REAL,
    passes_at REAL,
    last_error TEXT,
    last_status INTEGER,
    created_at REAL NOT NULL,
    delivered_at REAL
);
CREATE INDEX deliveries_due ON deliveries (channel, next_attempt_at, id) WHERE state = 'pending' AND turn = 1;
CREATE INDEX deliveries_line ON deliveries (channel, order_key, turn, passed, id) WHERE state = 'pending';
CREATE INDEX deliveries_passing ON deliveries (channel, passes_at)
    WHERE state = 'pending' AND turn = 1 AND passed = 0 AND passes_at IS NOT NULL;
CREATE INDEX deliveries_failed ON deliveries (channel, id) WHERE state = 'failed';
CREATE INDEX deliveries_delivered ON deliveries (delivered_at) WHERE state = 'delivered';
CREATE UNIQUE INDEX deliveries_event ON deliveries (event, channel);

-- Outages of sources and channels, so that a restart neither repeats nor forgets their alerts.
CREATE TABLE troubles (
    subject TEXT PRIMARY KEY,
    since REAL NOT NULL,
    alerted_at REAL
);

-- Written by the readiness probe.
CREATE TABLE pulse (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at REAL NOT NULL
);
INSERT INTO pulse (id, at) VALUES (1, 0);
