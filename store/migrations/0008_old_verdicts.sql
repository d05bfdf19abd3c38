-- Verdicts of rollouts that ended long ago are forgotten but for the last: those are found by when they ended.
CREATE INDEX rollouts_ended ON rollouts (ended_at);
