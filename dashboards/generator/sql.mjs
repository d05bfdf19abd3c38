// Pieces of SQL that several panels share. The engine is DataFusion behind PostgreSQL's wire: no joins without an equality.

/** A variable as a list of quoted texts, for `IN (…)`. */
export const list = (name) => '${' + name + ':sqlstring}';

/** Removes the indentation of a template, so that the query reads well in Grafana's editor; what is put in is indented as its place. */
export function sql({ raw }, ...values) {
  const lines = raw
    .join('')
    .split('\n')
    .slice(1)
    .filter((line) => line.trim());
  const common = lines.length ? Math.min(...lines.map((line) => line.match(/^ */)[0].length)) : 0;
  const outdented = raw.map((part) => part.replaceAll('\\$', '$').replaceAll('\n' + ' '.repeat(common), '\n'));
  let text = outdented[0];
  for (const [index, value] of values.entries()) {
    const indent = text.slice(text.lastIndexOf('\n') + 1).match(/^ */)[0];
    text += String(value).replaceAll('\n', '\n' + indent) + outdented[index + 1];
  }
  return text.trim().replace(/ +$/gm, '');
}

const of = (alias) => (alias ? `${alias}.` : '');

/** Rows of the services and environments that are chosen, in views that name them `service` and `environment`. */
export const chosen = (alias) => `${of(alias)}service IN (${list('service')}) AND ${of(alias)}environment IN (${list('environment')})`;
/** The same in `red` and `errors`. */
export const chosenRows = (alias) =>
  `${of(alias)}service_name IN (${list('service')}) AND ${of(alias)}environment IN (${list('environment')})`;
/** The environment of a span, log record or data point. */
export const environmentOf = (alias) => `coalesce(${of(alias)}deployment_environment_name, 'default')`;
/** The same in `spans`, `logs` and `metrics`. */
export const chosenRaw = (alias) =>
  `${of(alias)}service_name IN (${list('service')}) AND ${environmentOf(alias)} IN (${list('environment')})`;

/** Incoming requests in `red`. */
export const requests = (alias) => `${of(alias)}span_kind IN ('SERVER', 'CONSUMER')`;
/** Incoming requests in `spans`. */
export const requestSpans = (alias) => `${of(alias)}kind IN ('SERVER', 'CONSUMER')`;
/** A request failed when its span says so, or with a server's HTTP status. */
export const failed = (alias) =>
  `(${of(alias)}status_code = 'ERROR' OR (${of(alias)}kind = 'SERVER' AND coalesce(${of(alias)}http_response_status_code, 0) >= 500))`;

/** The same as a word that sorts failed ones first. */
export const result = (alias) => `CASE WHEN ${failed(alias)} THEN 'failed' ELSE 'ok' END`;

export const quantile = (q) => `duration_quantile(${q}, duration_scale, duration_zero_count, duration_offset, duration_counts)`;
/** The time column of a series with one point an interval. */
export const bucket = (column = 'time') => `$__timeGroup(${column}, $__interval) AS time`;
/** Counts over an interval as a rate a second. */
export const rate = (counted) => `sum(${counted}) / ($__interval_ms / 1000.0)`;
export const share = (part, whole) => `1.0 * ${part} / nullif(${whole}, 0)`;

/** Which cohort of the rollout `o` a row with this version belongs to; `cohorts` keeps the rows of either. */
export const cohort = (version) => `CASE WHEN ${version} = o.canary_version THEN 'canary' ELSE 'baseline' END`;
export const cohorts = (version) => `${version} IN (o.baseline_version, o.canary_version)`;
export const theRollout = (column = 'rollout_id') => `${column} IN (${list('rollout')})`;

/** `red` beside the chosen rollout. */
export const redOfRollout = sql`
  FROM haldane.red r
  JOIN haldane.rollouts o ON r.service_name = o.service AND r.environment = o.environment
  WHERE ${theRollout('o.id')} AND ${chosenRows('r')}
    AND ${cohorts('r.service_version')} AND ${requests('r')} AND $__timeFilter(r.time)`;

/** `errors` beside the chosen rollout. */
export const errorsOfRollout = sql`
  FROM haldane.errors e
  JOIN haldane.rollouts o ON e.service_name = o.service AND e.environment = o.environment
  WHERE ${theRollout('o.id')} AND ${chosenRows('e')}
    AND ${cohorts('e.service_version')} AND $__timeFilter(e.time)`;

/** `spans` or `logs` beside the chosen rollout. */
export const rawOfRollout = (view, alias) => sql`
  FROM haldane.${view} ${alias}
  JOIN haldane.rollouts o ON ${alias}.service_name = o.service AND ${environmentOf(alias)} = o.environment
  WHERE ${theRollout('o.id')} AND ${chosenRaw(alias)} AND $__timeFilter(${alias}.time)`;

/** Rows of a view that belong to the newest verdict of the chosen rollout. */
export const newest = (view, columns) => sql`
  FROM (
    SELECT ${columns}, rank() OVER (PARTITION BY rollout_id ORDER BY sequence DESC) AS age
    FROM haldane.${view} WHERE ${theRollout()}
  ) newest
  WHERE age = 1`;

/** How far evidence has come towards its limit, from 0 to 1; e-values multiply, so their logarithms add up. */
export const progress = (evidence, limit) =>
  `CASE WHEN ${evidence} > 1 THEN least(ln(${evidence}) / nullif(ln(${limit}), 0), 1.0) ELSE 0.0 END`;

/** The operation of a span, as roll-ups name it. */
export const operation = (alias) =>
  `CASE WHEN ${of(alias)}http_route IS NULL THEN ${of(alias)}name ELSE coalesce(${of(alias)}http_request_method || ' ', '') || ${of(alias)}http_route END`;

/** A time as milliseconds in text, as links want it. */
export const millis = (column, plusSeconds = 0) => `CAST(CAST((extract(epoch FROM ${column}) + ${plusSeconds}) * 1000 AS bigint) AS text)`;
/** The window of a rollout, with a quarter of an hour before it; open at the end while it runs. */
export const windowOfRollout = (alias = 'o') =>
  `${millis(`${alias}.started_at`, -900)} AS from_ms, coalesce(${millis(`${alias}.ended_at`, 300)}, 'now') AS to_ms`;

/** A version, or the whole selector where a cohort is told apart by something else. */
export const versionOf = (alias, role) => `coalesce(nullif(${alias}.${role}_version, ''), ${alias}.${role})`;

/** What a culprit is called: an error's name is a fingerprint, which nobody reads. */
export const culprit =
  "CASE WHEN kind = 'error' THEN coalesce(nullif(error_type, '') || ': ', '') || coalesce(message, name) ELSE name END";

/** A number of a check as text in its own unit. */
export const inUnit = (value) => sql`
  CASE WHEN ${value} IS NULL THEN '–'
    WHEN unit = '1' THEN CAST(round(100 * ${value}, 2) AS text) || ' %'
    WHEN unit = 's' THEN CAST(round(1000 * ${value}, 1) AS text) || ' ms'
    ELSE CAST(round(${value}, 3) AS text) || ' ' || coalesce(unit, '') END`;

/** A version's name; some services have none, and are not left out. */
export const versionName = (column) => `coalesce(nullif(${column}, ''), 'none')`;
export const chosenVersions = (alias) => `${versionName(`${of(alias)}service_version`)} IN (${list('version')})`;

/** `red` of the chosen services and versions. */
export const redOfVersions = sql`
  FROM haldane.red
  WHERE ${chosenRows()} AND ${chosenVersions()} AND $__timeFilter(time)`;
