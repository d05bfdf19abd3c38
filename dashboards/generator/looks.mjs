// Colours, units and value mappings: one meaning has one colour on all dashboards.

export const CANARY = '#F2CC0C';
export const BASELINE = '#5794F2';
export const GOOD = 'green';
export const WARN = 'orange';
export const BAD = 'red';
export const NEUTRAL = 'blue';
export const QUIET = '#8E8E8E';

/** Steps from [value, colour] pairs; the first value is null: from minus infinity. */
export function steps(...pairs) {
  return { mode: 'absolute', steps: pairs.map(([value, color]) => ({ value, color })) };
}

/** Good below `warn`, bad from `bad` on. */
export const badAbove = (warn, bad) => steps([null, GOOD], [warn, WARN], [bad, BAD]);
/** Bad below `warn`, good from `good` on. */
export const badBelow = (warn, good) => steps([null, BAD], [warn, WARN], [good, GOOD]);
/** No value is bad: one colour. */
export const plain = (color = NEUTRAL) => steps([null, color]);

function words(...entries) {
  const options = Object.fromEntries(entries.map(([value, text, color], index) => [String(value), { text, color, index }]));
  return { type: 'value', options };
}

function nothing(text) {
  return { type: 'special', options: { match: 'null+nan', result: { text, color: QUIET, index: 99 } } };
}

/** A verdict's decision, and the state of a rollout that has ended. */
export const DECISIONS = [
  words(
    ['promote', 'promote', GOOD],
    ['rollback', 'rollback', BAD],
    ['continue', 'continue', NEUTRAL],
    ['inconclusive', 'inconclusive', WARN],
    ['promoted', 'promoted', GOOD],
    ['rolled_back', 'rolled back', BAD],
    ['cancelled', 'cancelled', QUIET],
    ['expired', 'expired', WARN],
    ['pending', 'pending', QUIET],
    ['running', 'running', NEUTRAL],
    ['', 'no verdict yet', QUIET],
  ),
  nothing('no rollout'),
];

/** The same in capitals, for the large panel. */
export const DECISIONS_LARGE = DECISIONS.map((mapping) => ({
  ...mapping,
  options:
    mapping.type === 'value'
      ? Object.fromEntries(Object.entries(mapping.options).map(([value, to]) => [value, { ...to, text: to.text.toUpperCase() }]))
      : mapping.options,
}));

/** Numbers that stand for decisions in state timelines: a time series from SQL cannot hold text. */
export const DECISION_CODES = [words([1, 'promote', GOOD], [2, 'continue', NEUTRAL], [3, 'inconclusive', WARN], [4, 'rollback', BAD])];
export const DECISION_CODE =
  "CASE decision WHEN 'promote' THEN 1 WHEN 'continue' THEN 2 WHEN 'inconclusive' THEN 3 WHEN 'rollback' THEN 4 END";

/** What came of a check. */
export const OUTCOMES = [
  words(
    ['not_worse', 'not worse', GOOD],
    ['undecided', 'undecided', NEUTRAL],
    ['no_data', 'no data', QUIET],
    ['regressed', 'regressed', BAD],
  ),
];
export const OUTCOME_CODES = [words([1, 'not worse', GOOD], [2, 'undecided', NEUTRAL], [3, 'no data', QUIET], [4, 'regressed', BAD])];
export const OUTCOME_CODE =
  "CASE outcome WHEN 'not_worse' THEN 1 WHEN 'undecided' THEN 2 WHEN 'no_data' THEN 3 WHEN 'regressed' THEN 4 END";

/** Where a notification stands. */
export const DELIVERIES = [words(['delivered', 'delivered', GOOD], ['due', 'due', NEUTRAL], ['dead', 'given up', BAD])];

/** A span's status. */
export const STATUSES = [words(['ERROR', 'ERROR', BAD], ['OK', 'OK', GOOD], ['UNSET', 'UNSET', QUIET])];

/** Whether a request failed. */
export const RESULTS = [words(['failed', 'failed', BAD], ['ok', 'ok', QUIET])];

/** Kinds of what the canary does differently. */
export const CHANGES = [
  words(
    ['new_call', 'new call', WARN],
    ['missing_call', 'missing call', WARN],
    ['more_calls', 'more calls', NEUTRAL],
    ['fewer_calls', 'fewer calls', NEUTRAL],
    ['failing_calls', 'failing calls', BAD],
  ),
];
