// What holds for every dashboard beyond its types. A rule takes the dashboards by file name and returns problems.

import { BAD } from '../generator/looks.mjs';
import { panels, sqlTexts, strings, usedVariables } from '../generator/walk.mjs';

export const UIDS = ['haldane-canary', 'haldane-explore', 'haldane-fleet', 'haldane-server', 'haldane-service', 'haldane-verdict'];
const GRID_WIDTH = 24;
const BUILT_IN = new Set([
  '__from',
  '__to',
  '__interval',
  '__interval_ms',
  '__rate_interval',
  '__range',
  '__data',
  '__value',
  '__url_time_range',
  '__all',
]);
const MACROS = new Set(['__timeFilter', '__timeGroup', '__timeFrom', '__timeTo']);
const BARE = new Set(['__interval', '__interval_ms', '__from', '__to']); // numbers and intervals need no quotes

/** Runs a check on every dashboard, and says which one a problem is in. */
const each = (name, check) => (dashboards) =>
  [...dashboards].flatMap(([file, dashboard]) => check(dashboard).map((problem) => `${name}: ${file}, ${problem}`));
const label = (panel) => `panel "${panel.title ?? panel.id}"`;

function uids(dashboards) {
  const problems = [];
  const seen = new Map();
  for (const [file, { uid }] of dashboards) {
    if (seen.has(uid)) problems.push(`uids: ${file}: ${uid} is the uid of ${seen.get(uid)} too`);
    if (file !== `${uid}.json`) problems.push(`uids: ${file}: its uid is ${uid}; name the file after it`);
    seen.set(uid, file);
  }
  return [...problems, ...UIDS.filter((uid) => !seen.has(uid)).map((uid) => `uids: no dashboard has ${uid}`)];
}

const head = each('head', (dashboard) => {
  const problems = [];
  if (dashboard.schemaVersion !== 42) problems.push(`schemaVersion is ${dashboard.schemaVersion}, not 42`);
  if (!dashboard.tags?.includes('haldane')) problems.push('the tag haldane is missing');
  const [first] = dashboard.templating.list;
  if (first?.name !== 'datasource' || first.type !== 'datasource') problems.push('the first variable is not the data source');
  return problems;
});

const ids = each('ids', (dashboard) => {
  const all = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
  const twice = (values) => values.filter((value, index) => values.indexOf(value) !== index);
  return [
    ...twice(all.map((panel) => panel.id)).map((id) => `two panels have the id ${id}`),
    ...twice(panels(dashboard).map((panel) => panel.title)).map((title) => `two panels have the title "${title}"`),
  ];
});

function overlaps(those) {
  const apart = (a, b) => a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
  return those.flatMap((panel, index) => {
    const { x, w } = panel.gridPos;
    const outside = x < 0 || x + w > GRID_WIDTH ? [`${label(panel)} reaches beyond the grid's ${GRID_WIDTH} columns`] : [];
    const over = those.slice(index + 1).filter((other) => !apart(panel.gridPos, other.gridPos));
    return [...outside, ...over.map((other) => `${label(panel)} and ${label(other)} overlap`)];
  });
}
const grid = each('grid', (dashboard) => [dashboard.panels, ...dashboard.panels.map((panel) => panel.panels ?? [])].flatMap(overlaps));

const variables = each('variables', (dashboard) => {
  const defined = new Set(dashboard.templating.list.map((one) => one.name));
  const problems = [];
  for (const [path, text] of strings(dashboard)) {
    if (path.endsWith('.legendFormat')) continue; // {{label}} only
    for (const { whole, name } of usedVariables(text)) {
      if (!defined.has(name) && !BUILT_IN.has(name) && !MACROS.has(name)) problems.push(`${path}: ${whole} is not defined`);
    }
  }
  const order = dashboard.templating.list.map((one) => one.name);
  for (const [index, one] of dashboard.templating.list.entries()) {
    const later = usedVariables(JSON.stringify(one.query ?? '')).find(({ name }) => order.indexOf(name) >= index);
    if (later) problems.push(`variable ${one.name} asks for ${later.name}, which comes after it`);
  }
  for (const panel of panels(dashboard)) {
    if (panel.repeat && !defined.has(panel.repeat)) problems.push(`${label(panel)} is repeated by ${panel.repeat}, which is not defined`);
  }
  return problems;
});

/** Links to dashboards: that one exists and has the variables that it is given. */
function links(dashboards) {
  const byUid = new Map([...dashboards.values()].map((one) => [one.uid, one]));
  const problems = [];
  for (const [file, dashboard] of dashboards) {
    for (const [path, text] of strings(dashboard)) {
      if (!path.endsWith('.url') || !text) continue;
      const uid = /^\/d\/([\w-]+)/.exec(text)?.[1];
      const target = byUid.get(uid);
      if (!target) {
        problems.push(`links: ${file}, ${path}: no dashboard ${uid ?? `in ${text}`}`);
        continue;
      }
      const given = [...text.matchAll(/[?&]var-(\w+)=/g), ...text.matchAll(/\$\{(\w+):queryparam\}/g)].map(([, name]) => name);
      const known = new Set(target.templating.list.map((one) => one.name));
      problems.push(...given.filter((name) => !known.has(name)).map((name) => `links: ${file}, ${path}: ${uid} has no variable ${name}`));
    }
  }
  return problems;
}

/** Columns that links read stand in the panel's query. */
const linkedColumns = each('linked columns', (dashboard) =>
  panels(dashboard).flatMap((panel) => {
    const sql = panel.targets.map((target) => target.rawSql ?? '').join('\n');
    const read = [...strings(panel.fieldConfig)].flatMap(([, text]) =>
      [...text.matchAll(/\$\{__data\.fields\.(\w+)\}/g)].map(([, name]) => name),
    );
    return [...new Set(read)]
      .filter((name) => !new RegExp(`\\b${name}\\b`).test(sql))
      .map((name) => `${label(panel)}: a link reads ${name}, which the query does not have`);
  }),
);

const colours = (values) => values.some((value) => value?.steps?.length > 1);
function hasThresholds({ fieldConfig: { defaults, overrides } }) {
  const properties = overrides.flatMap((one) => one.properties);
  const mappings = [defaults.mappings, ...properties.filter(({ id }) => id === 'mappings').map(({ value }) => value)].flat();
  const red = properties.some(({ id, value }) => id === 'color' && value.fixedColor === BAD);
  return (
    red ||
    colours([defaults.thresholds, ...properties.map(({ value }) => value)]) ||
    mappings.some((one) => /"color":/.test(JSON.stringify(one)))
  );
}

const words = each('words', (dashboard) =>
  panels(dashboard).flatMap((panel) => {
    const { title, description = '', fieldConfig } = panel;
    const problems = [];
    if (!title) problems.push(`panel ${panel.id} has no title`);
    const bad = description.includes('Bad:');
    if (!bad && !description.includes('Nothing is bad here by itself')) {
      problems.push(`${label(panel)}: the description does not say what is bad ("Bad: …", or "Nothing is bad here by itself")`);
    }
    if (!fieldConfig.defaults.unit) problems.push(`${label(panel)} has no unit`);
    if (!fieldConfig.defaults.thresholds) problems.push(`${label(panel)} has no thresholds`);
    else if (bad && !hasThresholds(panel)) problems.push(`${label(panel)}: there is a bad value, but neither thresholds nor colours`);
    return problems;
  }),
);

const VIEWS = 'spans logs metrics red errors services rollouts verdicts checks culprits changes events notifications'.split(' ');

/** How the views are asked for, and what Grafana makes of a query. */
const sql = each('sql', (dashboard) =>
  sqlTexts(dashboard).flatMap(({ panel, sql: text, format }) => {
    const problems = [];
    const plain = text.replace(/extract\(epoch FROM /gi, 'extract(').replace(/'[^']*'/g, "''");
    for (const { whole, name, format: how } of usedVariables(text)) {
      if (!MACROS.has(name) && !BARE.has(name) && how !== 'sqlstring') problems.push(`${whole} is not quoted: write \${${name}:sqlstring}`);
    }
    const named = new Set([...plain.matchAll(/(?:WITH|,)\s+(\w+) AS \(/g)].map(([, name]) => name));
    for (const [, source] of plain.matchAll(/\b(?:FROM|JOIN)\s+([\w.]+)/g)) {
      const [schema, view] = source.split('.');
      if (schema === 'haldane' ? !VIEWS.includes(view) : !named.has(source)) problems.push(`${source} is no view of Haldane`);
    }
    if (/\bCROSS JOIN\b|\bFROM\s+\S+(?:\s+\w+)?,/i.test(plain)) problems.push('a join without an equality is refused');
    if (format === 'time_series') {
      if (!/^\s*SELECT\b.*?\btime\b/is.test(text)) problems.push('a time series needs a column time');
      if (!/ORDER BY (?:1|time|ended_at)\b/.test(text)) problems.push('a time series has to be ordered by its time');
    }
    return problems.map((problem) => `${panel}: ${problem}`);
  }),
);

const OVERRIDES =
  /^(?:unit|decimals|thresholds|mappings|links|color|custom\.(?:width|minWidth|cellOptions|wrapText|hidden|hideFrom|lineWidth|fillBelowTo|fillOpacity|showPoints|lineStyle|min))$/;
/** The schema leaves overrides open: their names are kept here. */
const overrides = each('overrides', (dashboard) =>
  panels(dashboard).flatMap((panel) =>
    panel.fieldConfig.overrides.flatMap((one) =>
      one.properties.filter(({ id }) => !OVERRIDES.test(id)).map(({ id }) => `${label(panel)}: ${id} is no property of a field`),
    ),
  ),
);

export const RULES = { uids, head, ids, grid, variables, links, linkedColumns, words, sql, overrides };
