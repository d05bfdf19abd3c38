//! Requests whose contents follow from their number, so that what became of each can be told from the tables.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// When everything of a parcel happened: the middle of a day, so that it lies in one partition.
const AT: u64 = 1_790_000_000 * 1_000_000_000;
/// Every so manieth span of a failing parcel fails, with an exception.
const FAILS_EACH: u64 = 4;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Parcel {
    pub(super) number: u64,
    /// Parcels of a round have a service of their own.
    pub(super) round: u32,
}

/// What a parcel is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Spans,
    FailingSpans,
    Logs,
    Points,
}

/// A parcel as OTLP.
pub(super) enum Export {
    Traces(ExportTraceServiceRequest),
    Logs(ExportLogsServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

/// What the spans of parcels add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) duration_ns: u64,
}

impl Parcel {
    pub(super) fn kind(self) -> Kind {
        match self.number % 4 {
            0 => Kind::Spans,
            1 => Kind::FailingSpans,
            2 => Kind::Logs,
            _ => Kind::Points,
        }
    }

    /// How many spans, log records or points it has: mostly few, sometimes many.
    pub(super) fn records(self) -> u64 {
        match self.number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58 {
            0 => 1_500,
            few @ 1..8 => 100 + few,
            more => 1 + more / 4,
        }
    }

    pub(super) fn service(self) -> String {
        service_of(self.round)
    }

    pub(super) fn export(self) -> Export {
        let resource = Some(Resource {
            attributes: vec![text("service.name", &self.service()), text("service.version", "1.0.0")],
            ..Resource::default()
        });
        match self.kind() {
            Kind::Spans | Kind::FailingSpans => {
                let scope_spans =
                    vec![ScopeSpans { spans: (0..self.records()).map(|at| self.span(at)).collect(), ..ScopeSpans::default() }];
                Export::Traces(ExportTraceServiceRequest {
                    resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
                })
            }
            Kind::Logs => {
                let log_records = (0..self.records()).map(|at| self.log(at)).collect();
                let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
                Export::Logs(ExportLogsServiceRequest {
                    resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
                })
            }
            Kind::Points => {
                let metrics = vec![self.metric()];
                let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
                let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
                Export::Metrics(ExportMetricsServiceRequest { resource_metrics })
            }
        }
    }

    /// What `red` has to say of it.
    pub(super) fn sums(self) -> Sums {
        let served = (0..self.records()).filter(|at| is_served(*at));
        match self.kind() {
            Kind::Spans | Kind::FailingSpans => served.fold(Sums::default(), |sums, at| Sums {
                requests: sums.requests + 1,
                errors: sums.errors + u64::from(self.fails(at)),
                duration_ns: sums.duration_ns + self.lasts(at),
            }),
            Kind::Logs | Kind::Points => Sums::default(),
        }
    }

    /// How many exceptions are in it.
    pub(super) fn exceptions(self) -> u64 {
        match self.kind() {
            Kind::FailingSpans => (0..self.records()).filter(|at| self.fails(*at)).count() as u64,
            Kind::Spans | Kind::Logs | Kind::Points => 0,
        }
    }

    fn fails(self, at: u64) -> bool {
        self.kind() == Kind::FailingSpans && at.is_multiple_of(FAILS_EACH)
    }

    fn lasts(self, at: u64) -> u64 {
        1_000_000 + 1_000 * at + self.number % 997
    }

    fn trace_id(self) -> Vec<u8> {
        [[0xfa; 8], self.number.to_be_bytes()].concat()
    }

    fn span(self, at: u64) -> Span {
        let fails = self.fails(at);
        let exception = Event {
            name: "exception".to_owned(),
            time_unix_nano: AT,
            attributes: vec![text("exception.type", "Broken"), text("exception.message", &format!("parcel {} is broken", self.number))],
            ..Event::default()
        };
        Span {
            trace_id: self.trace_id(),
            span_id: (at + 1).to_be_bytes().to_vec(),
            name: format!("operation {}", at % 5),
            kind: if is_served(at) { 2 } else { 1 },
            start_time_unix_nano: AT,
            end_time_unix_nano: AT + self.lasts(at),
            attributes: vec![text("parcel", &self.number.to_string())],
            events: if fails { vec![exception] } else { Vec::new() },
            status: Some(Status { code: if fails { 2 } else { 0 }, ..Status::default() }),
            ..Span::default()
        }
    }

    fn log(self, at: u64) -> LogRecord {
        LogRecord {
            time_unix_nano: AT,
            severity_number: 9,
            body: Some(AnyValue { value: Some(Value::StringValue(format!("record {at} of parcel {}", self.number))) }),
            trace_id: self.trace_id(),
            span_id: (at + 1).to_be_bytes().to_vec(),
            ..LogRecord::default()
        }
    }

    /// Points have no ids, so the metric is named after the parcel, and the value says which point it is.
    fn metric(self) -> Metric {
        let point = |at: u64| NumberDataPoint {
            time_unix_nano: AT,
            value: Some(number_data_point::Value::AsInt(i64::try_from(at).unwrap())),
            ..NumberDataPoint::default()
        };
        let gauge = Gauge { data_points: (0..self.records()).map(point).collect() };
        Metric { name: format!("{:016x}", self.number), data: Some(metric::Data::Gauge(gauge)), ..Metric::default() }
    }
}

pub(super) fn service_of(round: u32) -> String {
    format!("round-{round}")
}

/// Every other span is a request.
fn is_served(at: u64) -> bool {
    at.is_multiple_of(2)
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }), ..KeyValue::default() }
}
