// haldane-service: one service by version. Rate, errors, duration; releases before and after; saturation; what it calls and who calls it.

import { BAD, GOOD, badAbove, steps } from './looks.mjs';
import { dashboard, row } from './layout.mjs';
import { column, stat, table, timeseries } from './model.mjs';
import { bucket, chosen, chosenRaw, quantile, rate, redOfVersions, requests, share, sql, versionName } from './sql.mjs';
import { found, manyVersions, marks, oneEnvironment, oneService, sqlSource } from './frame.mjs';
import { callers, dependencies, releases, saturation } from './service-details.mjs';

const gauge = found(
  'metric',
  'Gauge',
  sql`
    SELECT metric_name FROM haldane.metrics
    WHERE ${chosenRaw()} AND metric_type = 'gauge' AND $__timeFilter(time)
    GROUP BY metric_name ORDER BY metric_name`,
);

const head = [
  stat({
    title: 'Requests',
    description: 'Requests a second over the time range. Bad: none, or far from what is usual at this time of day.',
    w: 4,
    h: 4,
    unit: 'reqps',
    decimals: 1,
    noValue: '0',
    thresholds: steps([null, BAD], [0.01, GOOD]),
    sql: sql`SELECT sum(requests) / ((\${__to} - \${__from}) / 1000.0) AS requests ${redOfVersions} AND ${requests()}`,
  }),
  stat({
    title: 'Failed requests',
    description: 'Failed requests of all, over the time range. Bad: above 1 %, or above what is usual for this service.',
    w: 4,
    h: 4,
    unit: 'percentunit',
    decimals: 2,
    noValue: '–',
    thresholds: badAbove(0.01, 0.05),
    sql: sql`SELECT ${share('sum(errors)', 'sum(requests)')} AS failed ${redOfVersions} AND ${requests()}`,
  }),
  stat({
    title: 'Latency p95',
    description: 'p95 of the duration of requests over the time range. Bad: above half a second, or above what is usual for this service.',
    w: 4,
    h: 4,
    unit: 's',
    noValue: '–',
    thresholds: badAbove(0.5, 1),
    sql: sql`SELECT ${quantile(0.95)} AS p95 ${redOfVersions} AND ${requests()}`,
  }),
  stat({
    title: 'Versions',
    description: 'Versions that served in the time range. Bad: three or more at once: an old one was never taken away.',
    w: 4,
    h: 4,
    unit: 'short',
    thresholds: badAbove(3, 5),
    sql: sql`SELECT count(DISTINCT service_version) AS versions ${redOfVersions} AND ${requests()}`,
  }),
  stat({
    title: 'Instances',
    description: 'Instances that served in the time range. Bad: one; there is nothing to tell a bad instance from a bad version.',
    w: 4,
    h: 4,
    unit: 'short',
    thresholds: steps([null, BAD], [2, GOOD]),
    sql: sql`SELECT count(DISTINCT service_instance_id) AS instances ${redOfVersions} AND ${requests()}`,
  }),
  stat({
    title: 'Silent for',
    description: 'Time since the last requests of the service. Bad: more than some minutes: it is down, or its telemetry is lost.',
    w: 4,
    h: 4,
    unit: 's',
    decimals: 0,
    noValue: 'never seen',
    thresholds: badAbove(120, 600),
    sql: sql`SELECT extract(epoch FROM now() - max(last_seen)) AS silent FROM haldane.services WHERE ${chosen()}`,
  }),
];

function byVersion(title, description, value, look) {
  return timeseries({
    title,
    description,
    w: 8,
    h: 8,
    min: 0,
    ...look,
    sql: sql`
      SELECT ${bucket()}, ${versionName('service_version')} AS metric, ${value} AS value
      ${redOfVersions} AND ${requests()}
      GROUP BY 1, 2 ORDER BY 1`,
  });
}

const red = [
  byVersion(
    'Requests by version',
    'Requests a second, one version on top of the other. Bad: a version that should be gone, or a sum that falls off.',
    rate('requests'),
    {
      unit: 'reqps',
      thresholds: steps([null, BAD], [0.1, GOOD]),
      custom: { fillOpacity: 30, stacking: { mode: 'normal', group: 'A' } },
    },
  ),
  byVersion(
    'Failed requests by version',
    'Failed requests of all. Bad: one version above the others at the same time.',
    share('sum(errors)', 'sum(requests)'),
    {
      unit: 'percentunit',
      thresholds: badAbove(0.01, 0.05),
    },
  ),
  byVersion(
    'Share of the traffic',
    'The part of the requests that each version served. Bad: a share that moves while nobody rolls out.',
    rate('requests'),
    {
      unit: 'reqps',
      thresholds: steps([null, BAD], [0.1, GOOD]),
      custom: { fillOpacity: 70, lineWidth: 0, stacking: { mode: 'percent', group: 'A' } },
    },
  ),
  ...[
    ['p50', 0.5],
    ['p95', 0.95],
    ['p99', 0.99],
  ].map(([name, q]) =>
    byVersion(
      `Latency ${name} by version`,
      `${name} of the duration of requests. Bad: one version above the others at the same time.`,
      quantile(q),
      { unit: 's', thresholds: badAbove(0.5, 1) },
    ),
  ),
];

const operations = [
  table({
    title: 'Operations by version',
    description:
      'Every operation of each version over the time range. Bad: failed requests above 1 %, or a p95 well above that of the other version.',
    w: 24,
    h: 10,
    noValue: 'no requests',
    sql: sql`
      SELECT operation, ${versionName('service_version')} AS version, sum(requests) AS requests, ${share('sum(errors)', 'sum(requests)')} AS failed,
        ${quantile(0.5)} AS p50, ${quantile(0.95)} AS p95, ${quantile(0.99)} AS p99
      ${redOfVersions} AND ${requests()}
      GROUP BY operation, service_version ORDER BY requests DESC LIMIT 200`,
    overrides: [
      column('requests', { unit: 'short' }),
      column('failed', { unit: 'percentunit', decimals: 2, thresholds: badAbove(0.01, 0.05) }),
      ...['p50', 'p95', 'p99'].map((name) => column(name, { unit: 's', thresholds: badAbove(0.5, 1) })),
    ],
  }),
];

export const service = dashboard({
  uid: 'haldane-service',
  title: 'Haldane: service',
  description: 'One service by version: rate, errors, duration, its last releases, saturation and dependencies.',
  from: 'now-3h',
  refresh: '1m',
  variables: [sqlSource(), oneEnvironment, oneService, manyVersions, gauge],
  annotations: marks(),
  rows: [
    row('', head),
    row('By version', red),
    row('Operations', operations),
    row('Releases', releases),
    row('Saturation', saturation),
    row('What it calls', dependencies),
    row('Who calls it', callers, true),
  ],
});
