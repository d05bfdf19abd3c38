// Checks the dashboards: node check.mjs; exits with 1 and says what is wrong. `--prove` breaks them first, to see that each check can fail.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { current, provisioned, readTexts } from './check/current.mjs';
import { expansion } from './check/expansion.mjs';
import { prove } from './check/prove.mjs';
import { RULES } from './check/rules.mjs';
import { types } from './check/types.mjs';
import { FOLDER, files } from './generate.mjs';
import { readDashboards } from './generator/walk.mjs';

const expected = files();
const dashboards = readDashboards(FOLDER);
const yaml = readFileSync(join(FOLDER, '..', 'provisioning', 'datasources', 'haldane.yaml'), 'utf8');

const problems = [
  ...current(readTexts(FOLDER), expected),
  ...Object.values(RULES).flatMap((rule) => rule(dashboards)),
  ...types(dashboards),
  ...provisioned(dashboards, yaml),
  ...expansion(),
];
if (process.argv.includes('--prove') && !problems.length) {
  const { missed, breaks } = prove(dashboards, expected);
  problems.push(...missed);
  console.log(`${breaks} ways to break the dashboards, ${missed.length} not noticed`);
}

for (const problem of problems) console.error(problem);
console.log(`${dashboards.size} dashboards, ${problems.length} problems`);
process.exitCode = problems.length ? 1 : 0;
