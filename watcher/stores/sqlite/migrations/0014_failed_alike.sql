-- Failed tasks by the beginning of their error: for the status, the groups are counted without reading a row.
CREATE INDEX watches_failed ON watches (status, substr(coalesce(error_message, ''), 1, 40), changed_at)
    WHERE state = 'done' AND status IN ('FAILED', 'COMPLETED_WITH_ERRORS');
