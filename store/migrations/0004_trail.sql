-- What happened to rollouts, who did it, and when: append-only, each entry chained to the one before by a hash.
CREATE TABLE trail (
    sequence    BIGINT NOT NULL PRIMARY KEY,
    at          BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    actor       TEXT   NOT NULL,
    rollout_id  TEXT   NOT NULL,
    service     TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    document    TEXT   NOT NULL,
    hash        TEXT   NOT NULL
);

CREATE INDEX trail_rollout ON trail (rollout_id, sequence);
CREATE INDEX trail_service ON trail (service, environment, sequence);

-- What is to be told to whom. An entry of the trail goes in once for each receiver.
CREATE TABLE notifications (
    id          TEXT   NOT NULL PRIMARY KEY,
    receiver    TEXT   NOT NULL,
    event       BIGINT NOT NULL,
    rollout_id  TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    last_error  TEXT   NOT NULL,
    repeat_until BIGINT,
    document    TEXT   NOT NULL
);

CREATE UNIQUE INDEX notifications_once ON notifications (receiver, event);
CREATE INDEX notifications_due ON notifications (receiver, state, due_at);

-- How far readers of the trail have come.
CREATE TABLE cursors (
    name     TEXT   NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL
);
