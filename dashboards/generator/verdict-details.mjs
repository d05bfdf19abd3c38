// haldane-verdict, lower half: the quality of the data, and what happened.

import { BAD, DECISIONS, DELIVERIES, GOOD, WARN, badAbove, badBelow, steps } from './looks.mjs';
import { bothCohorts, column, table, timeseries } from './model.mjs';
import { bucket, chosen, cohort, culprit, redOfRollout, share, sql, theRollout } from './sql.mjs';
import { toTraceOfRollout } from './frame.mjs';

function fromVerdicts(title, description, columns, look) {
  return timeseries({
    title,
    description,
    w: 8,
    h: 8,
    custom: { spanNulls: true },
    ...look,
    overrides: bothCohorts,
    sql: sql`
      SELECT time, ${columns}
      FROM haldane.verdicts
      WHERE ${theRollout()} AND $__timeFilter(time)
      ORDER BY time`,
  });
}

export const quality = [
  fromVerdicts(
    'Requests so far',
    'How many requests each verdict rests on. Bad: lines that are flat while the service has traffic: telemetry is missing.',
    'canary_requests AS canary, baseline_requests AS baseline',
    {
      unit: 'short',
      min: 0,
      thresholds: badBelow(100, 1000),
    },
  ),
  fromVerdicts(
    'Instances',
    'Instances that served in each cohort. Bad: a canary of one, or a number that jumps: instances restart.',
    'canary_instances AS canary, baseline_instances AS baseline',
    {
      unit: 'short',
      min: 0,
      decimals: 0,
      thresholds: steps([null, BAD], [1, WARN], [2, GOOD]),
    },
  ),
  fromVerdicts(
    'Delay of the data',
    'How far behind its data each verdict was made. Bad: more than a minute: telemetry comes late or the judge is slow.',
    'extract(epoch FROM time - data_until) AS delay',
    {
      unit: 's',
      min: 0,
      thresholds: badAbove(60, 300),
    },
  ),
  timeseries({
    title: 'Traffic share of the canary',
    description:
      'The part of the requests that the canary served. Bad: not what the deploy tool was told, or a share that swings: the comparison is then not valid.',
    w: 12,
    h: 8,
    unit: 'percentunit',
    min: 0,
    max: 1,
    thresholds: badBelow(0.001, 0.01),
    sql: sql`
      SELECT ${bucket('r.time')}, ${share('sum(CASE WHEN r.service_version = o.canary_version THEN r.requests ELSE 0 END)', 'sum(r.requests)')} AS canary
      ${redOfRollout}
      GROUP BY 1 ORDER BY 1`,
    overrides: bothCohorts.slice(0, 1),
  }),
  timeseries({
    title: 'Windows with data',
    description:
      'The share of 10 s windows in which a cohort has requests. Bad: clearly below 100 % with steady traffic: exports fail or come late.',
    w: 12,
    h: 8,
    unit: 'percentunit',
    min: 0,
    max: 1,
    interval: '1m',
    thresholds: badBelow(0.5, 0.9),
    sql: sql`
      SELECT ${bucket('r.time')}, ${cohort('r.service_version')} AS metric, count(DISTINCT r.time) / ($__interval_ms / 10000.0) AS value
      ${redOfRollout}
      GROUP BY 1, 2 ORDER BY 1`,
    overrides: bothCohorts,
  }),
];

export const happened = [
  table({
    title: 'Verdicts',
    description: 'Every verdict that changed, the newest first. Bad: rollback and inconclusive.',
    w: 24,
    h: 9,
    noValue: 'no verdict yet',
    sql: sql`
      SELECT sequence, time, decision, CASE WHEN final THEN 'yes' ELSE '' END AS final, score, risk, promotion, canary_requests AS "canary requests", baseline_requests AS "baseline requests", reason
      FROM haldane.verdicts
      WHERE ${theRollout()}
      ORDER BY sequence DESC LIMIT 500`,
    overrides: [
      column('sequence', { unit: 'none', width: 90 }),
      column('time', { width: 165 }),
      column('decision', { mappings: DECISIONS, cell: 'color-background', width: 110 }),
      column('final', { width: 70 }),
      column('score', { unit: 'none', width: 70 }),
      column('risk', { unit: 'sci', decimals: 1, width: 90, thresholds: badAbove(10, 100) }),
      column('promotion', { unit: 'sci', decimals: 1, width: 100 }),
      ...['canary requests', 'baseline requests'].map((name) => column(name, { unit: 'short', width: 130 })),
      column('reason', { wrap: true }),
    ],
  }),
  table({
    title: 'Culprits, verdict by verdict',
    description:
      'Operations, instances and errors that each verdict named. Bad: the same name in verdict after verdict, with evidence that grows.',
    w: 24,
    h: 8,
    noValue: 'nobody was named',
    sql: sql`
      SELECT sequence, time, kind, ${culprit} AS name, check_name AS "check", e_value AS evidence, share AS "share of the excess", trace_id, reason
      FROM haldane.culprits
      WHERE ${theRollout()}
      ORDER BY sequence DESC, evidence DESC LIMIT 500`,
    overrides: [
      column('sequence', { unit: 'none', width: 90 }),
      column('time', { width: 165 }),
      column('evidence', { unit: 'sci', decimals: 1, width: 100, thresholds: badAbove(10, 100) }),
      column('share of the excess', { unit: 'percentunit', decimals: 0, width: 140, thresholds: badAbove(0.5, 0.9) }),
      column('trace_id', { links: [toTraceOfRollout], width: 270 }),
      column('reason', { wrap: true }),
    ],
  }),
  table({
    title: 'Events',
    description:
      'What happened to this rollout and who did it, and deployments of the service. Bad: rollback and inconclusive, and a person who decides over a verdict without a reason.',
    w: 14,
    h: 10,
    noValue: 'none',
    sql: sql`
      SELECT sequence, time, kind, actor, coalesce(decision, '') AS decision, coalesce(receiver, '') AS receiver, reason
      FROM haldane.events
      WHERE ${theRollout()} OR (kind = 'deployment.recorded' AND $__timeFilter(time) AND ${chosen()})
      ORDER BY sequence DESC LIMIT 500`,
    overrides: [
      column('sequence', { unit: 'none', width: 90 }),
      column('time', { width: 165 }),
      column('kind', { width: 170 }),
      column('decision', { mappings: DECISIONS.slice(0, 1), width: 110 }),
      column('reason', { wrap: true }),
    ],
  }),
  table({
    title: 'Who was told',
    description: 'Notifications on this rollout. Bad: given up, or many attempts: the receiver does not answer.',
    w: 10,
    h: 10,
    noValue: 'nobody',
    sql: sql`
      SELECT receiver, state, attempts, created_at AS created, last_error AS "last error", event
      FROM haldane.notifications
      WHERE ${theRollout()}
      ORDER BY created_at DESC LIMIT 200`,
    overrides: [
      column('state', { mappings: DELIVERIES, cell: 'color-background', width: 100 }),
      column('attempts', { unit: 'short', width: 90, thresholds: badAbove(2, 5) }),
      column('created', { width: 165 }),
      column('event', { unit: 'none', width: 80 }),
      column('last error', { wrap: true }),
    ],
  }),
];
