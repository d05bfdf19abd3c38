// Type-checks the dashboards against @grafana/schema with tsc.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const MODULES = join(HERE, '..', 'node_modules');
const TSC = join(MODULES, 'typescript', 'bin', 'tsc');

/** One constant for each part, so that a mistake is told of the part that has it. */
function parts(dashboard) {
  const { panels, templating, annotations, ...frame } = dashboard;
  const rows = panels.filter((one) => one.type === 'row');
  const inner = panels.flatMap((one) => (one.type === 'row' ? one.panels : [one]));
  return [
    ['Frame', 'its own fields', frame],
    ...rows.map((one) => ['Row', `row "${one.title}"`, { ...one, panels: [] }]),
    ...inner.map((one) => ['AnyPanel', `panel "${one.title}"`, one]),
    ...templating.list.map((one) => ['Variable', `variable ${one.name}`, one]),
    ...annotations.list.map((one) => ['Annotation', `annotation "${one.name}"`, one]),
  ];
}

/** A program for tsc, and which part begins on which line. */
function program(dashboard) {
  const starts = [];
  let text = "import type { Annotation, AnyPanel, Frame, Row, Variable } from '../../check/wire';\n";
  for (const [type, name, value] of parts(dashboard)) {
    starts.push([text.split('\n').length, name]);
    text += `export const part${starts.length}: ${type} = ${JSON.stringify(value, null, 1)};\n`;
  }
  return { text, nameAt: (line) => starts.findLast(([first]) => first <= line)?.[1] ?? 'the file' };
}

function run(folder, files) {
  const flags = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler'];
  try {
    execFileSync(process.execPath, [TSC, ...flags, '--pretty', 'false', ...files], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return '';
  } catch (error) {
    if (!error.stdout) throw error;
    return error.stdout;
  }
}

export function types(dashboards) {
  if (!existsSync(TSC) || !existsSync(join(MODULES, '@grafana', 'schema'))) {
    return ['types: @grafana/schema and typescript are missing: run `npm ci` in dashboards/'];
  }
  const folder = join(MODULES, '.haldane-check'); // beside the schema, so that imports find it
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const programs = new Map();
  for (const [name, dashboard] of dashboards) {
    const file = name.replace(/json$/, 'ts');
    programs.set(file, program(dashboard));
    writeFileSync(join(folder, file), programs.get(file).text);
  }
  const problems = [];
  for (const line of run(folder, [...programs.keys()])
    .split('\n')
    .filter(Boolean)) {
    const found = /^(\S+\.ts)\((\d+),\d+\): error \w+: (.*)$/.exec(line);
    const source = found && programs.get(found[1]);
    if (source) problems.push(`types: ${found[1].replace(/ts$/, 'json')}, ${source.nameAt(Number(found[2]))}: ${found[3]}`);
    else if (problems.length && line.startsWith(' ')) problems.push(problems.pop() + '\n   ' + line);
    else problems.push(`types: ${line}`);
  }
  rmSync(folder, { recursive: true, force: true });
  return problems;
}
