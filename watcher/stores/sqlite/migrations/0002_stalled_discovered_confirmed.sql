-- Of the running tasks that have not been told to be stalled, those that have changed least recently.
ALTER TABLE watches ADD COLUMN stalled_at REAL;
CREATE INDEX watches_unchanged ON watches (source, changed_at) WHERE state = 'active' AND stalled_at IS NULL;

-- What discovery rules have seen. A rule is known by what it lists; its tasks stay known for as long as they are listed.
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

-- Uploads that were confirmed; task_id is NULL from before the request is sent until its answer is stored.
CREATE TABLE confirmations (
    source TEXT NOT NULL,
    bucket TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    task_id TEXT,
    at REAL NOT NULL,
    PRIMARY KEY (source, bucket, upload_id)
) WITHOUT ROWID;
