// haldane-server: Haldane itself, from its /metrics through Prometheus.

import { BAD, GOOD, NEUTRAL, WARN, badAbove, badBelow, plain, steps } from './looks.mjs';
import { dashboard, row } from './layout.mjs';
import { coloured, metric, stat, timeseries } from './model.mjs';
import { labels, prometheusSource } from './frame.mjs';

const HERE = 'instance=~"${instance:regex}"';
const of = (name) => `${name}{${HERE}}`;
const rate = (name) => `rate(${of(name)}[$__rate_interval])`;
const quantile = (q, name) => `histogram_quantile(${q}, sum by (le) (${rate(`${name}_bucket`)}))`;
const by = (names, expression) => `sum by (${names}) (${expression})`;

const one = (title, description, look, expression, legend) =>
  stat({ title, description, w: 4, h: 4, ...look, metrics: [metric(expression, legend, true)] });
const lines = (title, description, look, ...metrics) =>
  timeseries({ title, description, w: 8, h: 8, interval: '15s', min: 0, ...look, metrics });

const REFUSALS = [coloured('/refused$/', WARN), coloured('/(invalid|rejected|failed)$/', BAD)];

const head = [
  one(
    'Version',
    'The versions of Haldane that run. Nothing is bad here by itself; two versions are an update under way.',
    { unit: 'string', noValue: 'no metrics', options: { textMode: 'name' } },
    by('version', of('haldane_build_info')),
    '{{version}}',
  ),
  one(
    'Age of the last round',
    'Time since the judge last looked at the live rollouts. Bad: more than a minute: no rollout gets a verdict.',
    { unit: 's', decimals: 0, thresholds: badAbove(60, 300) },
    `max(time() - ${of('haldane_judge_last_round_timestamp_seconds')})`,
    'age',
  ),
  one(
    'Oldest data behind a verdict',
    'How far behind the clock the data of a live rollout is, the worst of all. Bad: more than a minute: verdicts come late.',
    { unit: 's', decimals: 0, noValue: 'no live rollout', thresholds: badAbove(60, 300) },
    `max(${of('haldane_rollout_data_age_seconds')})`,
    'age',
  ),
  one(
    'Requests refused',
    'Export requests a second that were not taken in. Bad: any for long: senders must try again or lose data.',
    { unit: 'reqps', decimals: 2, noValue: '0', thresholds: badAbove(0.01, 1) },
    `sum(${rate('haldane_collector_refused_total')})`,
    'refused',
  ),
  one(
    'Notifications given up',
    'Notes that a receiver never took. Bad: any: somebody was not told.',
    { unit: 'short', noValue: '0', thresholds: steps([null, GOOD], [1, BAD]) },
    `sum(${of('haldane_notify_dead')})`,
    'given up',
  ),
  one(
    'Disk free',
    'Free part of the disk that holds the data. Bad: below 10 %: intake stops when it is full.',
    { unit: 'percentunit', decimals: 0, thresholds: badBelow(0.1, 0.2) },
    `min(${of('haldane_disk_free_bytes')} / ${of('haldane_disk_size_bytes')})`,
    'free',
  ),
];

const intake = [
  lines(
    'Export requests',
    'Requests a second by signal and how they were answered. Bad: invalid and refused ones.',
    { unit: 'reqps', overrides: REFUSALS },
    metric(by('signal, outcome', rate('haldane_collector_requests_total')), '{{signal}} {{outcome}}'),
  ),
  lines(
    'Records',
    'Spans, data points and log records a second: kept, or left out for good. Bad: rejected ones; the sender sends what cannot be kept.',
    { unit: 'cps', overrides: REFUSALS },
    metric(by('signal, outcome', rate('haldane_collector_records_total')), '{{signal}} {{outcome}}'),
  ),
  lines(
    'Why requests were refused',
    'Refused requests a second by reason and token. Bad: any; the reason says what to change.',
    { unit: 'reqps', thresholds: badAbove(0.01, 1) },
    metric(by('signal, token, reason', rate('haldane_collector_refused_total')), '{{signal}} {{reason}} {{token}}'),
  ),
  lines(
    'Time to the acknowledgement',
    'From a request to its acknowledgement, once it is on disk. Bad: p99 above half a second: the disk is slow or the machine is full.',
    { unit: 's', thresholds: badAbove(0.25, 0.5) },
    ...[0.5, 0.95, 0.99].map((q) => metric(quantile(q, 'haldane_collector_acknowledgement_seconds'), `p${q * 100}`)),
  ),
  lines(
    'Bodies in flight',
    'Bytes that are being read, logged or turned into rows. Bad: near the limit of the settings (256 MiB colours it red); requests then wait.',
    { unit: 'bytes', thresholds: badAbove(134217728, 268435456) },
    metric(of('haldane_collector_bytes_in_flight'), '{{instance}}'),
  ),
  lines(
    'Waiting for room',
    'Seconds that accepted bodies waited for room, a second. Bad: above nothing for long: more comes in than is worked off.',
    { unit: 's', thresholds: badAbove(0.1, 1) },
    metric(rate('haldane_collector_admission_wait_seconds_total'), '{{instance}}'),
  ),
  lines(
    'Spans beyond the limit of operations',
    'Spans a second that count as __other__, for their service has too many operations. Bad: any for long: span names hold ids.',
    { unit: 'cps', thresholds: badAbove(0.1, 10) },
    metric(rate('haldane_collector_operations_over_limit_total'), '{{instance}}'),
  ),
];

const storage = [
  lines(
    'Age of the log',
    'Age of the oldest acknowledged request that a table lacks. Bad: more than some minutes: commits to the tables fail.',
    { unit: 's', thresholds: badAbove(120, 600) },
    metric(of('haldane_collector_oldest_uncommitted_seconds'), '{{instance}}'),
  ),
  lines(
    'Log on disk',
    'Segments of the log that are still needed. Bad: a line that only climbs: nothing is committed.',
    { unit: 'bytes', thresholds: badAbove(1073741824, 4294967296) },
    metric(of('haldane_collector_log_backlog_bytes'), '{{instance}}'),
  ),
  lines(
    'Hot rows',
    'Rows that readers see and that are in no file yet; each drop is a flush. Bad: no drop for minutes.',
    { unit: 'short', thresholds: badAbove(5000000, 20000000) },
    metric(by('table', of('haldane_table_hot_rows')), '{{table}}'),
  ),
  lines(
    'Memory of hot rows',
    'Memory that rows take until they are in a file. Bad: a line that only climbs.',
    { unit: 'bytes', thresholds: badAbove(536870912, 1073741824) },
    metric(by('table', of('haldane_table_hot_bytes')), '{{table}}'),
  ),
  lines(
    'Disk',
    'Free space and size of the disk that holds the data. Bad: the free line falls towards nothing.',
    { unit: 'bytes', thresholds: badBelow(1073741824, 5368709120) },
    metric(of('haldane_disk_free_bytes'), 'free {{instance}}'),
    metric(of('haldane_disk_size_bytes'), 'size {{instance}}'),
  ),
];

const judging = [
  lines(
    'Rollouts by state',
    'Rollouts that are live, by state. Nothing is bad here by itself.',
    { unit: 'short', thresholds: plain(NEUTRAL) },
    metric(by('state', of('haldane_rollout_state')), '{{state}}'),
  ),
  lines(
    'Decisions on live rollouts',
    'Live rollouts by the decision of their newest verdict. Bad: rollback that stays: the deploy tool does not act on it.',
    { unit: 'short', overrides: [coloured('rollback', BAD), coloured('inconclusive', WARN)] },
    metric(by('decision', of('haldane_rollout_decision')), '{{decision}}'),
  ),
  lines(
    'Rollouts that ended',
    'Rollouts that ended in each hour, by state. Bad: rolled back and inconclusive ones that grow.',
    { unit: 'short', overrides: [coloured('rolled_back', BAD), coloured('/inconclusive|expired/', WARN), coloured('promoted', GOOD)] },
    metric(by('state', `increase(${of('haldane_rollouts_ended_total')}[1h])`), '{{state}}'),
  ),
  lines(
    'Age of data by service',
    'How far behind the clock the data of each live rollout is. Bad: more than a minute.',
    { unit: 's', thresholds: badAbove(60, 300) },
    metric(`max by (service, environment) (${of('haldane_rollout_data_age_seconds')})`, '{{service}} {{environment}}'),
  ),
  lines(
    'Length of a round',
    'How long a round of the judge over all live rollouts takes. Bad: near the time between rounds.',
    { unit: 's', thresholds: badAbove(5, 10) },
    metric(of('haldane_judge_round_seconds'), '{{instance}}'),
  ),
  lines(
    'Failed judgements',
    'Judgements that failed in each quarter of an hour. Bad: any: the log of the server says why.',
    { unit: 'short', thresholds: badAbove(1, 5) },
    metric(`increase(${of('haldane_judge_failures_total')}[15m])`, '{{instance}}'),
  ),
  lines(
    'False alarms on the past against the stated rate',
    'Share of A/A replays in which a check alone would have rolled back, less the share in which it may; the worst check of each service. Bad: above zero.',
    { unit: 'percentunit', min: -0.05, thresholds: badAbove(0.01, 0.05) },
    metric(
      `max by (service, environment) (${of('haldane_judge_aa_alarm_ratio')} - ${of('haldane_judge_stated_alarm_ratio')})`,
      '{{service}} {{environment}}',
    ),
  ),
  lines(
    'Discount of evidence',
    'What the evidence of a check is divided by because it alarmed too often. Bad: above 1: regressions are found later.',
    { unit: 'short', min: 1, thresholds: badAbove(1.01, 10) },
    metric(`max by (service, check) (${of('haldane_judge_discount')})`, '{{service}} {{check}}'),
  ),
  lines(
    'Requests of the judged services',
    'Requests a second of the services that send telemetry. Bad: failed ones that grow, and a service that vanishes.',
    { unit: 'reqps', overrides: REFUSALS },
    metric(by('service, outcome', rate('haldane_service_requests_total')), '{{service}} {{outcome}}'),
  ),
];

const asking = [
  lines(
    'SQL queries',
    'Queries a second over the PostgreSQL wire, by how they ended. Bad: failed, refused and timed out ones.',
    { unit: 'reqps', overrides: [coloured('/^(?!ok|done|answered)/', BAD)] },
    metric(by('outcome', rate('haldane_sql_queries_total')), '{{outcome}}'),
  ),
  lines(
    'Time of SQL queries',
    'How long queries take. Bad: p95 above some seconds: choose a shorter time range, or give the server more.',
    { unit: 's', thresholds: badAbove(2, 10) },
    ...[0.5, 0.95, 0.99].map((q) => metric(quantile(q, 'haldane_sql_query_seconds'), `p${q * 100}`)),
  ),
  lines(
    'Notifications waiting',
    'Notes that wait for each receiver. Bad: a line that does not come down: the receiver does not answer.',
    { unit: 'short', thresholds: badAbove(1, 10) },
    metric(by('receiver', of('haldane_notify_waiting')), 'waiting {{receiver}}'),
    metric(by('receiver', of('haldane_notify_dead')), 'given up {{receiver}}'),
  ),
  lines(
    'Attempts to notify',
    'Attempts in each quarter of an hour, by what came of them. Bad: failed, and dead above all.',
    { unit: 'short', thresholds: badAbove(1, 10) },
    metric(by('receiver, outcome', `increase(${of('haldane_notify_attempts_total')}[15m])`), '{{receiver}} {{outcome}}'),
  ),
  lines(
    'Memory',
    'Memory of the process. Bad: a line that only climbs, or one near what the machine has. The colours start at 2 and 4 GiB.',
    { unit: 'bytes', thresholds: badAbove(2147483648, 4294967296) },
    metric(of('process_resident_memory_bytes'), '{{instance}}'),
  ),
  lines(
    'Processor',
    "Cores that the process uses. Bad: all of the machine's for long.",
    { unit: 'short', thresholds: badAbove(2, 4) },
    metric(rate('process_cpu_seconds_total'), '{{instance}}'),
  ),
];

export const server = dashboard({
  uid: 'haldane-server',
  title: 'Haldane: server',
  description: 'Haldane itself, from its metrics: intake, log and tables, the judge, queries, notifications, memory and disk.',
  from: 'now-3h',
  refresh: '30s',
  variables: [prometheusSource(), labels('instance', 'Instance', 'label_values(haldane_build_info, instance)')],
  rows: [
    row('', head),
    row('Intake', intake),
    row('Log and tables', storage),
    row('The judge', judging),
    row('Queries, notifications, process', asking),
  ],
});
