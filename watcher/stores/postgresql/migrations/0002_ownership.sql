-- serves: 1
-- Sessions of replicas. One that is not renewed in time is deleted by the next claim; a session that is gone never
-- returns. `groups` are what the replica can serve, with the slices that it demands of each; `report` is JSON; `changes`
-- counts what it has stored that pages show; `schema` is the version of the schema that its program knows.
CREATE TABLE sessions (
    session bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    version text NOT NULL,
    schema integer NOT NULL,
    started_at double precision NOT NULL,
    groups jsonb NOT NULL DEFAULT '{}',
    lag double precision NOT NULL DEFAULT 0,
    report text NOT NULL DEFAULT '{}',
    changes bigint NOT NULL DEFAULT 0,
    renewed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE sessions SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);

-- Into how many slices a source or a channel is divided.
CREATE TABLE slice_groups (
    name text PRIMARY KEY,
    slices smallint NOT NULL
);
-- `owner` is a session, or one that has ended. The epoch grows with each change of hands, and never falls: rows stay when
-- a group is divided into fewer slices. A transaction of the owner locks the row FOR SHARE, so it ends before the next claim.
CREATE TABLE slices (
    name text NOT NULL REFERENCES slice_groups (name),
    number smallint NOT NULL,
    owner bigint,
    epoch bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (name, number)
) WITH (fillfactor = 50);
ALTER TABLE slices SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);

-- What the owner of a group has to read again, because another replica has changed it; with `attempt`, it also attempts all
-- pending deliveries. The numbers are in the order of commits, since one transaction at a time writes.
CREATE TABLE signals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    origin bigint,
    name text NOT NULL,
    task_ids text[] NOT NULL,
    attempt boolean NOT NULL DEFAULT false
);
CREATE INDEX signals_at ON signals (at);
