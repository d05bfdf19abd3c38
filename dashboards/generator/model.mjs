// Panels in Grafana's classic JSON. Every builder takes a specification in our words and fills in the rest.

import { BASELINE, CANARY, plain } from './looks.mjs';

export const SQL_SOURCE = { type: 'grafana-postgresql-datasource', uid: '${datasource}' };
export const PROMETHEUS_SOURCE = { type: 'prometheus', uid: '${datasource}' };

// Options are written as Grafana 10 reads them; later versions migrate from there.
const PLUGIN_VERSION = '10.0.0';

function refIds(index) {
  return String.fromCharCode('A'.charCodeAt(0) + index);
}

function sqlTarget(rawSql, format, refId) {
  return { refId, datasource: SQL_SOURCE, format, rawQuery: true, editorMode: 'code', rawSql };
}

/** A PromQL expression with its legend; `instant` for tables and single values. */
export const metric = (expr, legendFormat, instant = false) => ({ expr, legendFormat, instant });

function prometheusTarget({ expr, legendFormat, instant }, refId) {
  const when = instant ? { instant: true, range: false } : { instant: false, range: true };
  return { refId, datasource: PROMETHEUS_SOURCE, editorMode: 'code', expr, legendFormat: legendFormat ?? '__auto', ...when };
}

function targets(spec, format) {
  if (spec.metrics) return spec.metrics.map((one, index) => prometheusTarget(one, refIds(index)));
  return [spec.sql].flat().map((one, index) => sqlTarget(one, format, refIds(index)));
}

function panel(type, spec, { format, custom, color, options }) {
  const defaults = {
    unit: spec.unit,
    color: color ?? { mode: 'thresholds' },
    thresholds: spec.thresholds ?? plain(),
    mappings: spec.mappings ?? [],
  };
  for (const name of ['decimals', 'min', 'max', 'noValue', 'links']) if (spec[name] !== undefined) defaults[name] = spec[name];
  if (custom) defaults.custom = { ...custom, ...spec.custom };
  const built = {
    type,
    title: spec.title,
    description: spec.description,
    pluginVersion: PLUGIN_VERSION,
    gridPos: { w: spec.w, h: spec.h },
    datasource: spec.metrics ? PROMETHEUS_SOURCE : SQL_SOURCE,
    targets: targets(spec, format),
    fieldConfig: { defaults, overrides: spec.overrides ?? [] },
    options: { ...options, ...spec.options },
  };
  for (const name of ['interval', 'maxDataPoints', 'repeat', 'repeatDirection', 'maxPerRow'])
    if (spec[name] !== undefined) built[name] = spec[name];
  return built;
}

const LEGEND = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] };

/** Lines, bars or points over time. */
export function timeseries(spec) {
  return panel(
    'timeseries',
    { interval: '10s', ...spec },
    {
      format: 'time_series',
      color: { mode: 'palette-classic' },
      custom: { drawStyle: 'line', lineWidth: 1, fillOpacity: 0, showPoints: 'auto', pointSize: 4, spanNulls: false },
      options: { legend: LEGEND, tooltip: { mode: 'multi', sort: 'desc' } },
    },
  );
}

/** Numbers that are codes, over time, as coloured bars. */
export function stateTimeline(spec) {
  return panel('state-timeline', spec, {
    format: 'time_series',
    custom: { fillOpacity: 80, lineWidth: 0, spanNulls: true },
    options: {
      legend: { ...LEGEND },
      tooltip: { mode: 'single', sort: 'none' },
      mergeValues: true,
      rowHeight: 0.85,
      showValue: 'auto',
      alignValue: 'left',
    },
  });
}

/** One value, or a few, in large letters. `fields` names the column to show; all numbers are shown without it. */
export function stat(spec) {
  return panel('stat', spec, {
    format: 'table',
    options: {
      colorMode: 'value',
      graphMode: 'none',
      justifyMode: 'auto',
      orientation: 'auto',
      percentChangeColorMode: 'standard',
      showPercentChange: false,
      textMode: 'auto',
      wideLayout: true,
      reduceOptions: { calcs: ['lastNotNull'], fields: spec.fields ?? '', values: false },
    },
  });
}

/** Bars from nothing to all. */
export function barGauge(spec) {
  return panel('bargauge', spec, {
    format: 'table',
    options: {
      displayMode: 'basic',
      legend: { ...LEGEND, showLegend: false },
      maxVizHeight: 300,
      minVizHeight: 16,
      minVizWidth: 8,
      namePlacement: 'auto',
      orientation: 'horizontal',
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      showUnfilled: true,
      sizing: 'auto',
      valueMode: 'color',
    },
  });
}

/** Rows. Columns are shown as they are unless `column` says otherwise. */
export function table(spec) {
  return panel(
    'table',
    { unit: 'string', ...spec },
    {
      format: 'table',
      custom: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false, filterable: true },
      options: { cellHeight: 'sm', frameIndex: 0, showHeader: true, sortBy: [] },
    },
  );
}

/** How one table column, or one series, is shown. */
export function column(name, { unit, width, decimals, thresholds, mappings, cell, links, hidden, wrap, ...custom }) {
  const properties = [];
  const set = (id, value) => value !== undefined && properties.push({ id, value });
  set('unit', unit);
  set('decimals', decimals);
  set('thresholds', thresholds);
  set('mappings', mappings);
  set('links', links);
  set('custom.width', width);
  const type = cell ?? (thresholds || mappings ? 'color-text' : undefined);
  if (type || wrap) set('custom.cellOptions', { type: type ?? 'auto', ...(wrap && { wrapText: true }) });
  if (wrap) set('custom.wrapText', true);
  if (hidden) {
    set('custom.hidden', true); // Grafana 10 to 12
    set('custom.hideFrom', { legend: true, tooltip: true, viz: true }); // 13
  }
  for (const [id, value] of Object.entries(custom)) set(`custom.${id}`, value);
  return { matcher: { id: 'byName', options: name }, properties };
}

/** Columns that links need and nobody reads. */
export const hide = (...names) => names.map((name) => column(name, { hidden: true }));

/** How one series is drawn. */
export function series(name, { color, unit, ...custom }) {
  const properties = [{ id: 'color', value: { mode: 'fixed', fixedColor: color } }];
  if (unit) properties.push({ id: 'unit', value: unit });
  for (const [id, value] of Object.entries(custom)) properties.push({ id: `custom.${id}`, value });
  return { matcher: { id: 'byName', options: name }, properties };
}

/** The two cohorts of a rollout. */
export const bothCohorts = [series('canary', { color: CANARY, lineWidth: 2 }), series('baseline', { color: BASELINE, lineWidth: 2 })];

/** Series whose names match are drawn in one colour. */
export const coloured = (pattern, color) => ({
  matcher: { id: 'byRegexp', options: pattern },
  properties: [{ id: 'color', value: { mode: 'fixed', fixedColor: color } }],
});

/** Counts in the columns' buckets, over time. */
export function heatmap(spec) {
  return panel(
    'heatmap',
    { interval: '10s', ...spec },
    {
      format: 'time_series',
      custom: { hideFrom: { legend: false, tooltip: false, viz: false }, scaleDistribution: { type: 'linear' } },
      options: {
        calculate: false,
        cellGap: 1,
        color: {
          mode: 'scheme',
          scheme: spec.scheme ?? 'Blues',
          exponent: 0.5,
          fill: 'dark-blue',
          scale: 'exponential',
          reverse: false,
          steps: 64,
        },
        exemplars: { color: 'rgba(255,0,255,0.7)' },
        filterValues: { le: 1e-9 },
        legend: { show: true },
        rowsFrame: { layout: 'auto' },
        showValue: 'never',
        tooltip: { mode: 'single', yHistogram: false },
        yAxis: { axisPlacement: 'left', reverse: false },
      },
    },
  );
}

/** Log lines: the first column is the time, the second the line. */
export function logs(spec) {
  return panel('logs', spec, {
    format: 'table',
    options: {
      dedupStrategy: 'none',
      enableLogDetails: true,
      prettifyLogMessage: false,
      showCommonLabels: false,
      showLabels: false,
      showLogContextToggle: false,
      showTime: true,
      sortOrder: 'Descending',
      wrapLogMessage: true,
    },
  });
}
