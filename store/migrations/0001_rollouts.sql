-- Rollouts, the verdicts that changed, and the versions seen. Portable between SQLite and PostgreSQL.
-- Times are nanoseconds since the Unix epoch.
CREATE TABLE rollouts (
    id              TEXT   NOT NULL PRIMARY KEY,
    service         TEXT   NOT NULL,
    environment     TEXT   NOT NULL,
    origin          TEXT   NOT NULL,
    state           TEXT   NOT NULL,
    state_reason    TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    started_at      BIGINT NOT NULL,
    ended_at        BIGINT,
    idempotency_key TEXT,
    document        TEXT   NOT NULL
);

-- A service and environment have one live rollout at most.
CREATE UNIQUE INDEX rollouts_live ON rollouts (service, environment) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX rollouts_idempotency ON rollouts (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX rollouts_service ON rollouts (service, environment, id);

-- Append-only: one row for each verdict that differs from the one before.
CREATE TABLE verdicts (
    rollout_id TEXT   NOT NULL REFERENCES rollouts (id),
    sequence   BIGINT NOT NULL,
    decided_at BIGINT NOT NULL,
    decision   TEXT   NOT NULL,
    is_final   BIGINT NOT NULL,
    document   TEXT   NOT NULL,
    PRIMARY KEY (rollout_id, sequence)
);

CREATE TABLE versions (
    service     TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    version     TEXT   NOT NULL,
    first_seen  BIGINT NOT NULL,
    PRIMARY KEY (service, environment, version)
);
