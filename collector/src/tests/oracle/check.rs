//! Leaves out the records that no table can ever hold, and counts them.

use haldane_store::UnixNanos;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::Records;
use super::point::{Point, PointValue};
use crate::decode::Rejected;
use crate::request::Signal;

const TRACE_ID_BYTES: usize = 16;
const SPAN_ID_BYTES: usize = 8;

/// How many records are good and how many were left out, and why the first of those was.
#[derive(Debug, Default)]
struct Tally {
    kept: u64,
    rejected: u64,
    first: Option<String>,
}

impl Tally {
    /// Whether a record with this fault stays.
    fn keep(&mut self, fault: Option<String>) -> bool {
        let Some(fault) = fault else {
            self.kept += 1;
            return true;
        };
        self.rejected += 1;
        self.first.get_or_insert(fault);
        false
    }
}

/// Removes what cannot be kept. Answers how many records are left, and what was left out.
pub(super) fn check(records: &mut Records) -> (u64, Option<Rejected>) {
    let mut tally = Tally::default();
    match records {
        Records::Traces(request) => check_traces(request, &mut tally),
        Records::Metrics(request) => check_metrics(request, &mut tally),
        Records::Logs(request) => check_logs(request, &mut tally),
    }
    let rejected = tally.first.map(|first| Rejected { count: tally.rejected, message: message(records.signal(), tally.rejected, &first) });
    (tally.kept, rejected)
}

fn message(signal: Signal, count: u64, first: &str) -> String {
    format!("{count} {} can never be stored and were left out; the first: {first}", signal.records())
}

fn check_traces(request: &mut ExportTraceServiceRequest, tally: &mut Tally) {
    for scope in request.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans) {
        scope.spans.retain(|span| tally.keep(span_fault(span)));
    }
}

fn check_logs(request: &mut ExportLogsServiceRequest, tally: &mut Tally) {
    for scope in request.resource_logs.iter_mut().flat_map(|resource| &mut resource.scope_logs) {
        scope.log_records.retain(|record| tally.keep(log_fault(record)));
    }
}

fn check_metrics(request: &mut ExportMetricsServiceRequest, tally: &mut Tally) {
    let scopes = request.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics);
    for metric in scopes.flat_map(|scope| &mut scope.metrics) {
        check_metric(metric, tally);
    }
}

fn check_metric(metric: &mut Metric, tally: &mut Tally) {
    match &mut metric.data {
        None => {}
        Some(metric::Data::Gauge(data)) => data.data_points.retain(|point| tally.keep(point_fault(&point.into()))),
        Some(metric::Data::Sum(data)) => data.data_points.retain(|point| tally.keep(point_fault(&point.into()))),
        Some(metric::Data::Histogram(data)) => data.data_points.retain(|point| tally.keep(point_fault(&point.into()))),
        Some(metric::Data::ExponentialHistogram(data)) => data.data_points.retain(|point| tally.keep(point_fault(&point.into()))),
        Some(metric::Data::Summary(data)) => data.data_points.retain(|point| tally.keep(point_fault(&point.into()))),
    }
}

fn span_fault(span: &Span) -> Option<String> {
    let times = [span.start_time_unix_nano, span.end_time_unix_nano];
    id_fault("trace_id", &span.trace_id, TRACE_ID_BYTES)
        .or_else(|| id_fault("span_id", &span.span_id, SPAN_ID_BYTES))
        .or_else(|| given("parent_span_id", &span.parent_span_id, SPAN_ID_BYTES))
        .or_else(|| time_fault(times.into_iter().chain(span.events.iter().map(|event| event.time_unix_nano))))
}

fn given(what: &str, id: &[u8], bytes: usize) -> Option<String> {
    if id.is_empty() { None } else { id_fault(what, id, bytes) }
}

/// A log record may have no ids, but not ids of another length.
fn log_fault(record: &LogRecord) -> Option<String> {
    given("trace_id", &record.trace_id, TRACE_ID_BYTES)
        .or_else(|| given("span_id", &record.span_id, SPAN_ID_BYTES))
        .or_else(|| time_fault([record.time_unix_nano, record.observed_time_unix_nano]))
}

fn point_fault(point: &Point<'_>) -> Option<String> {
    let times = [point.time_unix_nano, point.start_time_unix_nano];
    time_fault(times.into_iter().chain(point.exemplars.iter().map(|exemplar| exemplar.time_unix_nano))).or_else(|| count_fault(point.value))
}

fn id_fault(what: &str, id: &[u8], bytes: usize) -> Option<String> {
    (id.len() != bytes).then(|| format!("{what} must have {bytes} bytes, not {}", id.len()))
}

fn time_fault(times: impl IntoIterator<Item = u64>) -> Option<String> {
    let late = times.into_iter().find(|nanos| UnixNanos::try_from_u64(*nanos).is_none())?;
    Some(format!("the time {late} lies past the year 2262"))
}

fn count_fault(value: PointValue<'_>) -> Option<String> {
    let fits = |counts: &[u64]| counts.iter().find(|count| i64::try_from(**count).is_err()).copied();
    let large = match value {
        PointValue::Number(_) => None,
        PointValue::Histogram(point) => fits(&[point.count]).or_else(|| fits(&point.bucket_counts)),
        PointValue::Exponential(point) => fits(&[point.count, point.zero_count])
            .or_else(|| point.positive.as_ref().and_then(|buckets| fits(&buckets.bucket_counts)))
            .or_else(|| point.negative.as_ref().and_then(|buckets| fits(&buckets.bucket_counts))),
        PointValue::Summary(point) => fits(&[point.count]),
    };
    large.map(|count| format!("the count {count} is 2^63 or more"))
}
