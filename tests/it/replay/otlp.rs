//! A scene as OTLP requests.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::recording::{self, Origin, Played, Scene};

/// Records in a request.
const RECORDS: usize = 4_000;

pub(super) fn traces(scene: &Scene) -> impl Iterator<Item = ExportTraceServiceRequest> {
    scene.spans.chunks(RECORDS).map(|spans| {
        let of_resource = by_resource(scene, spans, |span| &span.origin).into_values().map(|(resource, spans)| ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { scope: scope(), spans: spans.into_iter().map(span).collect(), ..Default::default() }],
            ..Default::default()
        });
        ExportTraceServiceRequest { resource_spans: of_resource.collect() }
    })
}

pub(super) fn logs(scene: &Scene) -> impl Iterator<Item = ExportLogsServiceRequest> {
    scene.logs.chunks(RECORDS).map(|logs| {
        let of_resource = by_resource(scene, logs, |log| &log.origin).into_values().map(|(resource, logs)| ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![ScopeLogs { scope: scope(), log_records: logs.into_iter().map(log).collect(), ..Default::default() }],
            ..Default::default()
        });
        ExportLogsServiceRequest { resource_logs: of_resource.collect() }
    })
}

type ByResource<'a, T> = BTreeMap<(String, String, &'static str), (Resource, Vec<&'a Played<T>>)>;

fn by_resource<'a, T>(scene: &Scene, parts: &'a [Played<T>], origin: impl Fn(&T) -> &Origin) -> ByResource<'a, T> {
    let mut groups = ByResource::new();
    for part in parts {
        let (from, version) = (origin(&part.record), part.version.name());
        let attributes = || {
            vec![
                text("service.name", &from.service),
                text("service.version", version),
                text("service.instance.id", &from.instance),
                text("deployment.environment.name", &scene.environment),
            ]
        };
        let key = (from.service.to_string(), from.instance.to_string(), version);
        let group = groups.entry(key).or_insert_with(|| (Resource { attributes: attributes(), ..Default::default() }, Vec::new()));
        group.1.push(part);
    }
    groups
}

fn span(part: &Played<recording::Span>) -> Span {
    let (span, start) = (&part.record, nanos(part.at.as_nanos()));
    Span {
        trace_id: trace_id(span.origin.trace),
        span_id: span_id(span.origin.span),
        parent_span_id: if span.parent == 0 { Vec::new() } else { span_id(span.parent) },
        name: span.name.to_string(),
        kind: match &*span.kind {
            "SERVER" => SpanKind::Server,
            "CLIENT" => SpanKind::Client,
            _ => SpanKind::Internal,
        }
        .into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + nanos(span.duration),
        status: span.failed.then(|| Status { code: StatusCode::Error.into(), ..Default::default() }),
        ..Default::default()
    }
}

fn log(part: &Played<recording::Log>) -> LogRecord {
    let log = &part.record;
    LogRecord {
        time_unix_nano: nanos(part.at.as_nanos()),
        observed_time_unix_nano: nanos(part.at.as_nanos()),
        severity_number: match &*log.severity {
            "ERROR" => 17,
            "WARN" => 13,
            _ => 9,
        },
        severity_text: log.severity.to_string(),
        body: Some(AnyValue { value: Some(Value::StringValue(log.body.to_string())) }),
        trace_id: trace_id(log.origin.trace),
        span_id: span_id(log.origin.span),
        ..Default::default()
    }
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "nezha".to_owned(), ..Default::default() })
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }), ..Default::default() }
}

fn trace_id(number: i64) -> Vec<u8> {
    i128::from(number).to_be_bytes().to_vec()
}

fn span_id(number: i64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn nanos(number: i64) -> u64 {
    u64::try_from(number).unwrap()
}
