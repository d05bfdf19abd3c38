-- Verdicts of rollouts that ended long ago are forgotten but for the last: those are found by when they ended.
CREATE INDEX rollouts_ended ON rollouts (ended_at);
DELETE FROM verdicts WHERE is_final = 0
  AND rollout_id IN (SELECT id FROM rollouts WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT -1 OFFSET 1000)
  AND sequence < (SELECT max(sequence) FROM verdicts AS newest WHERE newest.rollout_id = verdicts.rollout_id);
