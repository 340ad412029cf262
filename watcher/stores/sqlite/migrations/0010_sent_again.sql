-- Whether a pending delivery had been delivered before: messages for people show it.
ALTER TABLE deliveries ADD COLUMN sent_again INTEGER NOT NULL DEFAULT 0;
