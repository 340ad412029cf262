-- A digest of the settings of each channel. A suspension ends when they change.
CREATE TABLE channel_targets (
    channel TEXT PRIMARY KEY,
    digest TEXT NOT NULL
);
