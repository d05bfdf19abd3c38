// Prints every SQL query of every panel, annotation and variable as it reaches PostgreSQL, one JSON object a line.
// With --prometheus: the expressions of haldane-server instead, as they stand.

import { parseArgs } from 'node:util';

import { FOLDER } from './generate.mjs';
import { expand, parseInterval } from './generator/expand.mjs';
import { expressions, readDashboards, sqlTexts, usedVariables } from './generator/walk.mjs';

const USAGE = `usage: node queries.mjs --from RFC3339 --to RFC3339 [--var NAME=VALUE …] [--interval 10s] [--dashboard UID …]
       node queries.mjs --prometheus [--dashboard UID …]

  --var        a variable's value; given again, the variable has several; empty ones may be left out for text boxes and choices
  --interval   in place of what Grafana would choose for the time range
  prints {"dashboard", "panel", "ref", "sql", "format"}, with --prometheus {"dashboard", "panel", "ref", "expr"}`;

class UsageError extends Error {}

function time(name, text) {
  const ms = Date.parse(text ?? '');
  if (Number.isNaN(ms)) throw new UsageError(`--${name}: ${text ?? 'nothing'} is no time like 2026-11-21T17:00:00Z`);
  return ms;
}

function given(pairs) {
  const values = new Map();
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw new UsageError(`--var ${pair}: write NAME=VALUE`);
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    values.set(name, values.has(name) ? [values.get(name), value].flat() : value);
  }
  return values;
}

/** What the dashboard's variables are: what was given, else what the file chooses. */
function valuesOf(dashboard, values) {
  const all = new Map();
  for (const { name, type, current } of dashboard.templating.list) {
    if (values.has(name)) all.set(name, values.get(name));
    else if (type !== 'query' && current) all.set(name, current.value);
  }
  return all;
}

function* queries(dashboard, { from, to, values, interval }) {
  const known = valuesOf(dashboard, values);
  for (const { panel, ref, sql, format, source } of sqlTexts(dashboard)) {
    const missing = usedVariables(sql).find(({ name }) => !name.startsWith('__') && !known.has(name));
    if (missing) throw new UsageError(`${dashboard.uid}, ${panel}: ${missing.name} has no value; say --var ${missing.name}=…`);
    yield { dashboard: dashboard.uid, panel, ref, sql: expand(sql, { from, to, values: known, interval, panel: source }), format };
  }
}

function* run(args) {
  const { values: flags } = parseArgs({
    args,
    options: {
      from: { type: 'string' },
      to: { type: 'string' },
      var: { type: 'string', multiple: true, default: [] },
      interval: { type: 'string' },
      dashboard: { type: 'string', multiple: true },
      prometheus: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (flags.help) return console.log(USAGE);
  const dashboards = [...readDashboards(FOLDER).values()].filter(({ uid }) => !flags.dashboard || flags.dashboard.includes(uid));
  if (flags.prometheus) {
    for (const one of dashboards) for (const found of expressions(one)) yield { dashboard: one.uid, ...found };
    return;
  }
  const [from, to] = [time('from', flags.from), time('to', flags.to)];
  if (from >= to) throw new UsageError('--from: has to be before --to');
  const asked = { from, to, values: given(flags.var), interval: flags.interval && parseInterval(flags.interval) };
  for (const one of dashboards) yield* queries(one, asked);
}

try {
  for (const line of run(process.argv.slice(2))) console.log(JSON.stringify(line));
} catch (error) {
  if (!(error instanceof UsageError) && !error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
  console.error(`queries.mjs: ${error.message}\n${USAGE}`);
  process.exitCode = 2;
}
