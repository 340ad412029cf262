-- How many task IDs a request to a source may hold, as learnt from requests that failed.
CREATE TABLE list_sizes (
    source TEXT PRIMARY KEY,
    task_ids INTEGER NOT NULL
) WITHOUT ROWID;
