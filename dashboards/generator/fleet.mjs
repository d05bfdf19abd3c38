// haldane-fleet: what is rolling out now and how it goes, how rollouts ended, which services are silent.

import { BAD, DECISION_CODE, DECISION_CODES, DECISIONS, GOOD, NEUTRAL, QUIET, WARN, badAbove, badBelow, plain, steps } from './looks.mjs';
import { dashboard, row } from './layout.mjs';
import { column, hide, series, stat, stateTimeline, table, timeseries } from './model.mjs';
import { chosen, progress, share, sql, versionOf, windowOfRollout } from './sql.mjs';
import { manyEnvironments, manyServices, marks, sqlSource, toCanary, toService, toVerdict } from './frame.mjs';

const rollouts = [toCanary, toVerdict];
const decision = column('decision', { mappings: DECISIONS, cell: 'color-background', links: rollouts, width: 120 });
const names = [column('service', { links: [toService], width: 150 }), column('environment', { width: 130 })];

const now = [
  stat({
    title: 'Live rollouts',
    description: 'Rollouts that are being judged now, whatever the time range. Nothing is bad here by itself.',
    w: 4,
    h: 4,
    unit: 'short',
    sql: sql`SELECT count(*) AS "live rollouts" FROM haldane.rollouts WHERE ended_at IS NULL AND ${chosen()}`,
  }),
  stat({
    title: 'Promoted',
    description: 'Rollouts that ended promoted in the time range. Nothing is bad here by itself: compare with the two beside it.',
    w: 4,
    h: 4,
    unit: 'short',
    thresholds: plain(GOOD),
    sql: sql`SELECT count(*) AS promoted FROM haldane.rollouts WHERE state = 'promoted' AND $__timeFilter(ended_at) AND ${chosen()}`,
  }),
  stat({
    title: 'Rolled back',
    description:
      'Rollouts that were rolled back in the time range. Bad: several of one service, or many at once, which points at what they share.',
    w: 4,
    h: 4,
    unit: 'short',
    thresholds: badAbove(1, 5),
    sql: sql`SELECT count(*) AS "rolled back" FROM haldane.rollouts WHERE state = 'rolled_back' AND $__timeFilter(ended_at) AND ${chosen()}`,
  }),
  stat({
    title: 'Ended without a decision',
    description:
      'Rollouts that ended inconclusive or expired. Bad: any, for nobody knows whether that version hurts. Too little traffic is the usual cause.',
    w: 4,
    h: 4,
    unit: 'short',
    thresholds: badAbove(1, 5),
    sql: sql`
      SELECT count(*) AS undecided FROM haldane.rollouts
      WHERE state IN ('inconclusive', 'expired') AND $__timeFilter(ended_at) AND ${chosen()}`,
  }),
  stat({
    title: 'Median time to a verdict',
    description:
      'From the start of a rollout to its last verdict, over those that ended in the time range. Bad: half an hour and more; the canary then gets too little traffic.',
    w: 4,
    h: 4,
    unit: 's',
    decimals: 0,
    noValue: 'none ended',
    thresholds: badAbove(1800, 3600),
    sql: sql`
      SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds_to_decision) AS "time to a verdict"
      FROM haldane.rollouts
      WHERE state IN ('promoted', 'rolled_back') AND $__timeFilter(ended_at) AND ${chosen()}`,
  }),
  stat({
    title: 'Silent services',
    description:
      'Services of the last day that sent no requests for ten minutes. Bad: any that should have traffic; Haldane cannot judge them.',
    w: 4,
    h: 4,
    unit: 'short',
    thresholds: steps([null, GOOD], [1, BAD]),
    sql: sql`
      SELECT count(*) AS silent FROM (
        SELECT service, environment FROM haldane.services WHERE ${chosen()}
        GROUP BY service, environment HAVING max(last_seen) < now() - INTERVAL '10 minutes'
      ) quiet`,
  }),
  table({
    title: 'Rolling out now',
    description:
      'Every live rollout with its newest verdict. Bad: the decision rollback or inconclusive, or evidence for a rollback that nears 100 %.',
    w: 24,
    h: 8,
    noValue: 'no live rollout',
    sql: sql`
      WITH newest AS (
        SELECT rollout_id, baseline_requests, canary_requests, risk, risk_limit, promotion, promotion_limit,
          row_number() OVER (PARTITION BY rollout_id ORDER BY sequence DESC) AS age
        FROM haldane.verdicts WHERE ${chosen()}
      )
      SELECT o.service, o.environment, o.decision, ${versionOf('o', 'baseline')} AS baseline, ${versionOf('o', 'canary')} AS canary,
        extract(epoch FROM now() - o.started_at) AS "for", v.canary_requests AS "canary requests",
        ${share('v.canary_requests', '(v.baseline_requests + v.canary_requests)')} AS "traffic share",
        ${progress('v.risk', 'v.risk_limit')} AS "towards rollback",
        ${progress('v.promotion', 'v.promotion_limit')} AS "towards promotion",
        o.reason, o.id AS rollout, ${windowOfRollout()}
      FROM haldane.rollouts o
      LEFT JOIN newest v ON v.rollout_id = o.id AND v.age = 1
      WHERE o.ended_at IS NULL AND ${chosen('o')}
      ORDER BY "towards rollback" DESC, o.started_at DESC`,
    overrides: [
      ...names,
      decision,
      column('for', { unit: 's', decimals: 0, width: 90 }),
      column('canary requests', { unit: 'short', width: 120 }),
      column('traffic share', { unit: 'percentunit', decimals: 1, width: 100 }),
      column('towards rollback', { unit: 'percentunit', decimals: 0, width: 120, thresholds: badAbove(0.5, 0.9) }),
      column('towards promotion', { unit: 'percentunit', decimals: 0, width: 120, thresholds: steps([null, QUIET], [0.9, GOOD]) }),
      column('reason', { wrap: true }),
      ...hide('rollout', 'from_ms', 'to_ms'),
    ],
  }),
  stateTimeline({
    title: 'Decisions by service',
    description:
      'What the newest verdict on each service said, over time; the last one stands until the next rollout. Bad: red, and orange that stays.',
    w: 24,
    h: 8,
    unit: 'none',
    mappings: DECISION_CODES,
    thresholds: plain(QUIET),
    sql: sql`
      SELECT time, service || ' in ' || environment AS metric, ${DECISION_CODE} AS value
      FROM haldane.verdicts
      WHERE $__timeFilter(time) AND ${chosen()}
      ORDER BY time`,
  }),
];

const ended = [
  table({
    title: 'Last decisions',
    description:
      'Rollouts that ended in the time range, the newest first. Bad: rolled back, inconclusive and expired; the reason names the operation or error.',
    w: 24,
    h: 9,
    noValue: 'none ended',
    sql: sql`
      SELECT o.ended_at AS ended, o.service, o.environment, o.state AS decision, ${versionOf('o', 'baseline')} AS baseline, ${versionOf('o', 'canary')} AS canary,
        o.seconds_to_decision AS "took", o.actor, o.commit, coalesce(nullif(o.reason, ''), o.state_reason) AS reason, o.id AS rollout, ${windowOfRollout()}
      FROM haldane.rollouts o
      WHERE $__timeFilter(o.ended_at) AND ${chosen('o')}
      ORDER BY o.ended_at DESC LIMIT 200`,
    overrides: [
      ...names,
      decision,
      column('ended', { width: 165 }),
      column('took', { unit: 's', decimals: 0, width: 90 }),
      column('commit', { width: 100 }),
      column('reason', { wrap: true }),
      ...hide('rollout', 'from_ms', 'to_ms'),
    ],
  }),
  timeseries({
    title: 'Rollouts by how they ended',
    description: 'Bars: rollouts that ended in each interval, by state. Bad: red bars that grow while the green ones do not.',
    w: 12,
    h: 8,
    unit: 'short',
    min: 0,
    interval: '1h',
    thresholds: badAbove(1, 5),
    custom: { drawStyle: 'bars', fillOpacity: 80, stacking: { mode: 'normal', group: 'A' } },
    sql: sql`
      SELECT $__timeGroup(ended_at, $__interval) AS time, state AS metric, count(*) AS value
      FROM haldane.rollouts
      WHERE $__timeFilter(ended_at) AND ${chosen()}
      GROUP BY 1, 2 ORDER BY 1`,
    overrides: [
      series('promoted', { color: GOOD }),
      series('rolled_back', { color: BAD }),
      series('inconclusive', { color: WARN }),
      series('expired', { color: 'purple' }),
      series('cancelled', { color: QUIET }),
    ],
  }),
  timeseries({
    title: 'Time to a verdict',
    description:
      'A point is a rollout: how long it was judged, by what came of it. Bad: red points high up, for users were hurt for so long.',
    w: 12,
    h: 8,
    unit: 's',
    min: 0,
    thresholds: badAbove(1800, 3600),
    custom: { drawStyle: 'points', pointSize: 7, showPoints: 'always' },
    sql: sql`
      SELECT ended_at AS time, state AS metric, seconds_to_decision AS value
      FROM haldane.rollouts
      WHERE seconds_to_decision IS NOT NULL AND $__timeFilter(ended_at) AND ${chosen()}
      ORDER BY ended_at`,
    overrides: [
      series('promoted', { color: GOOD }),
      series('rolled_back', { color: BAD }),
      series('inconclusive', { color: WARN }),
      series('expired', { color: 'purple' }),
      series('cancelled', { color: QUIET }),
    ],
  }),
  stat({
    title: 'Deployment figures',
    description:
      'As DORA has them, over the time range: deployments a day, promoted of all, rolled back of those decided, median time from start to rollback, and from there to the next promotion of the service. ' +
      'Bad: a failure rate above 15 %, hours to detect or to recover. Choose a long time range. `haldane dora` has the lead time too.',
    w: 24,
    h: 5,
    unit: 'short',
    noValue: 'none',
    thresholds: plain(NEUTRAL),
    sql: sql`
      WITH deployments AS (
        SELECT state, started_at, ended_at,
          min(CASE WHEN state = 'promoted' THEN ended_at END) OVER (
            PARTITION BY service, environment ORDER BY ended_at ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
          ) AS recovered_at
        FROM haldane.rollouts
        WHERE state IN ('promoted', 'rolled_back', 'inconclusive') AND $__timeFilter(ended_at) AND ${chosen()}
      )
      SELECT count(*) / ((\${__to} - \${__from}) / 86400000.0) AS "deployments a day",
        ${share("count(*) FILTER (WHERE state = 'promoted')", 'count(*)')} AS "success",
        ${share("count(*) FILTER (WHERE state = 'rolled_back')", "count(*) FILTER (WHERE state <> 'inconclusive')")} AS "change failure rate",
        percentile_cont(0.5) WITHIN GROUP (ORDER BY CASE WHEN state = 'rolled_back' THEN extract(epoch FROM ended_at - started_at) END) AS "time to detect",
        percentile_cont(0.5) WITHIN GROUP (ORDER BY CASE WHEN state = 'rolled_back' THEN extract(epoch FROM recovered_at - started_at) END) AS "time to recover"
      FROM deployments`,
    overrides: [
      column('deployments a day', { decimals: 1 }),
      column('success', { unit: 'percentunit', decimals: 1, thresholds: badBelow(0.7, 0.85) }),
      column('change failure rate', { unit: 'percentunit', decimals: 1, thresholds: badAbove(0.15, 0.3) }),
      column('time to detect', { unit: 's', decimals: 0, thresholds: badAbove(1800, 7200) }),
      column('time to recover', { unit: 's', decimals: 0, thresholds: badAbove(3600, 86400) }),
    ],
  }),
];

const services = [
  table({
    title: 'Services, the longest silent first',
    description:
      'What sent requests in the last day, and how long ago. Bad: silence of more than ten minutes, or one instance where there should be several.',
    w: 24,
    h: 9,
    noValue: 'no telemetry yet',
    sql: sql`
      SELECT service, environment, version, requests, instances, extract(epoch FROM now() - last_seen) AS "silent for", first_seen AS "first seen", last_seen AS "last seen"
      FROM haldane.services WHERE ${chosen()}
      ORDER BY "silent for" DESC LIMIT 500`,
    overrides: [
      ...names,
      column('requests', { unit: 'short' }),
      column('instances', { unit: 'short' }),
      column('silent for', { unit: 's', decimals: 0, thresholds: badAbove(120, 600) }),
    ],
  }),
];

export const fleet = dashboard({
  uid: 'haldane-fleet',
  title: 'Haldane: fleet',
  description: 'What is rolling out, how rollouts ended, and which services Haldane hears nothing of.',
  from: 'now-24h',
  refresh: '1m',
  variables: [sqlSource(), manyEnvironments, manyServices],
  annotations: marks(),
  rows: [row('', now), row('How rollouts ended', ended), row('Services', services)],
});
