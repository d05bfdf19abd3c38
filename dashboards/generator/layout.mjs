// Dashboards in Grafana's classic JSON: what is around the panels, and where each of them stands.

const GRID_WIDTH = 24;

/** A row of panels under a title. A collapsed one asks nothing until it is opened. */
export const row = (title, panels, collapsed = false) => ({ title, panels, collapsed });

/** Lays panels out from left to right and from top to bottom; returns the first line below them. */
function place(panels, top) {
  let [x, y, height] = [0, top, 0];
  for (const { gridPos } of panels) {
    if (x + gridPos.w > GRID_WIDTH) [x, y, height] = [0, y + height, 0];
    gridPos.x = x;
    gridPos.y = y;
    x += gridPos.w;
    height = Math.max(height, gridPos.h);
  }
  return y + height;
}

function layOut(rows) {
  const placed = [];
  let y = 0;
  for (const { title, panels, collapsed } of rows) {
    if (title) {
      placed.push({ type: 'row', title, collapsed, gridPos: { w: GRID_WIDTH, h: 1, x: 0, y }, panels: collapsed ? panels : [] });
      y += 1;
    }
    const below = place(panels, y);
    if (!collapsed) placed.push(...panels);
    y = collapsed ? y : below;
  }
  let id = 0;
  for (const one of placed) {
    one.id = ++id;
    for (const inner of one.panels ?? []) inner.id = ++id;
  }
  return placed;
}

const BUILT_IN_ANNOTATION = {
  builtIn: 1,
  datasource: { type: 'grafana', uid: '-- Grafana --' },
  enable: true,
  hide: true,
  iconColor: 'rgba(0, 211, 255, 1)',
  name: 'Annotations & Alerts',
  type: 'dashboard',
};

const NAVIGATION = {
  type: 'dashboards',
  title: 'Haldane',
  tags: ['haldane'],
  asDropdown: false,
  icon: 'external link',
  includeVars: true,
  keepTime: true,
  targetBlank: false,
  tooltip: '',
  url: '',
};

export function dashboard({ uid, title, description, from, refresh, variables, annotations = [], rows }) {
  return {
    uid,
    title,
    description,
    tags: ['haldane'],
    schemaVersion: 42,
    version: 1,
    editable: true,
    graphTooltip: 1,
    timezone: 'browser',
    time: { from, to: 'now' },
    timepicker: { refresh_intervals: ['10s', '30s', '1m', '5m', '15m', '1h'] },
    refresh,
    links: [NAVIGATION],
    annotations: { list: [BUILT_IN_ANNOTATION, ...annotations] },
    templating: { list: variables },
    panels: layOut(rows),
  };
}
