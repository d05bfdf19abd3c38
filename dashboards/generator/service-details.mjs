// haldane-service, lower half: releases before and after, saturation, what it calls and who calls it.

import { DECISIONS, NEUTRAL, QUIET, badAbove, plain } from './looks.mjs';
import { column, hide, table, timeseries } from './model.mjs';
import {
  bucket,
  chosen,
  chosenRaw,
  chosenVersions,
  environmentOf,
  failed,
  list,
  quantile,
  rate,
  redOfVersions,
  requestSpans,
  share,
  sql,
  versionName,
  versionOf,
  windowOfRollout,
} from './sql.mjs';
import { toCanary, toVerdict } from './frame.mjs';

const measured = (name, role) => `max(CASE WHEN name = '${name}' THEN ${role}_value END)`;

export const releases = [
  table({
    title: 'Last releases: before and after',
    description:
      'The last rollouts, with what the last verdict measured on baseline (before) and canary (after). Bad: rolled back, or an after well above its before.',
    w: 24,
    h: 9,
    noValue: 'no rollout yet',
    sql: sql`
      WITH measured AS (
        SELECT rollout_id, ${['error_rate', 'latency_p50', 'latency_p95', 'latency_p99']
          .flatMap((name) => ['baseline', 'canary'].map((role) => `${measured(name, role)} AS ${name}_${role}`))
          .join(', ')}
        FROM (
          SELECT rollout_id, name, baseline_value, canary_value, rank() OVER (PARTITION BY rollout_id ORDER BY sequence DESC) AS age
          FROM haldane.checks WHERE ${chosen()}
        ) newest
        WHERE age = 1 GROUP BY rollout_id
      )
      SELECT o.started_at AS started, ${versionOf('o', 'baseline')} AS before, ${versionOf('o', 'canary')} AS after, CASE WHEN o.ended_at IS NULL THEN o.decision ELSE o.state END AS decision,
        m.error_rate_baseline AS "failed before", m.error_rate_canary AS "failed after", m.latency_p50_baseline AS "p50 before", m.latency_p50_canary AS "p50 after",
        m.latency_p95_baseline AS "p95 before", m.latency_p95_canary AS "p95 after", m.latency_p99_baseline AS "p99 before", m.latency_p99_canary AS "p99 after",
        o.service, o.environment, o.id AS rollout, ${windowOfRollout()}
      FROM haldane.rollouts o
      LEFT JOIN measured m ON m.rollout_id = o.id
      WHERE ${chosen('o')}
      ORDER BY o.started_at DESC LIMIT 30`,
    overrides: [
      column('started', { width: 165 }),
      column('decision', { mappings: DECISIONS, cell: 'color-background', width: 110, links: [toCanary, toVerdict] }),
      ...['failed before', 'failed after'].map((name) =>
        column(name, { unit: 'percentunit', decimals: 2, thresholds: badAbove(0.01, 0.05) }),
      ),
      ...['p50', 'p95', 'p99']
        .flatMap((q) => [`${q} before`, `${q} after`])
        .map((name) => column(name, { unit: 's', thresholds: badAbove(0.5, 1) })),
      ...hide('service', 'environment', 'rollout', 'from_ms', 'to_ms'),
    ],
  }),
];

const number = 'coalesce(value_double, CAST(value_int AS double precision))';
const ofMetrics = (which, label) => sql`
  SELECT ${bucket()}, ${label} AS metric, avg(${number}) AS value
  FROM haldane.metrics
  WHERE ${chosenRaw()} AND ${chosenVersions()} AND ${which} AND $__timeFilter(time)
  GROUP BY 1, 2 ORDER BY 1`;
const named = `metric_name || ' ' || ${versionName('service_version')}`;

export const saturation = [
  timeseries({
    title: 'Utilisation',
    description:
      'Gauges whose names end in utilization, as OpenTelemetry has them, the mean of the instances of each version. Bad: above 80 % for long, or a new version above the old one.',
    w: 8,
    h: 8,
    unit: 'percentunit',
    min: 0,
    thresholds: badAbove(0.8, 0.95),
    sql: ofMetrics("metric_type = 'gauge' AND metric_name LIKE '%utilization'", named),
  }),
  timeseries({
    title: 'Memory',
    description:
      'Memory in use, the mean of the instances of each version. Bad: a line that climbs without end, or a new version that needs a quarter more. The colours start at 1 and 2 GiB.',
    w: 8,
    h: 8,
    unit: 'bytes',
    min: 0,
    thresholds: badAbove(1073741824, 2147483648),
    sql: ofMetrics(
      "(metric_name LIKE '%memory.usage' OR metric_name LIKE '%memory.used' OR metric_name = 'container.memory.working_set')",
      named,
    ),
  }),
  timeseries({
    title: 'Gauge: ${metric}',
    description:
      'Any gauge that the service sends, chosen above, the mean of the instances of each version. Nothing is bad here by itself: compare the versions.',
    w: 8,
    h: 8,
    unit: 'short',
    thresholds: plain(QUIET),
    sql: ofMetrics(`metric_type = 'gauge' AND metric_name IN (${list('metric')})`, versionName('service_version')),
  }),
];

function calls(title, description, value, look) {
  return timeseries({
    title,
    description,
    w: 8,
    h: 8,
    min: 0,
    ...look,
    sql: sql`
      SELECT ${bucket()}, operation AS metric, ${value} AS value
      ${redOfVersions} AND span_kind IN ('CLIENT', 'PRODUCER')
      GROUP BY 1, 2 ORDER BY 1`,
  });
}

export const dependencies = [
  calls(
    'Calls',
    'What the service calls, calls a second. Nothing is bad here by itself; a rate that leaps while requests do not means retries, or a cache that is lost.',
    rate('requests'),
    { unit: 'reqps', thresholds: plain(NEUTRAL) },
  ),
  calls(
    'Failed calls',
    'Failed calls of all, by what is called. Bad: above 1 %: the cause of failures then lies there, not in this service.',
    share('sum(errors)', 'sum(requests)'),
    {
      unit: 'percentunit',
      thresholds: badAbove(0.01, 0.05),
    },
  ),
  calls(
    'Latency p95 of calls',
    'p95 of the duration of calls, by what is called. Bad: above half a second, or above what is usual.',
    quantile(0.95),
    { unit: 's', thresholds: badAbove(0.5, 1) },
  ),
];

export const callers = [
  table({
    title: 'Who calls this service',
    description:
      "Services whose spans are the parents of this one's requests, in the time range. Bad: a caller with many more failures than the others sends something that this service cannot serve.",
    w: 24,
    h: 9,
    noValue: 'nobody, or the callers are not traced',
    sql: sql`
      SELECT caller.service_name AS caller, ${versionName('caller.service_version')} AS "caller's version", ${versionName('s.service_version')} AS version, count(*) AS requests,
        ${share(`count(*) FILTER (WHERE ${failed('s')})`, 'count(*)')} AS failed, avg(s.duration_ns) / 1e9 AS "mean duration"
      FROM haldane.spans s
      JOIN haldane.spans caller ON caller.trace_id = s.trace_id AND caller.span_id = s.parent_span_id
      WHERE ${chosenRaw('s')} AND ${chosenVersions('s')} AND ${requestSpans('s')} AND $__timeFilter(s.time)
        AND $__timeFilter(caller.time) AND ${environmentOf('caller')} IN (${list('environment')}) AND caller.service_name <> s.service_name
      GROUP BY caller.service_name, caller.service_version, s.service_version
      ORDER BY requests DESC LIMIT 100`,
    overrides: [
      column('requests', { unit: 'short' }),
      column('failed', { unit: 'percentunit', decimals: 2, thresholds: badAbove(0.01, 0.05) }),
      column('mean duration', { unit: 's', thresholds: badAbove(0.5, 1) }),
    ],
  }),
];
