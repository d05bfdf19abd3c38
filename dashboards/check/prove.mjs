// Breaks the dashboards in memory, each way once, and looks that the check it is meant for says so.

import { current, provisioned } from './current.mjs';
import { RULES } from './rules.mjs';
import { types } from './types.mjs';

const first = (dashboards, uid, type) => dashboards.get(`${uid}.json`).panels.find((panel) => panel.type === type);
const canary = (dashboards) => dashboards.get('haldane-canary.json');

/** [check, how it is broken, what has to be said] */
const BREAKS = [
  ['uids', (all) => (canary(all).uid = 'haldane-fleet'), /is the uid of .* too/],
  ['uids', (all) => all.delete('haldane-server.json'), /no dashboard has haldane-server/],
  ['head', (all) => (canary(all).schemaVersion = 39), /schemaVersion is 39/],
  ['head', (all) => canary(all).templating.list.reverse(), /first variable/],
  ['head', (all) => (canary(all).tags = []), /tag haldane/],
  ['ids', (all) => (canary(all).panels[1].id = 1), /two panels have the id 1/],
  ['ids', (all) => (canary(all).panels[1].title = canary(all).panels[0].title), /two panels have the title/],
  ['grid', (all) => (canary(all).panels[1].gridPos.x = 5), /overlap/],
  ['grid', (all) => (canary(all).panels[2].gridPos.w = 7), /beyond the grid/],
  ['grid', (all) => (canary(all).panels.find((one) => one.panels?.length).panels[0].gridPos.w = 13), /overlap/],
  ['variables', (all) => (canary(all).panels[0].title = 'of ${servcie}'), /\$\{servcie\} is not defined/],
  ['variables', (all) => canary(all).templating.list.push(canary(all).templating.list.splice(1, 1)[0]), /comes after it/],
  ['variables', (all) => (canary(all).panels[0].repeat = 'nothing'), /repeated by nothing/],
  [
    'links',
    (all) => (first(all, 'haldane-canary', 'stat').fieldConfig.defaults.links[0].url = '/d/haldane-canry'),
    /no dashboard haldane-canry/,
  ],
  ['links', (all) => (first(all, 'haldane-canary', 'stat').fieldConfig.defaults.links[0].url += '&var-cluster=a'), /no variable cluster/],
  [
    'linkedColumns',
    (all) => (first(all, 'haldane-fleet', 'table').targets[0].rawSql = 'SELECT service FROM haldane.services'),
    /a link reads rollout/,
  ],
  ['words', (all) => (canary(all).panels[0].title = ''), /has no title/],
  ['words', (all) => (canary(all).panels[0].description = 'The decision.'), /does not say what is bad/],
  ['words', (all) => delete canary(all).panels[0].fieldConfig.defaults.unit, /has no unit/],
  ['words', (all) => delete canary(all).panels[0].fieldConfig.defaults.thresholds, /has no thresholds/],
  [
    'words',
    (all) =>
      (first(all, 'haldane-canary', 'bargauge').fieldConfig = { defaults: { unit: 's', thresholds: { steps: [{}] } }, overrides: [] }),
    /neither thresholds nor colours/,
  ],
  [
    'sql',
    (all) => (canary(all).panels[0].targets[0].rawSql = "SELECT decision FROM haldane.rollouts WHERE id = '$rollout'"),
    /\$rollout is not quoted/,
  ],
  ['sql', (all) => (canary(all).panels[0].targets[0].rawSql = 'SELECT decision FROM rollouts'), /rollouts is no view/],
  ['sql', (all) => (canary(all).panels[0].targets[0].rawSql = 'SELECT 1 FROM haldane.red CROSS JOIN haldane.spans'), /without an equality/],
  [
    'sql',
    (all) => (first(all, 'haldane-canary', 'timeseries').targets[0].rawSql = 'SELECT time, estimate FROM haldane.checks'),
    /ordered by its time/,
  ],
  [
    'sql',
    (all) => (first(all, 'haldane-canary', 'timeseries').targets[0].rawSql = 'SELECT estimate FROM haldane.checks ORDER BY 1'),
    /needs a column time/,
  ],
  [
    'overrides',
    (all) => canary(all).panels[1].fieldConfig.overrides[0].properties.push({ id: 'custom.widht', value: 9 }),
    /custom.widht is no property/,
  ],
];

/** Ways to break a type; all are told in one run of tsc, which takes seconds. */
const TYPE_BREAKS = [
  ['haldane-canary', (one) => (one.panels[0].options.colorMod = 'value'), /panel "Decision".*colorMod/],
  [
    'haldane-fleet',
    (one) => (one.panels.find((panel) => panel.type === 'timeseries').fieldConfig.defaults.custom.drawStyle = 'lines'),
    /"lines"/,
  ],
  ['haldane-verdict', (one) => (one.templating.list[1].refresh = 7), /variable environment/],
  ['haldane-service', (one) => (one.annotations.list[1].colour = 'red'), /annotation "Deployments"/],
  ['haldane-explore', (one) => delete one.schemaVersion, /its own fields.*schemaVersion/],
];

/** What was broken and not noticed. */
export function prove(dashboards, expected) {
  const missed = [];
  for (const [index, [name, break_, message]] of BREAKS.entries()) {
    const broken = structuredClone(dashboards);
    break_(broken);
    if (!RULES[name](broken).some((problem) => message.test(problem)))
      missed.push(`prove: ${name}, break ${index + 1}: nothing like ${message} is said`);
  }
  const broken = structuredClone(dashboards);
  for (const [uid, break_] of TYPE_BREAKS) break_(broken.get(`${uid}.json`));
  const told = types(broken);
  for (const [uid, , message] of TYPE_BREAKS) {
    if (!told.some((problem) => problem.includes(uid) && message.test(problem)))
      missed.push(`prove: types, ${uid}: nothing like ${message} is said`);
  }
  const edited = new Map(expected).set('haldane-canary.json', expected.get('haldane-canary.json') + ' ').set('haldane-more.json', '{}');
  edited.delete('haldane-fleet.json');
  const differences = current(edited, expected).join('\n');
  for (const message of [/canary.json is not what/, /more.json is not written/, /fleet.json is missing/]) {
    if (!message.test(differences)) missed.push(`prove: current: nothing like ${message} is said`);
  }
  if (!provisioned(dashboards, 'uid: haldane').length) missed.push('prove: provisioning: nothing is said of a missing data source');
  return { missed, breaks: BREAKS.length + TYPE_BREAKS.length + 4 };
}
