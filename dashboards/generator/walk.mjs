// Finds things in a dashboard: panels inside of collapsed rows too, and whatever asks the data source.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The dashboards in a folder, by file name. */
export function readDashboards(folder) {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort();
  const read = (name) => {
    try {
      return JSON.parse(readFileSync(join(folder, name), 'utf8'));
    } catch (error) {
      throw new Error(`grafana/${name} is no JSON: run node generate.mjs`, { cause: error });
    }
  };
  return new Map(names.map((name) => [name, read(name)]));
}

/** All panels but rows. */
export function panels(dashboard) {
  return dashboard.panels.flatMap((panel) => (panel.type === 'row' ? panel.panels : [panel]));
}

/** Every SQL text with what it belongs to. */
export function sqlTexts(dashboard) {
  const ofPanels = panels(dashboard).flatMap((panel) =>
    panel.targets
      .filter((target) => target.rawSql)
      .map((target) => ({ panel: panel.title, ref: target.refId, sql: target.rawSql, format: target.format, source: panel })),
  );
  const ofAnnotations = dashboard.annotations.list
    .filter((one) => one.target?.rawSql)
    .map((one) => ({ panel: `annotation: ${one.name}`, ref: one.target.refId, sql: one.target.rawSql, format: 'table' }));
  const ofVariables = dashboard.templating.list
    .filter((one) => one.type === 'query' && typeof one.query === 'string')
    .map((one) => ({ panel: `variable: ${one.name}`, ref: one.name, sql: one.query, format: 'table' }));
  return [...ofPanels, ...ofAnnotations, ...ofVariables];
}

/** Every PromQL expression with what it belongs to. */
export function expressions(dashboard) {
  return panels(dashboard).flatMap((panel) =>
    panel.targets.filter((target) => target.expr).map((target) => ({ panel: panel.title, ref: target.refId, expr: target.expr })),
  );
}

/** Every string in a value, with its path. */
export function* strings(value, path = '') {
  if (typeof value === 'string') yield [path, value];
  else if (value && typeof value === 'object')
    for (const [key, inner] of Object.entries(value)) yield* strings(inner, path ? `${path}.${key}` : key);
}

/** The names of variables in a text, with the format that each is put in by. */
export function usedVariables(text) {
  return [...text.matchAll(/\$\{(\w+)[^}:]*(?::(\w+))?\}|\$(\w+)/g)].map(([whole, braced, format, bare]) => ({
    whole,
    name: braced ?? bare,
    format,
  }));
}
