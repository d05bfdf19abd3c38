// Holds queries.mjs to what Grafana makes of macros and variables.

import { chooseInterval, expand } from '../generator/expand.mjs';

const from = Date.parse('2026-11-21T17:00:00Z');
const to = Date.parse('2026-11-21T18:00:00.25Z');
const values = new Map([
  ['service', ['payment', "o'clock"]],
  ['rollout', 'r-1'],
]);
const panel = { interval: '10s' };

const EXPANSIONS = [
  ['$__timeFilter(r.time)', "r.time BETWEEN '2026-11-21T17:00:00Z' AND '2026-11-21T18:00:00.25Z'"],
  ["$__timeGroup(time, '1m') AS time", 'floor(extract(epoch from time)/60)*60 AS time'],
  ['$__timeGroup(time,$__interval), x', 'floor(extract(epoch from time)/10)*10 AS "time", x'],
  ['a IN (${service:sqlstring}) AND b IN (${rollout:sqlstring})', "a IN ('payment','o''clock') AND b IN ('r-1')"],
  ['sum(n) / ($__interval_ms / 1000.0)', 'sum(n) / (10000 / 1000.0)'],
  ['${__to} - ${__from}', `${to} - ${from}`],
  ['${unknown:sqlstring}', '${unknown:sqlstring}'],
];
const INTERVALS = [
  [3_600_000, '10s', 10_000],
  [86_400_000, '10s', 60_000],
  [604_800_000, '1h', 3_600_000],
];

export function expansion() {
  const wrong = EXPANSIONS.map(([text, expected]) => [text, expand(text, { from, to, values, panel }), expected]).concat(
    INTERVALS.map(([range, least, expected]) => [`interval of ${range} ms`, chooseInterval(0, range, undefined, least), expected]),
  );
  return wrong
    .filter(([, found, expected]) => found !== expected)
    .map(([text, found, expected]) => `expansion: ${text} becomes ${found}, not ${expected}`);
}
