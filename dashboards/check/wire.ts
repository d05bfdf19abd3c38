// The dashboards' types as JSON has them: a string enum is one of its strings. Panels by their type, with what @grafana/schema says of each.

import type {
  AnnotationQuery,
  Dashboard,
  DataQuery,
  FieldConfig,
  FieldConfigSource,
  Panel,
  RowPanel,
  VariableModel,
} from '@grafana/schema';
import type { Options as BarGaugeOptions } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type {
  FieldConfig as HeatmapCustom,
  Options as HeatmapOptions,
} from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type { Options as LogsOptions } from '@grafana/schema/dist/esm/raw/composable/logs/panelcfg/x/LogsPanelCfg_types.gen';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {
  FieldConfig as TimelineCustom,
  Options as TimelineOptions,
} from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type {
  FieldConfig as TableCustom,
  Options as TableOptions,
} from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type {
  FieldConfig as LinesCustom,
  Options as LinesOptions,
} from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Wire<T> = 0 extends 1 & T
  ? T // any
  : T extends string
    ? `${T}`
    : T extends readonly (infer U)[]
      ? Wire<U>[]
      : T extends object
        ? { [K in keyof T]: Wire<T[K]> }
        : T;

interface SqlQuery extends DataQuery {
  format: 'table' | 'time_series';
  rawQuery: true;
  editorMode: 'code';
  rawSql: string;
}

interface PrometheusQuery extends DataQuery {
  editorMode: 'code';
  expr: string;
  legendFormat: string;
  instant: boolean;
  range: boolean;
}

interface DataLink {
  title: string;
  url: string;
  targetBlank?: boolean;
}

type Defaults<Custom> = Omit<Wire<FieldConfig>, 'custom' | 'links'> & { custom?: Wire<Custom>; links?: DataLink[] };

type PanelOf<Type extends string, Options, Custom> = Omit<Wire<Panel>, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Type;
  options: Wire<Options>;
  fieldConfig: { defaults: Defaults<Custom>; overrides: Wire<FieldConfigSource['overrides']> };
  targets: Array<SqlQuery | PrometheusQuery>;
};

export type AnyPanel =
  | PanelOf<'timeseries', LinesOptions, LinesCustom>
  | PanelOf<'state-timeline', TimelineOptions, TimelineCustom & { spanNulls?: boolean | number }>
  | PanelOf<'stat', StatOptions, never>
  | PanelOf<'bargauge', BarGaugeOptions, never>
  | PanelOf<'table', TableOptions, TableCustom>
  | PanelOf<'heatmap', HeatmapOptions, HeatmapCustom>
  | PanelOf<'logs', LogsOptions, never>;

export type Row = Omit<Wire<RowPanel>, 'panels'> & { panels: [] };
export type Variable = Wire<VariableModel>;
export type Annotation = Omit<Wire<AnnotationQuery>, 'target'> & { target?: SqlQuery };
export type Frame = Omit<Wire<Dashboard>, 'panels' | 'templating' | 'annotations'>;
