// haldane-canary: one rollout as a person looks at it. The decision, both cohorts, the difference with its interval, and what to look at.

import { BAD, DECISIONS_LARGE, GOOD, NEUTRAL, QUIET, WARN, badAbove, badBelow, plain, steps } from './looks.mjs';
import { dashboard, row } from './layout.mjs';
import { barGauge, bothCohorts, column, stat, table, timeseries } from './model.mjs';
import { bucket, cohort, progress, quantile, rate, redOfRollout, share, sql, theRollout, versionOf } from './sql.mjs';
import { marks, rolledEnvironment, rolledService, rollout, sameRollout, sqlSource } from './frame.mjs';
import { difference } from './difference.mjs';
import { checks, heatmaps, lookAt } from './canary-details.mjs';

const newestVerdict = sql`FROM haldane.verdicts WHERE ${theRollout()} ORDER BY sequence DESC LIMIT 1`;

const decision = [
  stat({
    title: 'Decision',
    description:
      'What the newest verdict says, or how the rollout ended. Bad: ROLLBACK (red): the canary hurts users. Orange: nothing could be decided.',
    w: 6,
    h: 7,
    unit: 'string',
    mappings: DECISIONS_LARGE,
    thresholds: plain(QUIET),
    fields: '/^decision$/',
    noValue: 'NO ROLLOUT',
    links: [sameRollout('haldane-verdict', 'How the verdict came about')],
    options: { colorMode: 'background', justifyMode: 'center', textMode: 'value', text: { valueSize: 56 } },
    sql: sql`SELECT CASE WHEN ended_at IS NULL THEN decision ELSE state END AS decision FROM haldane.rollouts WHERE ${theRollout('id')}`,
  }),
  table({
    title: 'Why',
    description:
      'The reason of the newest verdict, how the rollout ended, and which versions are compared. Nothing is bad here by itself: the decision says it.',
    w: 12,
    h: 7,
    noValue: 'no verdict yet',
    options: { showHeader: false },
    sql: sql`
      WITH it AS (SELECT * FROM haldane.rollouts WHERE ${theRollout('id')})
      SELECT what, told FROM (
        SELECT 1 AS place, 'verdict' AS what, reason AS told FROM it
        UNION ALL SELECT 2, 'ended', state_reason FROM it WHERE ended_at IS NOT NULL AND state_reason <> reason
        UNION ALL SELECT 3, 'canary', ${versionOf('it', 'canary')} FROM it
        UNION ALL SELECT 4, 'baseline', ${versionOf('it', 'baseline')} FROM it
        UNION ALL SELECT 5, 'commit', commit FROM it WHERE commit <> ''
      ) lines
      ORDER BY place`,
    overrides: [column('what', { width: 90 }), column('told', { wrap: true })],
  }),
  barGauge({
    title: 'How near a decision is',
    description:
      'Evidence as a part of what the decision needs, on a logarithmic scale. Bad: towards rollback above a half and growing; at 100 % it is rolled back. ' +
      'Towards promotion should fill up instead.',
    w: 6,
    h: 7,
    unit: 'percentunit',
    decimals: 0,
    min: 0,
    max: 1,
    thresholds: badAbove(0.5, 0.9),
    sql: sql`
      SELECT ${progress('risk', 'risk_limit')} AS "towards rollback", ${progress('promotion', 'promotion_limit')} AS "towards promotion"
      ${newestVerdict}`,
    overrides: [column('towards promotion', { thresholds: steps([null, NEUTRAL], [0.95, GOOD]) })],
  }),
  stat({
    title: 'Canary requests',
    description:
      'Requests of the canary that the newest verdict rests on. Bad: fewer than a thousand; then only large regressions can be seen.',
    w: 4,
    h: 4,
    unit: 'short',
    noValue: '0',
    thresholds: badBelow(100, 1000),
    sql: sql`SELECT canary_requests AS canary ${newestVerdict}`,
  }),
  stat({
    title: 'Baseline requests',
    description: 'Requests of the baseline in the same time. Bad: fewer than a thousand, or none: there is nothing to compare with.',
    w: 4,
    h: 4,
    unit: 'short',
    noValue: '0',
    thresholds: badBelow(100, 1000),
    sql: sql`SELECT baseline_requests AS baseline ${newestVerdict}`,
  }),
  stat({
    title: 'Traffic share',
    description: 'The part of the requests that the canary served. Bad: far from what the deploy tool was told, or next to nothing.',
    w: 4,
    h: 4,
    unit: 'percentunit',
    decimals: 1,
    noValue: '–',
    thresholds: badBelow(0.001, 0.01),
    sql: sql`
      SELECT ${share('canary_requests', '(baseline_requests + canary_requests)')} AS canary
      ${newestVerdict}`,
  }),
  stat({
    title: 'Instances',
    description:
      'Instances of each cohort that served. Bad: one canary instance; what it does may be its own fault, not that of the version.',
    w: 4,
    h: 4,
    unit: 'short',
    noValue: '0',
    thresholds: steps([null, BAD], [1, WARN], [2, GOOD]),
    sql: sql`SELECT canary_instances AS canary, baseline_instances AS baseline ${newestVerdict}`,
  }),
  stat({
    title: 'Age of the data',
    description:
      'How far behind the clock the newest verdict is, while the rollout runs. Bad: more than a minute; the telemetry or the judge is late.',
    w: 4,
    h: 4,
    unit: 's',
    decimals: 0,
    noValue: 'ended',
    thresholds: badAbove(60, 300),
    sql: sql`
      SELECT extract(epoch FROM now() - v.data_until) AS age
      FROM haldane.rollouts o
      JOIN (SELECT rollout_id, max(data_until) AS data_until FROM haldane.verdicts WHERE ${theRollout()} GROUP BY rollout_id) v ON v.rollout_id = o.id
      WHERE o.ended_at IS NULL`,
  }),
  stat({
    title: 'Judged for',
    description:
      'Time since the rollout started, or how long it took. Bad: an hour and more without a decision: the canary needs more traffic.',
    w: 4,
    h: 4,
    unit: 's',
    decimals: 0,
    noValue: '–',
    thresholds: badAbove(3600, 7200),
    sql: sql`
      SELECT coalesce(seconds_to_decision, extract(epoch FROM now() - started_at)) AS "judged for"
      FROM haldane.rollouts WHERE ${theRollout('id')}`,
  }),
];

function overlaid(title, description, value, look) {
  return timeseries({
    title,
    description,
    h: 8,
    interval: '30s', // single windows of 10 s hold too few requests of a small canary
    ...look,
    sql: sql`
      SELECT ${bucket('r.time')}, ${cohort('r.service_version')} AS metric, ${value} AS value
      ${redOfRollout}
      GROUP BY 1, 2 ORDER BY 1`,
    overrides: bothCohorts,
  });
}

const latency = (name, q) =>
  overlaid(
    `Latency ${name}`,
    `${name} of the duration of requests, from histograms. Bad: the canary's line above the baseline's for longer than a moment. A rise of both is not the canary's.`,
    quantile(q),
    { w: 8, h: 7, unit: 's', min: 0, thresholds: badAbove(0.5, 1) },
  );

const beside = [
  overlaid(
    'Requests',
    'Requests a second of each cohort. Bad: a canary that gets none, or whose traffic falls off while the baseline keeps its own.',
    rate('r.requests'),
    { w: 12, unit: 'reqps', min: 0, thresholds: steps([null, BAD], [0.1, GOOD]) },
  ),
  overlaid(
    'Failed requests',
    'Failed requests of all. Bad: the canary above the baseline for longer than a moment. When both rise, the cause lies outside of the canary.',
    share('sum(r.errors)', 'sum(r.requests)'),
    { w: 12, unit: 'percentunit', min: 0, thresholds: badAbove(0.01, 0.05) },
  ),
  latency('p50', 0.5),
  latency('p95', 0.95),
  latency('p99', 0.99),
];

export const canary = dashboard({
  uid: 'haldane-canary',
  title: 'Haldane: canary',
  description: 'One rollout: the decision, the canary beside the baseline, the difference with its interval, and what to look at.',
  from: 'now-1h',
  refresh: '30s',
  variables: [sqlSource(), rolledEnvironment, rolledService, rollout],
  annotations: marks(true),
  rows: [
    row('', decision),
    row('How much worse: the difference with its interval', [
      difference('error_rate', 'Failed requests', 0.25),
      difference('latency_p50', 'Latency p50', 0.1),
      difference('latency_p95', 'Latency p95', 0.1),
      difference('latency_p99', 'Latency p99', 0.1),
    ]),
    row('Canary beside baseline', beside),
    row('Checks', checks),
    row('Where to look', lookAt),
    row('Durations as heatmaps', heatmaps, true),
  ],
});
