// The relative difference of the canary, with its interval as a band, a zero line and the tolerance.

import { BAD, CANARY, GOOD, QUIET, badAbove, steps } from './looks.mjs';
import { series, timeseries } from './model.mjs';
import { list, sql, theRollout } from './sql.mjs';

// Where the interval has no upper end, the band is drawn to ten times as much, or beyond the estimate.
const UPPER = 'coalesce(high - 1, CASE WHEN estimate IS NOT NULL THEN greatest(10.0, 2 * estimate) END)';

const LOOK = {
  unit: 'percentunit',
  // Linear within 10 %, logarithmic beyond: a factor of twenty and the tolerance can both be read.
  custom: { spanNulls: true, axisLabel: 'canary against baseline', scaleDistribution: { type: 'symlog', log: 10, linearThreshold: 0.1 } },
  overrides: [
    series('at most', { color: CANARY, lineWidth: 0, fillBelowTo: 'at least', fillOpacity: 25, showPoints: 'never' }),
    series('at least', { color: CANARY, lineWidth: 0, showPoints: 'never' }),
    series('estimate', { color: CANARY, lineWidth: 2 }),
    series('tolerance', { color: BAD, lineWidth: 2, lineStyle: { fill: 'dash', dash: [10, 6] }, showPoints: 'never' }),
    series('no difference', { color: QUIET, lineWidth: 1, showPoints: 'never' }),
  ],
};

function query(check) {
  return sql`
    SELECT time, ${UPPER} AS "at most", low - 1 AS "at least", estimate - 1 AS estimate, tolerance, 0.0 AS "no difference"
    FROM haldane.checks
    WHERE ${theRollout()} AND name IN (${check}) AND $__timeFilter(time)
    ORDER BY time`;
}

const BAD_BAND =
  'Bad: the whole band above the red tolerance line. Good: the whole band below it. In between it is undecided, and narrows with more requests. ' +
  'Where nothing bounds it yet, the band ends at + 1000 %.';

/** One check; `tolerance` is the default that colours the legend, the line is the policy's own. */
export function difference(check, title, tolerance) {
  return timeseries({
    title: `${title}: difference`,
    description: `How much worse the canary is, relative to the baseline, with the interval of the verdicts. ${BAD_BAND}`,
    w: 12,
    h: 8,
    ...LOOK,
    thresholds: steps([null, GOOD], [tolerance, BAD]),
    sql: query(`'${check}'`),
  });
}

/** Every check that is chosen, a panel each. */
export function differences() {
  return timeseries({
    title: '${check}: difference',
    description: `How much the canary differs, relative to the baseline, with the interval of the verdicts. ${BAD_BAND} For a share of traffic, worse is less.`,
    w: 12,
    h: 8,
    ...LOOK,
    thresholds: badAbove(0.1, 0.25),
    repeat: 'check',
    repeatDirection: 'h',
    maxPerRow: 2,
    sql: query(list('check')),
  });
}
