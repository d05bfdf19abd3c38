-- A token that was revoked stays as a row, so that the door it opened goes on asking.
ALTER TABLE tokens ADD COLUMN revoked_at BIGINT;
