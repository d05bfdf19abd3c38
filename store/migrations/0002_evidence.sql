-- What a last verdict rests on, as a file of its own. In PostgreSQL the type is BYTEA.
CREATE TABLE evidence (
    rollout_id TEXT   NOT NULL PRIMARY KEY REFERENCES rollouts (id),
    kept_at    BIGINT NOT NULL,
    bundle     BLOB   NOT NULL
);

CREATE INDEX evidence_kept ON evidence (kept_at);
