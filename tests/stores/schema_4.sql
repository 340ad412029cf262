-- A database of schema version 4, as the last release before version 5 wrote it, with rows in every
-- table. Frozen: test_migration.py opens it with the store of today.

PRAGMA application_id = 2004116328;
PRAGMA user_version = 4;

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
    lost_at REAL, stalled_at REAL,
    UNIQUE (source, task_id)
);
CREATE INDEX watches_active ON watches (id) WHERE state = 'active';
CREATE INDEX watches_done ON watches (changed_at) WHERE state = 'done';
CREATE INDEX watches_lost ON watches (lost_at) WHERE lost_at IS NOT NULL;
CREATE INDEX watches_task ON watches (task_id);
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
CREATE TABLE troubles (
    subject TEXT PRIMARY KEY,
    since REAL NOT NULL,
    alerted_at REAL
);
CREATE TABLE pulse (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at REAL NOT NULL
);
CREATE INDEX watches_unchanged ON watches (source, changed_at) WHERE state = 'active' AND stalled_at IS NULL;
CREATE TABLE discovery_rules (
    rule TEXT PRIMARY KEY,
    first_ran_at REAL NOT NULL
);
CREATE TABLE discovered (
    rule TEXT NOT NULL,
    task_id TEXT NOT NULL,
    listed_at REAL NOT NULL,
    PRIMARY KEY (rule, task_id)
) WITHOUT ROWID;
CREATE INDEX discovered_listed ON discovered (rule, listed_at);
CREATE TABLE confirmations (
    source TEXT NOT NULL,
    bucket TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    task_id TEXT,
    at REAL NOT NULL,
    PRIMARY KEY (source, bucket, upload_id)
) WITHOUT ROWID;
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
CREATE TABLE holds (
    channel TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('paused', 'stopped', 'off')),
    reason TEXT NOT NULL,
    since REAL NOT NULL
);
CREATE TABLE notes (
    channel TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (channel, name)
) WITHOUT ROWID;
CREATE INDEX notes_at ON notes (at);

INSERT INTO watches (id, source, task_id, namespace, labels, state, status, sequence, task_type, error_message, added_at,
    first_seen_at, changed_at, missing_since, lost_at, stalled_at) VALUES
    (1, 'mixpeek', 'running', 'production', '{"team":"search"}', 'active', 'IN_PROGRESS', 4, 'api_x', NULL, 10.0,
        11.0, 40.0, NULL, NULL, 90.0),
    (2, 'mixpeek', 'failed', NULL, '{}', 'done', 'FAILED', 1, 'api_y', 'boom', 12.0, 13.0, 50.0, NULL, NULL, NULL),
    (3, 'mixpeek', 'lost', NULL, '{}', 'active', NULL, 0, NULL, NULL, 14.0, NULL, NULL, 15.0, 16.0, NULL);
INSERT INTO events (id, event_id, type, source, task_id, sequence, previous_status, status, at, body, order_key,
    channels, watched_for) VALUES
    (1, 'msg_1', 'task.pending', 'mixpeek', 'running', 1, NULL, 'PENDING', 11.0, X'7B2231227D', 'task running',
        '["backend"]', 1.0),
    (2, 'msg_2', 'task.queued', 'mixpeek', 'running', 2, 'PENDING', 'QUEUED', 20.0, X'7B2232227D', 'task running',
        '["backend"]', 10.0),
    (3, 'msg_3', 'task.processing', 'mixpeek', 'running', 3, 'QUEUED', 'PROCESSING', 30.0, X'7B2233227D',
        'task running', '["backend"]', 20.0),
    (4, 'msg_4', 'task.in_progress', 'mixpeek', 'running', 4, 'PROCESSING', 'IN_PROGRESS', 40.0, X'7B2234227D',
        'task running', '["backend"]', 30.0),
    (5, 'msg_5', 'task.failed', 'mixpeek', 'failed', 1, NULL, 'FAILED', 50.0, X'7B2235227D', 'task failed',
        '["backend","alerts"]', 38.0),
    (9, 'msg_9', 'channel.failing', NULL, NULL, NULL, NULL, NULL, 60.0, X'7B2239227D', 'channel backend',
        '["alerts"]', NULL);
INSERT INTO deliveries (id, event, channel, order_key, state, turn, passed, attempts, scheduled, first_attempt_at,
    last_attempt_at, next_attempt_at, scheduled_at, not_before, passes_at, last_error, last_status, created_at,
    delivered_at) VALUES
    (1, 1, 'backend', 'task running', 'delivered', 1, 0, 1, 1, 12.0, 12.0, NULL, NULL, NULL, NULL, NULL, 204, 11.0, 13.0),
    (2, 2, 'backend', 'task running', 'pending', 1, 1, 2, 1, 21.0, 22.0, 500.0, 450.0, 400.0, 300.0, 'HTTP 503', 503,
        20.0, NULL),
    (3, 3, 'backend', 'task running', 'pending', 1, 0, 1, 1, 31.0, 31.0, 200.0, 200.0, NULL, 700.0, 'HTTP 500', 500,
        30.0, NULL),
    (4, 4, 'backend', 'task running', 'pending', 0, 0, 0, 0, NULL, NULL, 40.0, NULL, NULL, NULL, NULL, NULL, 40.0, NULL),
    (5, 5, 'backend', 'task failed', 'failed', 1, 0, 3, 3, 51.0, 55.0, NULL, NULL, NULL, NULL, 'HTTP 400', 400, 50.0,
        NULL),
    (6, 5, 'alerts', 'task failed', 'pending', 1, 0, 0, 0, NULL, NULL, 50.0, NULL, NULL, NULL, NULL, NULL, 50.0, NULL),
    (7, 9, 'alerts', 'channel backend', 'pending', 1, 0, 0, 0, NULL, NULL, 60.0, NULL, NULL, NULL, NULL, NULL, 60.0,
        NULL);
INSERT INTO attempts (delivery, slot, number, at, duration, status, error, answer) VALUES
    (2, 0, 1, 21.0, 0.5, NULL, 'timeout', NULL),
    (2, 1, 2, 22.0, 0.25, 503, 'HTTP 503', 'come back later');
INSERT INTO troubles (subject, since, alerted_at) VALUES
    ('channel backend', 21.0, 60.0),
    ('source mixpeek', 70.0, NULL);
INSERT INTO pulse (id, at) VALUES (1, 99.0);
INSERT INTO discovery_rules (rule, first_ran_at) VALUES ('mixpeek tasks', 80.0);
INSERT INTO discovered (rule, task_id, listed_at) VALUES
    ('mixpeek tasks', 'failed', 80.0),
    ('mixpeek tasks', 'running', 81.0);
INSERT INTO confirmations (source, bucket, upload_id, task_id, at) VALUES
    ('mixpeek', 'bkt_1', 'upload_1', 'task_1', 82.0),
    ('mixpeek', 'bkt_1', 'upload_2', NULL, 83.0);
INSERT INTO holds (channel, kind, reason, since) VALUES
    ('backend', 'paused', 'it moves', 84.0),
    ('chat', 'off', 'nothing but errors', 85.0),
    ('old', 'stopped', 'HTTP 410', 86.0);
INSERT INTO notes (channel, name, value, at) VALUES ('alerts', 'batch_1', X'00FF', 87.0);
