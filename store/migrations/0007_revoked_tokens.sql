-- A token that was revoked stays as a row, so that the door it opened goes on asking.
ALTER TABLE tokens ADD COLUMN revoked_at BIGINT;
-- What a client of the PostgreSQL wire proves to know the token by.
ALTER TABLE tokens ADD COLUMN scram TEXT;
-- Dashboards ask for the verdicts of a time.
CREATE INDEX verdicts_decided ON verdicts (decided_at);
