// What stands around the panels: variables, annotations and links.

import { chosen, list, sql, theRollout, versionName } from './sql.mjs';
import { PROMETHEUS_SOURCE, SQL_SOURCE } from './model.mjs';

/** The data source, first on every dashboard. Newer Grafanas know the plugin's old name too, older ones only that. */
export function sqlSource() {
  return {
    type: 'datasource',
    name: 'datasource',
    label: 'Data source',
    query: 'postgres',
    refresh: 1,
    current: { selected: true, text: 'Haldane', value: 'haldane' },
  };
}

export function prometheusSource() {
  const current = { selected: true, text: 'Haldane metrics', value: 'haldane-prometheus' };
  return { type: 'datasource', name: 'datasource', label: 'Data source', query: 'prometheus', refresh: 1, current };
}

/** Values found by SQL, in the order that it gives. */
export function found(name, label, query, { multi = false, hide = 0, refresh = 2 } = {}) {
  const all = multi ? { includeAll: true, current: { selected: true, text: ['All'], value: ['$__all'] } } : { includeAll: false };
  return { type: 'query', name, label, datasource: SQL_SOURCE, query, refresh, sort: 0, regex: '', hide, multi, ...all };
}

export function labels(name, label, query) {
  const current = { selected: true, text: ['All'], value: ['$__all'] };
  return {
    type: 'query',
    name,
    label,
    datasource: PROMETHEUS_SOURCE,
    query: { query, refId: name, qryType: 1 },
    refresh: 2,
    sort: 1,
    regex: '',
    hide: 0,
    multi: true,
    includeAll: true,
    current,
  };
}

export function textbox(name, label, description) {
  const empty = { selected: true, text: '', value: '' };
  return { type: 'textbox', name, label, description, query: '', current: empty, options: [empty], hide: 0 };
}

/** A choice of [text, value] pairs; the first is chosen. */
export function choice(name, label, pairs) {
  const options = pairs.map(([text, value], index) => ({ selected: index === 0, text, value }));
  return {
    type: 'custom',
    name,
    label,
    query: pairs.map(([text, value]) => `${text} : ${value}`).join(', '),
    current: options[0],
    options,
    multi: false,
    includeAll: false,
    hide: 0,
  };
}

/** Everything that is known, for dashboards on many services. */
export const manyEnvironments = found(
  'environment',
  'Environment',
  sql`
    SELECT environment FROM haldane.services
    UNION
    SELECT environment FROM haldane.rollouts
    ORDER BY environment`,
  { multi: true },
);
export const manyServices = found(
  'service',
  'Service',
  sql`
    SELECT service FROM haldane.services WHERE environment IN (${list('environment')})
    UNION
    SELECT service FROM haldane.rollouts WHERE environment IN (${list('environment')})
    ORDER BY service`,
  { multi: true },
);

/** One service: those with most requests first. Of the last day, and all that were rolled out. */
export const oneEnvironment = found(
  'environment',
  'Environment',
  sql`
    SELECT environment FROM (
      SELECT environment, sum(requests) AS weight FROM haldane.services GROUP BY environment
      UNION ALL SELECT environment, 0 FROM haldane.rollouts GROUP BY environment
    ) known
    GROUP BY environment ORDER BY sum(weight) DESC, environment`,
);
export const oneService = found(
  'service',
  'Service',
  sql`
    SELECT service FROM (
      SELECT service, sum(requests) AS weight FROM haldane.services WHERE environment IN (${list('environment')}) GROUP BY service
      UNION ALL SELECT service, 0 FROM haldane.rollouts WHERE environment IN (${list('environment')}) GROUP BY service
    ) known
    GROUP BY service ORDER BY sum(weight) DESC, service`,
);

/** Versions of the chosen services, the newest first. */
export const manyVersions = found(
  'version',
  'Version',
  sql`
    SELECT version FROM (
      SELECT ${versionName('version')} AS version, max(last_seen) AS seen FROM haldane.services WHERE ${chosen()} GROUP BY 1
      UNION ALL SELECT ${versionName('canary_version')}, max(started_at) FROM haldane.rollouts WHERE ${chosen()} GROUP BY 1
      UNION ALL SELECT ${versionName('baseline_version')}, max(started_at) FROM haldane.rollouts WHERE ${chosen()} GROUP BY 1
    ) known
    GROUP BY version ORDER BY max(seen) DESC, version LIMIT 200`,
  { multi: true },
);

/** One rollout: where the newest one is stands first, so that a dashboard opens with it. */
export const rolledEnvironment = found(
  'environment',
  'Environment',
  sql`SELECT environment FROM haldane.rollouts GROUP BY environment ORDER BY max(created_at) DESC`,
);
export const rolledService = found(
  'service',
  'Service',
  sql`
    SELECT service FROM haldane.rollouts WHERE environment IN (${list('environment')})
    GROUP BY service ORDER BY max(created_at) DESC`,
);
export const rollout = found(
  'rollout',
  'Rollout',
  sql`
    SELECT id AS __value,
      coalesce(nullif(canary_version, ''), canary) || ' ' || state || ' ' || substr(CAST(started_at AS text), 1, 16) AS __text
    FROM haldane.rollouts WHERE ${chosen()}
    ORDER BY created_at DESC LIMIT 100`,
);

function annotation(name, iconColor, rawSql) {
  const target = { refId: 'Anno', datasource: SQL_SOURCE, format: 'table', rawQuery: true, editorMode: 'code', rawSql };
  return { name, enable: true, hide: false, iconColor, datasource: SQL_SOURCE, target };
}

function events(kinds, where) {
  const names = kinds.map((kind) => `'${kind}'`).join(', ');
  return sql`
    SELECT time, kind || ': ' || service || ' in ' || environment || coalesce(' (' || nullif(decision, '') || ')', '') || coalesce(', ' || nullif(reason, ''), '') AS text,
      kind || ',' || service AS tags
    FROM haldane.events
    WHERE $__timeFilter(time) AND kind IN (${names}) AND ${where}
    ORDER BY time LIMIT 500`;
}

/** Marks of what was deployed and decided; of one rollout, or of the services that are chosen. */
export function marks(ofOne = false) {
  const where = ofOne ? `(${theRollout()} OR (kind = 'deployment.recorded' AND ${chosen()}))` : chosen();
  return [
    annotation('Deployments', '#5794F2', events(['rollout.started', 'stage.started', 'deployment.recorded'], where)),
    annotation('Verdicts', '#F2CC0C', events(['verdict.changed', 'rollout.approved'], where)),
    annotation('Rolled back', '#F2495C', events(['rollout.rolled_back'], where)),
    annotation(
      'Ended otherwise',
      '#73BF69',
      events(['rollout.promoted', 'rollout.inconclusive', 'rollout.cancelled', 'rollout.expired'], where),
    ),
  ];
}

const SOURCE = 'var-datasource=${datasource}';

/** From a row that names a rollout, and its window in from_ms and to_ms. */
function toRollout(uid, title) {
  const fields = ['environment', 'service', 'rollout'].map((name) => `var-${name}=\${__data.fields.${name}}`);
  return { title, url: `/d/${uid}?${[SOURCE, ...fields, 'from=${__data.fields.from_ms}', 'to=${__data.fields.to_ms}'].join('&')}` };
}
export const toCanary = toRollout('haldane-canary', 'Canary beside baseline');
export const toVerdict = toRollout('haldane-verdict', 'How the verdict came about');

/** From a row that names a service. */
export const toService = {
  title: 'The service by version',
  url: `/d/haldane-service?${SOURCE}&var-environment=\${__data.fields.environment}&var-service=\${__data.fields.service}&\${__url_time_range}`,
};

/** From a cell with a trace id, where service and environment are variables. */
export const toTrace = {
  title: 'This trace and its logs',
  url: `/d/haldane-explore?${SOURCE}&\${environment:queryparam}&\${service:queryparam}&var-trace_id=\${__value.raw}&\${__url_time_range}`,
};
/** The same, and the rollout goes along. */
export const toTraceOfRollout = { ...toTrace, url: `${toTrace.url}&\${rollout:queryparam}` };

/** Between the dashboards of one rollout. */
export const sameRollout = (uid, title) => ({
  title,
  url: `/d/${uid}?${SOURCE}&\${environment:queryparam}&\${service:queryparam}&\${rollout:queryparam}&\${__url_time_range}`,
});
