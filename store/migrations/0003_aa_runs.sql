-- How the judge did on a service's own past: replays in which both cohorts were the same version.
CREATE TABLE aa_runs (
    service     TEXT   NOT NULL,
    environment TEXT   NOT NULL,
    until       BIGINT NOT NULL,
    document    TEXT   NOT NULL,
    PRIMARY KEY (service, environment, until)
);
