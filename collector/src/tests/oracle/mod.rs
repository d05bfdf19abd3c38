//! The plain way: a tree of objects by `prost`, and rows from that. Slow and simple; what the walk makes of a body is held against it.

mod attributes;
mod check;
mod columns;
mod logs;
mod metrics;
mod numbers;
mod point;
mod resource;
mod series;
mod spans;
mod value;

use arrow::record_batch::RecordBatch;
use haldane_store::{TableName, UnixNanos};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::decode::Rejected;
use crate::otlp::json;
use crate::request::{Encoding, Request, Signal};

use attributes::Attributes;
use logs::LogRows;
use metrics::{MetricRows, MetricView};
use point::points;
use resource::{Origin, ResourceView, ScopeView};
use spans::SpanRows;

/// The records of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Records {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

impl Records {
    pub(crate) fn signal(&self) -> Signal {
        match self {
            Self::Traces(_) => Signal::Traces,
            Self::Metrics(_) => Signal::Metrics,
            Self::Logs(_) => Signal::Logs,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Traces(request) => request.encode_to_vec(),
            Self::Metrics(request) => request.encode_to_vec(),
            Self::Logs(request) => request.encode_to_vec(),
        }
    }
}

/// The records that can be stored, how many they are, and what was left out; `None` for what cannot be decoded.
pub(crate) fn decode(Request { signal, encoding, body }: &Request) -> Option<(Records, u64, Option<Rejected>)> {
    let body = match encoding {
        Encoding::Protobuf => body.clone(),
        Encoding::Json => json::to_protobuf(*signal, body).ok()?.into(),
    };
    let mut records = match signal {
        Signal::Traces => Records::Traces(Message::decode(body).ok()?),
        Signal::Metrics => Records::Metrics(Message::decode(body).ok()?),
        Signal::Logs => Records::Logs(Message::decode(body).ok()?),
    };
    let (kept, rejected) = check::check(&mut records);
    Some((records, kept, rejected))
}

/// The rows of the raw table that records belong to, in its published schema.
pub(crate) fn rows_of(records: &Records, received: UnixNanos) -> (TableName, RecordBatch) {
    match records {
        Records::Traces(request) => (TableName::Spans, spans_of(request, received)),
        Records::Metrics(request) => (TableName::Metrics, points_of(request, received)),
        Records::Logs(request) => (TableName::Logs, logs_of(request, received)),
    }
}

fn spans_of(request: &ExportTraceServiceRequest, received: UnixNanos) -> RecordBatch {
    let mut rows = SpanRows::new();
    for group in &request.resource_spans {
        let resource = ResourceView::new(group.resource.as_ref(), &group.schema_url);
        for scope in &group.scope_spans {
            let origin = Origin { resource: &resource, scope: &ScopeView::new(scope.scope.as_ref(), &scope.schema_url) };
            scope.spans.iter().for_each(|span| rows.append(origin, span, &Attributes::of_record(&span.attributes), received));
        }
    }
    rows.finish()
}

fn logs_of(request: &ExportLogsServiceRequest, received: UnixNanos) -> RecordBatch {
    let mut rows = LogRows::new();
    for group in &request.resource_logs {
        let resource = ResourceView::new(group.resource.as_ref(), &group.schema_url);
        for scope in &group.scope_logs {
            let origin = Origin { resource: &resource, scope: &ScopeView::new(scope.scope.as_ref(), &scope.schema_url) };
            scope.log_records.iter().for_each(|log| rows.append(origin, log, &Attributes::of_record(&log.attributes), received));
        }
    }
    rows.finish()
}

fn points_of(request: &ExportMetricsServiceRequest, received: UnixNanos) -> RecordBatch {
    let mut rows = MetricRows::new();
    for group in &request.resource_metrics {
        let resource = ResourceView::new(group.resource.as_ref(), &group.schema_url);
        for scope in &group.scope_metrics {
            let origin = Origin { resource: &resource, scope: &ScopeView::new(scope.scope.as_ref(), &scope.schema_url) };
            for metric in &scope.metrics {
                let Some((kind, points)) = points(metric) else { continue };
                let metric = MetricView::new(metric, kind);
                points.iter().for_each(|point| rows.append(origin, &metric, point, received));
            }
        }
    }
    rows.finish()
}
