// haldane-canary, lower half: the checks, who is at fault, errors, traces, what failing requests share, durations.

import { CHANGES, GOOD, OUTCOMES, QUIET, RESULTS, badAbove, steps } from './looks.mjs';
import { column, heatmap, hide, table } from './model.mjs';
import {
  bucket,
  culprit,
  errorsOfRollout,
  failed,
  inUnit,
  newest,
  operation,
  rawOfRollout,
  requestSpans,
  result,
  share,
  sql,
} from './sql.mjs';
import { sameRollout, toTraceOfRollout } from './frame.mjs';

// The worst first. Sorted by columns that are selected: sorting by an expression alone trips DataFusion's planner.
const severity = "CASE outcome WHEN 'regressed' THEN 1 WHEN 'undecided' THEN 2 WHEN 'not_worse' THEN 3 ELSE 4 END";

export const checks = [
  table({
    title: 'Checks',
    description:
      'A row for each check of the newest verdict. Bad: regressed. Undecided: the interval still holds both sides of the tolerance. A check that is required must be settled before a promotion.',
    w: 24,
    h: 10,
    noValue: 'no verdict yet',
    sql: sql`
      SELECT name AS "check", outcome, CASE WHEN required THEN 'yes' ELSE '' END AS required, ${inUnit('baseline_value')} AS baseline, ${inUnit('canary_value')} AS canary,
        estimate - 1 AS difference, low - 1 AS "at least", high - 1 AS "at most", tolerance, e_value AS "evidence: worse", promote_e_value AS "evidence: not worse",
        baseline_requests AS "baseline requests", canary_requests AS "canary requests", reason, ${severity} AS place
      ${newest('checks', 'rollout_id, sequence, name, outcome, required, unit, baseline_value, canary_value, estimate, low, high, tolerance, e_value, promote_e_value, baseline_requests, canary_requests, reason')}
      ORDER BY place, "evidence: worse" DESC, "check"`,
    overrides: [
      column('check', { width: 130, links: [sameRollout('haldane-verdict', 'This check over time')] }),
      column('outcome', { mappings: OUTCOMES, cell: 'color-background', width: 110 }),
      column('required', { width: 80 }),
      ...['difference', 'at least', 'at most'].map((name) => column(name, { unit: 'percentunit', decimals: 1, width: 100 })),
      column('tolerance', { unit: 'percentunit', decimals: 0, width: 90 }),
      column('evidence: worse', { unit: 'sci', decimals: 1, width: 130, thresholds: badAbove(10, 100) }),
      column('evidence: not worse', { unit: 'sci', decimals: 1, width: 150, thresholds: steps([null, QUIET], [20, GOOD]) }),
      ...['baseline requests', 'canary requests'].map((name) => column(name, { unit: 'short', width: 130 })),
      column('reason', { wrap: true, minWidth: 300 }),
      ...hide('place'),
    ],
  }),
  table({
    title: 'Who is at fault',
    description:
      'Operations, instances and errors that the newest verdict names, with an example trace. Bad: any row with a large share of the excess.',
    w: 24,
    h: 7,
    noValue: 'nobody is named',
    sql: sql`
      SELECT kind, ${culprit} AS name, check_name AS "check", e_value AS evidence, share AS "share of the excess", trace_id, reason
      ${newest('culprits', 'rollout_id, sequence, kind, name, check_name, e_value, share, error_type, message, trace_id, reason')}
      ORDER BY evidence DESC`,
    overrides: [
      column('kind', { width: 90 }),
      column('check', { width: 110 }),
      column('evidence', { unit: 'sci', decimals: 1, width: 100, thresholds: badAbove(10, 100) }),
      column('share of the excess', { unit: 'percentunit', decimals: 0, width: 140, thresholds: badAbove(0.5, 0.9) }),
      column('trace_id', { links: [toTraceOfRollout], width: 270 }),
      column('reason', { wrap: true }),
    ],
  }),
];

const byCohort = (role) => `sum(CASE WHEN e.service_version = o.${role}_version THEN e.count ELSE 0 END)`;

export const lookAt = [
  table({
    title: 'Errors that only the canary has',
    description:
      'Distinct errors of the canary in the time range that the baseline did not show once. Bad: any that comes more than a few times.',
    w: 12,
    h: 9,
    noValue: 'none',
    sql: sql`
      SELECT e.error_type AS error, e.message, ${byCohort('canary')} AS times, max(e.operation) AS operation, min(e.time) AS "first seen", max(e.trace_id) AS trace_id
      ${errorsOfRollout}
      GROUP BY e.fingerprint, e.error_type, e.message
      HAVING ${byCohort('baseline')} = 0 AND ${byCohort('canary')} > 0
      ORDER BY times DESC LIMIT 50`,
    overrides: [
      column('message', { wrap: true }),
      column('times', { unit: 'short', width: 70, thresholds: badAbove(1, 4) }),
      column('first seen', { width: 165 }),
      column('trace_id', { links: [toTraceOfRollout], width: 120 }),
    ],
  }),
  table({
    title: 'What the canary does differently',
    description:
      'Calls that the newest verdict found to be new, missing, more, fewer or failing, in calls a request. Bad: failing calls, and new ones that nobody meant to make.',
    w: 12,
    h: 9,
    noValue: 'nothing found',
    sql: sql`
      SELECT kind, span_kind AS "span kind", name, baseline AS "baseline, a request", canary AS "canary, a request", reason
      ${newest('changes', 'rollout_id, sequence, kind, span_kind, name, baseline, canary, reason')}
      ORDER BY kind, name`,
    overrides: [
      column('kind', { mappings: CHANGES, width: 110 }),
      column('span kind', { width: 90 }),
      ...['baseline, a request', 'canary, a request'].map((name) => column(name, { unit: 'short', decimals: 3, width: 140 })),
      column('reason', { wrap: true }),
    ],
  }),
  table({
    title: 'Example traces of the canary',
    description:
      'Requests of the canary that failed, the slowest first, then slow ones that did not. Bad: failed ones, an HTTP status of 500 or above, seconds of duration.',
    w: 12,
    h: 10,
    noValue: 'none in the time range',
    sql: sql`
      SELECT s.time, s.trace_id, ${operation('s')} AS operation, ${result('s')} AS result, s.http_response_status_code AS "HTTP", s.duration_ns / 1e9 AS duration,
        coalesce(s.exception_type, s.error_type, s.status_message) AS error, s.service_instance_id AS instance
      ${rawOfRollout('spans', 's')} AND s.service_version = o.canary_version AND ${requestSpans('s')}
      ORDER BY result, duration DESC LIMIT 30`,
    overrides: [
      column('time', { width: 165 }),
      column('trace_id', { links: [toTraceOfRollout], width: 120 }),
      column('result', { mappings: RESULTS, width: 80 }),
      column('HTTP', { unit: 'none', width: 70, thresholds: badAbove(400, 500) }),
      column('duration', { unit: 's', width: 90, thresholds: badAbove(0.5, 1) }),
    ],
  }),
  table({
    title: 'What failing requests of the canary have in common',
    description:
      'For each attribute, the share of a value among failing requests beside its share among all. Bad: a value that all failures have and few requests: that is where to look.',
    w: 12,
    h: 10,
    noValue: 'no request of the canary failed',
    sql: sql`
      WITH requests AS (
        SELECT ${failed('s')} AS failed, ${operation('s')} AS operation, s.service_instance_id AS instance, s.host_name AS host, s.k8s_node_name AS node,
          s.cloud_availability_zone AS zone, s.cloud_region AS region, s.feature_flag_result_variant AS variant, s.user_agent_original AS agent
        ${rawOfRollout('spans', 's')} AND s.service_version = o.canary_version AND ${requestSpans('s')}
      ), pairs AS (
        SELECT 'operation' AS attribute, operation AS value, failed FROM requests
        UNION ALL SELECT 'instance', instance, failed FROM requests
        UNION ALL SELECT 'host', host, failed FROM requests
        UNION ALL SELECT 'node', node, failed FROM requests
        UNION ALL SELECT 'zone', zone, failed FROM requests
        UNION ALL SELECT 'region', region, failed FROM requests
        UNION ALL SELECT 'flag variant', variant, failed FROM requests
        UNION ALL SELECT 'user agent', agent, failed FROM requests
      ), counted AS (
        SELECT attribute, value, count(*) FILTER (WHERE failed) AS failing, count(*) AS requests FROM pairs WHERE value IS NOT NULL GROUP BY attribute, value
      ), shares AS (
        SELECT attribute, value, failing, requests, ${share('failing', 'sum(failing) OVER (PARTITION BY attribute)')} AS of_failing,
          ${share('requests', 'sum(requests) OVER (PARTITION BY attribute)')} AS of_all
        FROM counted
      )
      SELECT attribute, value, failing, requests, of_failing AS "of failing", of_all AS "of all", of_failing - of_all AS excess
      FROM shares WHERE failing > 0 ORDER BY excess DESC LIMIT 30`,
    overrides: [
      column('attribute', { width: 110 }),
      ...['failing', 'requests'].map((name) => column(name, { unit: 'short', width: 90 })),
      ...['of failing', 'of all'].map((name) => column(name, { unit: 'percentunit', decimals: 1, width: 90 })),
      column('excess', { unit: 'percentunit', decimals: 1, width: 90, thresholds: badAbove(0.2, 0.5) }),
    ],
  }),
];

const BOUNDS = [
  ['5 ms', 5e6],
  ['10 ms', 1e7],
  ['25 ms', 2.5e7],
  ['50 ms', 5e7],
  ['100 ms', 1e8],
  ['250 ms', 2.5e8],
  ['500 ms', 5e8],
  ['1 s', 1e9],
  ['2.5 s', 2.5e9],
  ['5 s', 5e9],
];
const buckets = BOUNDS.map(([name, upper], index) => {
  const above = index ? `s.duration_ns > ${BOUNDS[index - 1][1]} AND ` : '';
  return `count(*) FILTER (WHERE ${above}s.duration_ns <= ${upper}) AS "${name}"`;
}).concat(`count(*) FILTER (WHERE s.duration_ns > ${BOUNDS.at(-1)[1]}) AS "more"`);

const durations = (role, scheme) =>
  heatmap({
    title: `Durations of the ${role}`,
    description: `How long requests of the ${role} took: a column is an interval, the deeper the colour the more requests. Bad: a second band that the other cohort does not have.`,
    w: 12,
    h: 9,
    unit: 'short',
    scheme,
    thresholds: badAbove(0.5, 1),
    sql: sql`
      SELECT ${bucket('s.time')}, ${buckets.join(', ')}
      ${rawOfRollout('spans', 's')} AND s.service_version = o.${role}_version AND ${requestSpans('s')}
      GROUP BY 1 ORDER BY 1`,
  });

export const heatmaps = [durations('baseline', 'Blues'), durations('canary', 'YlOrRd')];
