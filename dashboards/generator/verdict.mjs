// haldane-verdict: how the verdicts of one rollout came about. Evidence over time, each check's course, data quality, events, who was told.

import { BAD, CANARY, DECISIONS_LARGE, GOOD, OUTCOME_CODE, OUTCOME_CODES, QUIET, WARN, badAbove, plain, steps } from './looks.mjs';
import { dashboard, row } from './layout.mjs';
import { column, series, stat, stateTimeline, table, timeseries } from './model.mjs';
import { sql, theRollout, versionOf } from './sql.mjs';
import { found, marks, rolledEnvironment, rolledService, rollout, sameRollout, sqlSource } from './frame.mjs';
import { differences } from './difference.mjs';
import { happened, quality } from './verdict-details.mjs';

const check = found(
  'check',
  'Check',
  sql`
    SELECT name FROM haldane.checks
    WHERE ${theRollout()} AND estimate IS NOT NULL
    GROUP BY name ORDER BY name`,
  { multi: true },
);

const head = [
  stat({
    title: 'Decision',
    description: 'What the newest verdict says, or how the rollout ended. Bad: ROLLBACK (red); orange: nothing could be decided.',
    w: 6,
    h: 8,
    unit: 'string',
    mappings: DECISIONS_LARGE,
    thresholds: plain(QUIET),
    fields: '/^decision$/',
    noValue: 'NO ROLLOUT',
    links: [sameRollout('haldane-canary', 'Canary beside baseline')],
    options: { colorMode: 'background', justifyMode: 'center', textMode: 'value', text: { valueSize: 48 } },
    sql: sql`SELECT CASE WHEN ended_at IS NULL THEN decision ELSE state END AS decision FROM haldane.rollouts WHERE ${theRollout('id')}`,
  }),
  table({
    title: 'The rollout and its policy',
    description:
      'What was rolled out, by whom, and the policy that it was judged by. Nothing is bad here by itself; an empty policy name is the default policy.',
    w: 18,
    h: 8,
    options: { showHeader: false },
    noValue: 'no rollout',
    sql: sql`
      WITH it AS (SELECT * FROM haldane.rollouts WHERE ${theRollout('id')})
      SELECT what, told FROM (
        SELECT 1 AS place, 'rollout' AS what, id AS told FROM it
        UNION ALL SELECT 2, 'state', state || ': ' || coalesce(nullif(state_reason, ''), reason) FROM it
        UNION ALL SELECT 3, 'canary', ${versionOf('it', 'canary')} || ', ' || canary FROM it
        UNION ALL SELECT 4, 'baseline', ${versionOf('it', 'baseline')} || ', ' || baseline FROM it
        UNION ALL SELECT 5, 'policy', coalesce(nullif(policy_name, ''), 'default') FROM it
        UNION ALL SELECT 6, 'strategy', strategy || ', ' || origin FROM it
        UNION ALL SELECT 7, 'started', CAST(started_at AS text) || coalesce(' by ' || nullif(actor, ''), '') FROM it
        UNION ALL SELECT 8, 'commit', commit FROM it WHERE commit <> ''
      ) lines
      ORDER BY place`,
    overrides: [column('what', { width: 100 }), column('told', { wrap: true })],
  }),
];

// Logarithmic axes have no zero.
const drawn = (value) => `greatest(${value}, 0.001)`;
const LOG = { axisLabel: 'evidence (e-value)', spanNulls: true, scaleDistribution: { type: 'log', log: 10 } };
const boundary = (name, color) => series(name, { color, lineWidth: 2, lineStyle: { fill: 'dash', dash: [10, 6] }, showPoints: 'never' });

function against(title, description, value, limit, look) {
  return timeseries({
    title,
    description,
    w: 12,
    h: 9,
    unit: 'short',
    custom: LOG,
    ...look,
    sql: sql`
      SELECT time, ${drawn(value)} AS evidence, ${limit} AS boundary
      FROM haldane.verdicts
      WHERE ${theRollout()} AND $__timeFilter(time)
      ORDER BY time`,
  });
}

function byCheck(title, description, value, look) {
  return timeseries({
    title,
    description,
    w: 12,
    h: 9,
    unit: 'short',
    custom: LOG,
    ...look,
    sql: sql`
      SELECT time, name AS metric, ${drawn(value)} AS value
      FROM haldane.checks
      WHERE ${theRollout()} AND $__timeFilter(time)
      ORDER BY time, name`,
  });
}

const evidence = [
  against(
    'Evidence for a rollback',
    'The evidence that the canary is worse, against the boundary of the false-alarm budget. Bad: the line nears the red one; at it the canary is rolled back.',
    'risk',
    'risk_limit',
    { thresholds: badAbove(10, 100), overrides: [series('evidence', { color: CANARY, lineWidth: 2 }), boundary('boundary', BAD)] },
  ),
  against(
    'Evidence for a promotion',
    'The evidence that the canary is not worse than the margins, against the boundary that a promotion needs. Bad: a line that stays low while requests come in.',
    'promotion',
    'promotion_limit',
    {
      thresholds: steps([null, BAD], [1, WARN], [20, GOOD]),
      overrides: [series('evidence', { color: CANARY, lineWidth: 2 }), boundary('boundary', GOOD)],
    },
  ),
  byCheck(
    'Evidence by check: worse',
    'What each check adds to the evidence for a rollback. Bad: one line that climbs; its check names the cause.',
    'e_value',
    { thresholds: badAbove(10, 100) },
  ),
  byCheck(
    'Evidence by check: not worse',
    'What each check has towards a promotion. Bad: a required check that stays at 1 or below while the others climb; it holds the promotion back.',
    'promote_e_value',
    { thresholds: steps([null, BAD], [1, WARN], [20, GOOD]) },
  ),
];

const course = [
  stateTimeline({
    title: 'Outcome of each check',
    description: 'What came of each check, verdict by verdict. Bad: red, regressed; grey, no data, of a check that should have some.',
    w: 24,
    h: 9,
    unit: 'none',
    mappings: OUTCOME_CODES,
    thresholds: plain(QUIET),
    sql: sql`
      SELECT time, name AS metric, ${OUTCOME_CODE} AS value
      FROM haldane.checks
      WHERE ${theRollout()} AND $__timeFilter(time)
      ORDER BY time, name`,
  }),
];

export const verdict = dashboard({
  uid: 'haldane-verdict',
  title: 'Haldane: verdict',
  description:
    'How the verdicts of one rollout came about: evidence against its boundary, each check, the quality of the data, events and notifications.',
  from: 'now-1h',
  refresh: '30s',
  variables: [sqlSource(), rolledEnvironment, rolledService, rollout, check],
  annotations: marks(true),
  rows: [
    row('', head),
    row('Evidence against its boundary', evidence),
    row('Checks over time', course),
    row('The difference by check', [differences()]),
    row('Quality of the data', quality),
    row('What happened', happened),
  ],
});
