// haldane-explore: logs, what is new in the canary's logs, traces, exceptions.

import { BAD, GOOD, NEUTRAL, QUIET, RESULTS, STATUSES, WARN, badAbove, plain } from './looks.mjs';
import { dashboard, row } from './layout.mjs';
import { column, logs, series, table, timeseries } from './model.mjs';
import { bucket, chosen, chosenRaw, chosenRows, chosenVersions, list, operation, rawOfRollout, requestSpans, result, sql } from './sql.mjs';
import { choice, found, manyEnvironments, manyServices, manyVersions, marks, sqlSource, textbox, toTraceOfRollout } from './frame.mjs';

const rollout = found(
  'rollout',
  'Rollout (for what is new)',
  sql`
    SELECT id AS __value, service || ' ' || coalesce(nullif(canary_version, ''), canary) || ' ' || state || ' ' || substr(CAST(started_at AS text), 1, 16) AS __text
    FROM haldane.rollouts WHERE ${chosen()}
    ORDER BY created_at DESC LIMIT 100`,
);
const severity = choice('severity', 'Logs from', [
  ['everything', '0'],
  ['info', '9'],
  ['warning', '13'],
  ['error', '17'],
]);
const search = textbox('search', 'Text', 'What log lines must contain, in any case.');
const trace = textbox('trace_id', 'Trace', 'A trace id: its spans, and only its log lines.');

const ofTrace = (column) => `(${list('trace_id')} = '' OR ${column} = ${list('trace_id')})`;
const lines = sql`
  FROM haldane.logs
  WHERE ${chosenRaw()} AND ${chosenVersions()} AND $__timeFilter(time)
    AND coalesce(severity_number, 0) >= CAST(${list('severity')} AS integer)
    AND coalesce(body, '') ILIKE '%' || ${list('search')} || '%' AND ${ofTrace('trace_id')}`;
const LEVEL = `CASE WHEN severity_number >= 21 THEN 'fatal' WHEN severity_number >= 17 THEN 'error' WHEN severity_number >= 13 THEN 'warning'
        WHEN severity_number >= 9 THEN 'info' WHEN severity_number >= 1 THEN 'debug' ELSE 'unknown' END`;

const inLogs = [
  timeseries({
    title: 'Log lines by severity',
    description: 'Log lines in each interval. Bad: red that grows, and a volume that leaps or stops.',
    w: 24,
    h: 7,
    unit: 'short',
    min: 0,
    thresholds: badAbove(1000, 10000),
    custom: { drawStyle: 'bars', fillOpacity: 80, lineWidth: 0, stacking: { mode: 'normal', group: 'A' } },
    sql: sql`
      SELECT ${bucket()}, ${LEVEL} AS metric, count(*) AS value
      ${lines}
      GROUP BY 1, 2 ORDER BY 1`,
    overrides: [
      series('fatal', { color: 'purple' }),
      series('error', { color: BAD }),
      series('warning', { color: WARN }),
      series('info', { color: GOOD }),
      series('debug', { color: NEUTRAL }),
      series('unknown', { color: QUIET }),
    ],
  }),
  logs({
    title: 'Log lines',
    description: 'The newest thousand lines of the selection. Bad: lines of level error and fatal; open one for its trace.',
    w: 24,
    h: 12,
    unit: 'string',
    thresholds: badAbove(17, 21),
    links: [],
    sql: sql`
      SELECT time, coalesce(body, '') AS body, ${LEVEL} AS level, service_name, service_version, service_instance_id, trace_id, span_id
      ${lines}
      ORDER BY time DESC LIMIT 1000`,
    overrides: [column('trace_id', { links: [toTraceOfRollout] })],
  }),
];

// Numbers and what looks like an id are what varies between lines of one kind.
const PATTERN = "regexp_replace(l.body, '[0-9a-fA-F]{8,}|[0-9]+', '#', 'g')";
const times = (role) => `sum(CASE WHEN l.service_version = o.${role}_version THEN 1 ELSE 0 END)`;

const fresh = [
  table({
    title: 'Patterns that only the canary logs',
    description:
      "Log lines of the chosen rollout's canary, without their numbers and ids, that the baseline did not write in the time range. Bad: any of severity error; others may be new on purpose.",
    w: 12,
    h: 10,
    noValue: 'none',
    sql: sql`
      SELECT ${PATTERN} AS pattern, max(l.severity_text) AS severity, ${times('canary')} AS times, min(l.time) AS "first seen", max(l.trace_id) AS trace_id
      ${rawOfRollout('logs', 'l')} AND l.service_version IN (o.baseline_version, o.canary_version) AND l.body IS NOT NULL
      GROUP BY 1
      HAVING ${times('baseline')} = 0 AND ${times('canary')} > 0
      ORDER BY times DESC LIMIT 100`,
    overrides: [
      column('pattern', { wrap: true }),
      column('severity', { width: 90 }),
      column('times', { unit: 'short', width: 80, thresholds: badAbove(1, 10) }),
      column('first seen', { width: 165 }),
      column('trace_id', { links: [toTraceOfRollout], width: 120 }),
    ],
  }),
  table({
    title: 'Exceptions',
    description: 'Distinct errors of the selection, the most frequent first. Bad: one that was first seen lately and comes often.',
    w: 12,
    h: 10,
    noValue: 'none',
    sql: sql`
      SELECT error_type AS error, message, source, service_name AS service, service_version AS version, sum(count) AS times, min(time) AS "first seen", max(trace_id) AS trace_id
      FROM haldane.errors
      WHERE ${chosenRows()} AND ${chosenVersions()} AND $__timeFilter(time)
      GROUP BY fingerprint, error_type, message, source, service_name, service_version
      ORDER BY times DESC LIMIT 200`,
    overrides: [
      column('message', { wrap: true }),
      column('times', { unit: 'short', width: 80, thresholds: badAbove(10, 100) }),
      column('first seen', { width: 165 }),
      column('trace_id', { links: [toTraceOfRollout], width: 120 }),
    ],
  }),
  timeseries({
    title: 'Exceptions over time',
    description: 'Errors in each interval by type. Bad: a type that begins with a deployment mark.',
    w: 24,
    h: 8,
    unit: 'short',
    min: 0,
    thresholds: badAbove(10, 100),
    custom: { drawStyle: 'bars', fillOpacity: 80, lineWidth: 0, stacking: { mode: 'normal', group: 'A' } },
    sql: sql`
      SELECT ${bucket()}, coalesce(nullif(error_type, ''), source) AS metric, sum(count) AS value
      FROM haldane.errors
      WHERE ${chosenRows()} AND ${chosenVersions()} AND $__timeFilter(time)
      GROUP BY 1, 2 ORDER BY 1`,
  }),
];

const traces = [
  table({
    title: 'Requests, failed ones first',
    description:
      'Up to two hundred requests of the selection: failed ones first, then the slowest. Bad: failed ones, an HTTP status of 500 or above, seconds of duration.',
    w: 24,
    h: 10,
    noValue: 'none in the time range',
    sql: sql`
      SELECT time, trace_id, service_name AS service, service_version AS version, ${operation()} AS operation, ${result()} AS result, http_response_status_code AS "HTTP",
        duration_ns / 1e9 AS duration, coalesce(exception_type, error_type, status_message) AS error, service_instance_id AS instance
      FROM haldane.spans
      WHERE ${chosenRaw()} AND ${chosenVersions()} AND ${requestSpans()} AND $__timeFilter(time) AND ${ofTrace('trace_id')}
      ORDER BY result, duration DESC LIMIT 200`,
    overrides: [
      column('time', { width: 165 }),
      column('trace_id', { links: [toTraceOfRollout], width: 270 }),
      column('result', { mappings: RESULTS, width: 80 }),
      column('HTTP', { unit: 'none', width: 70, thresholds: badAbove(400, 500) }),
      column('duration', { unit: 's', width: 100, thresholds: badAbove(0.5, 1) }),
    ],
  }),
  table({
    title: 'One trace: ${trace_id}',
    description:
      'All spans of the trace that is chosen, of all services, in the order in which they began. Bad: the first span with status ERROR, or one that takes most of the time of its parent.',
    w: 24,
    h: 12,
    noValue: 'choose a trace: click a trace id, or write one above',
    sql: sql`
      SELECT (start_time_unix_nano - min(start_time_unix_nano) OVER ()) / 1e9 AS "begins after", duration_ns / 1e9 AS duration, service_name AS service, service_version AS version,
        kind, ${operation()} AS operation, status_code AS status, coalesce(exception_type, error_type, status_message) AS error, service_instance_id AS instance,
        span_id AS span, parent_span_id AS parent
      FROM haldane.spans
      WHERE trace_id = ${list('trace_id')} AND $__timeFilter(time)
      ORDER BY start_time_unix_nano, duration_ns DESC LIMIT 1000`,
    overrides: [
      column('begins after', { unit: 's', width: 110 }),
      column('duration', { unit: 's', width: 200, thresholds: plain(NEUTRAL), cell: 'gauge', min: 0 }),
      column('kind', { width: 100 }),
      column('status', { mappings: STATUSES, width: 80 }),
    ],
  }),
];

export const explore = dashboard({
  uid: 'haldane-explore',
  title: 'Haldane: explore',
  description: 'Logs, what is new in the logs of a canary, traces and exceptions.',
  from: 'now-1h',
  refresh: '',
  variables: [sqlSource(), manyEnvironments, manyServices, manyVersions, rollout, severity, search, trace],
  annotations: marks(),
  rows: [row('Traces', traces), row('Errors, and what is new', fresh), row('Logs', inLogs)],
});
