-- What other tools keep here: configurations and executions of canary analyses.
CREATE TABLE documents (
    kind        TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    application TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    document    TEXT   NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE INDEX documents_newest ON documents (kind, created_at);
