-- The running tasks that were not reported as stalled, the least recently changed first.
ALTER TABLE watches ADD COLUMN stalled_at REAL;
CREATE INDEX watches_unchanged ON watches (source, changed_at) WHERE state = 'active' AND stalled_at IS NULL;

-- The tasks that each discovery rule has listed. They are kept while the rule still lists them.
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

-- Confirmed uploads. task_id is NULL from before the request until its response is stored.
CREATE TABLE confirmations (
    source TEXT NOT NULL,
    bucket TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    task_id TEXT,
    at REAL NOT NULL,
    PRIMARY KEY (source, bucket, upload_id)
) WITHOUT ROWID;
