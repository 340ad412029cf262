-- serves: 1
-- The request budgets of sources, which all replicas share: what each held at its time, what it gained a second then, up to
-- which number, and until when it is paused.
CREATE TABLE request_budgets (
    budget text PRIMARY KEY,
    requests double precision NOT NULL,
    at timestamptz NOT NULL,
    burst double precision NOT NULL,
    rate double precision NOT NULL,
    paused_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
ALTER TABLE request_budgets SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);
