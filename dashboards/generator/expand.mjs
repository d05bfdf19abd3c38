// Expands a query as Grafana does before it goes to PostgreSQL: first variables, in the browser, then macros, in the data source.

const LADDER = [
  [10, 1],
  [15, 10],
  [35, 20],
  [75, 50],
  [150, 100],
  [350, 200],
  [750, 500],
  [1500, 1000],
  [3500, 2000],
  [7500, 5000],
  [12500, 10000],
  [17500, 15000],
  [25000, 20000],
  [45000, 30000],
  [90000, 60000],
  [210000, 120000],
  [450000, 300000],
  [750000, 600000],
  [1050000, 900000],
  [1500000, 1200000],
  [2700000, 1800000],
  [5400000, 3600000],
  [9000000, 7200000],
  [16200000, 10800000],
  [32400000, 21600000],
  [86400000, 43200000],
  [604800000, 86400000],
  [1814400000, 604800000],
  [3628800000, 2592000000],
];
const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, y: 31_536_000_000 };
const POINTS = 1000; // about as many as a panel of the full width is pixels wide

/** `10s`, `1m`, `250ms` as milliseconds. */
export function parseInterval(text) {
  const found = /^(\d+)(ms|s|m|h|d|w|y)$/.exec(text);
  if (!found) throw new Error(`${text} is no interval: write 10s, 1m or 1h`);
  return Number(found[1]) * UNITS[found[2]];
}

function formatInterval(ms) {
  const [name, size] = Object.entries(UNITS)
    .filter(([name]) => name !== 'w')
    .findLast(([, size]) => ms % size === 0);
  return `${ms / size}${name}`;
}

/** The interval that Grafana chooses for a time range and a panel's points and least interval. */
export function chooseInterval(from, to, points = POINTS, least = '1ms') {
  const exact = (to - from) / points;
  const rounded = LADDER.find(([below]) => exact < below)?.[1] ?? UNITS.y;
  return Math.max(rounded, parseInterval(least));
}

const quoted = (value) => `'${String(value).replaceAll("'", "''")}'`;
const FORMATS = {
  sqlstring: (value) => [value].flat().map(quoted).join(','),
  queryparam: (value, name) =>
    [value]
      .flat()
      .map((one) => `var-${name}=${encodeURIComponent(one)}`)
      .join('&'),
  raw: (value) => [value].flat().join(','),
  regex: (value) =>
    [value]
      .flat()
      .map((one) => one.replace(/[\\^$*+?.()|[\]{}/]/g, '\\$&'))
      .join('|'),
};

/** Variables; what is not known stays as it is. */
export function expandVariables(text, values) {
  return text.replace(/\$\{(\w+)(?::(\w+))?\}|\$(\w+)/g, (whole, braced, format, bare) => {
    const name = braced ?? bare;
    if (!values.has(name)) return whole;
    const expand = FORMATS[format ?? 'raw'];
    if (!expand) throw new Error(`${whole}: the format ${format} is not known here`);
    return expand(values.get(name), name);
  });
}

// Go's RFC3339Nano leaves trailing zeroes out.
const timestamp = (ms) => new Date(ms).toISOString().replace(/\.?0*Z$/, 'Z');

/** The data source's macros. */
export function expandMacros(text, from, to) {
  return text.replace(/\$(__[_a-zA-Z0-9]+)\(([^)]*)\)/g, (whole, name, list, at) => {
    const args = list.split(',').map((arg) => arg.trim());
    const group = () => {
      const seconds = parseInterval(args[1].replaceAll("'", '')) / 1000;
      return `floor(extract(epoch from ${args[0]})/${seconds})*${seconds}`;
    };
    switch (name) {
      case '__timeFilter':
        return `${args[0]} BETWEEN '${timestamp(from)}' AND '${timestamp(to)}'`;
      case '__timeFrom':
        return `'${timestamp(from)}'`;
      case '__timeTo':
        return `'${timestamp(to)}'`;
      case '__timeGroup':
        // A comma right behind it makes Grafana name the column.
        return text[at + whole.length] === ',' ? `${group()} AS "time"` : group();
      case '__timeGroupAlias':
        return `${group()} AS "time"`;
      default:
        throw new Error(`${name}: this macro is not known here`);
    }
  });
}

/** A query as it reaches PostgreSQL. `values` has the dashboard's variables; `panel` may have points and a least interval. */
export function expand(text, { from, to, values, interval, panel = {} }) {
  const ms = interval ?? chooseInterval(from, to, panel.maxDataPoints, panel.interval);
  const all = new Map(
    [...values, ['__interval', formatInterval(ms)], ['__interval_ms', ms], ['__from', from], ['__to', to]].map(([name, value]) => [
      name,
      value,
    ]),
  );
  return expandMacros(expandVariables(text, all), from, to);
}
