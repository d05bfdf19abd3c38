-- Tokens that were made while the server ran; only their SHA-256 is kept.
CREATE TABLE tokens (
    name       TEXT   NOT NULL PRIMARY KEY,
    sha256     TEXT   NOT NULL UNIQUE,
    scopes     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT   NOT NULL
);
