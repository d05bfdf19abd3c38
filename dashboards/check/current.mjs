// Compares the files in grafana/ with what generate.mjs would write, and the data sources with what the dashboards ask for.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** `found` and `expected` hold texts by file name. */
export function current(found, expected) {
  const problems = [];
  for (const [name, text] of expected) {
    if (!found.has(name)) problems.push(`current: grafana/${name} is missing: run node generate.mjs`);
    else if (found.get(name) !== text)
      problems.push(`current: grafana/${name} is not what generate.mjs writes: change generator/*.mjs and run it, never edit the file`);
  }
  for (const name of found.keys())
    if (!expected.has(name)) problems.push(`current: grafana/${name} is not written by generate.mjs: take it away`);
  return problems;
}

export function readTexts(folder) {
  return new Map(
    readdirSync(folder)
      .sort()
      .map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  );
}

/** The data sources that the dashboards choose at first are provisioned. */
export function provisioned(dashboards, yaml) {
  const uids = new Set([...yaml.matchAll(/^\s*uid:\s*(\S+)\s*$/gm)].map(([, uid]) => uid));
  const wanted = [...dashboards].map(([file, one]) => [file, one.templating.list[0]?.current?.value]);
  return wanted
    .filter(([, uid]) => !uids.has(uid))
    .map(([file, uid]) => `provisioning: ${file} asks for the data source ${uid}, which datasources/haldane.yaml does not have`);
}
