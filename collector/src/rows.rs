//! The rows of all five tables that are being collected: records go in, one batch a table comes out.

use arrow::record_batch::RecordBatch;
use haldane_store::{TableName, UnixNanos};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::decode::{Attributes, LogRows, MetricRows, MetricView, Origin, Records, ResourceView, ScopeView, SpanRows, points};
use crate::rollup::Rollup;
use crate::wanted::Wanted;

/// Builders of all tables.
#[derive(Debug)]
pub(crate) struct Rows {
    spans: SpanRows,
    logs: LogRows,
    metrics: MetricRows,
    rollup: Rollup,
    count: usize,
}

impl Rows {
    pub(crate) fn new(rollup: Rollup) -> Self {
        Self { spans: SpanRows::new(), logs: LogRows::new(), metrics: MetricRows::new(), rollup, count: 0 }
    }

    /// How many records have been added since the last batch.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Adds the rows of a request to those tables that want them.
    pub(crate) fn append(&mut self, records: &Records, received: UnixNanos, wanted: Wanted) {
        match records {
            Records::Traces(request) => self.append_traces(request, received, wanted),
            Records::Metrics(request) => self.append_metrics(request, received, wanted),
            Records::Logs(request) => self.append_logs(request, received, wanted),
        }
    }

    fn append_traces(&mut self, request: &ExportTraceServiceRequest, received: UnixNanos, wanted: Wanted) {
        for resource_spans in &request.resource_spans {
            let resource = ResourceView::new(resource_spans.resource.as_ref(), &resource_spans.schema_url);
            let cohort = self.rollup.cohort(&resource);
            for scope_spans in &resource_spans.scope_spans {
                let scope = ScopeView::new(scope_spans.scope.as_ref(), &scope_spans.schema_url);
                for span in &scope_spans.spans {
                    let attributes = Attributes::of_record(&span.attributes);
                    if wanted.has(TableName::Spans) {
                        self.spans.append(Origin { resource: &resource, scope: &scope }, span, &attributes, received);
                    }
                    self.rollup.add_span(&cohort, span, &attributes, received, wanted);
                    self.count += 1;
                }
            }
        }
    }

    fn append_logs(&mut self, request: &ExportLogsServiceRequest, received: UnixNanos, wanted: Wanted) {
        for resource_logs in &request.resource_logs {
            let resource = ResourceView::new(resource_logs.resource.as_ref(), &resource_logs.schema_url);
            let cohort = self.rollup.cohort(&resource);
            for scope_logs in &resource_logs.scope_logs {
                let scope = ScopeView::new(scope_logs.scope.as_ref(), &scope_logs.schema_url);
                for record in &scope_logs.log_records {
                    let attributes = Attributes::of_record(&record.attributes);
                    if wanted.has(TableName::Logs) {
                        self.logs.append(Origin { resource: &resource, scope: &scope }, record, &attributes, received);
                    }
                    if wanted.has(TableName::Errors) {
                        self.rollup.add_log(&cohort, record, &attributes, received);
                    }
                    self.count += 1;
                }
            }
        }
    }

    fn append_metrics(&mut self, request: &ExportMetricsServiceRequest, received: UnixNanos, wanted: Wanted) {
        if !wanted.has(TableName::Metrics) {
            return;
        }
        for resource_metrics in &request.resource_metrics {
            let resource = ResourceView::new(resource_metrics.resource.as_ref(), &resource_metrics.schema_url);
            for scope_metrics in &resource_metrics.scope_metrics {
                let scope = ScopeView::new(scope_metrics.scope.as_ref(), &scope_metrics.schema_url);
                for metric in &scope_metrics.metrics {
                    let Some((kind, points)) = points(metric) else { continue };
                    let metric = MetricView::new(metric, kind);
                    for point in &points {
                        self.metrics.append(Origin { resource: &resource, scope: &scope }, &metric, point, received);
                        self.count += 1;
                    }
                }
            }
        }
    }

    /// All rows since the last call, by table; tables without any are left out.
    pub(crate) fn finish(&mut self) -> Vec<(TableName, RecordBatch)> {
        self.count = 0;
        let (red, errors) = self.rollup.finish();
        let mut batches = vec![
            (TableName::Spans, self.spans.finish()),
            (TableName::Logs, self.logs.finish()),
            (TableName::Metrics, self.metrics.finish()),
            (TableName::Red, red),
            (TableName::Errors, errors),
        ];
        batches.retain(|(_, batch)| batch.num_rows() > 0);
        batches
    }
}
