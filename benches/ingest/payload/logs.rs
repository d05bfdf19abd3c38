//! Log records of a web service: a message, a level, 8 attributes, the ids of their span.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message as _;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::{Finder, ROUTES, SCHEMA, Template, What, gap, number, resource, scope, some_time, text};

/// Records of one request.
const RECORDS_PER_TRACE: usize = 4;

pub(super) fn template(records: usize, random: &mut StdRng) -> Template {
    let log_records: Vec<LogRecord> = (0..records).map(|_| record(random)).collect();
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records: log_records.clone(), schema_url: String::new() }];
    let resource_logs = vec![ResourceLogs { resource: Some(resource(random)), scope_logs, schema_url: SCHEMA.to_owned() }];
    let body = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
    let mut finder = Finder::in_body(&body);
    for (index, record) in log_records.iter().enumerate() {
        finder.find(&record.time_unix_nano.to_le_bytes(), gap(random));
        finder.find(&record.trace_id, if index.is_multiple_of(RECORDS_PER_TRACE) { What::NewTraceId } else { What::SameTraceId });
        finder.find(&record.span_id, What::SpanId);
        finder.find(&record.observed_time_unix_nano.to_le_bytes(), What::TimeAfter { ns: 20_000 });
    }
    Template { changes: finder.changes, body }
}

fn record(random: &mut StdRng) -> LogRecord {
    let route = ROUTES[random.random_range(0..ROUTES.len())];
    let (id, millis): (u32, u32) = (random.random_range(0..2_000_000), random.random_range(1..900));
    let failed = random.random_bool(0.01);
    let message = if failed {
        format!("order {id} failed after {millis} ms: card was declined")
    } else {
        format!("handled {route} for order {id} in {millis} ms")
    };
    let attributes = vec![
        text("http.route", route),
        text("http.request.method", "POST"),
        number("http.response.status_code", if failed { 500 } else { 200 }),
        text("logger.name", "com.example.shop.web.OrderController"),
        text("thread.name", format!("http-nio-8080-exec-{}", random.random_range(1..50))),
        text("user.id", format!("user-{:06}", random.random_range(0..20_000))),
        number("order.id", i64::from(id)),
        number("duration.ms", i64::from(millis)),
    ];
    LogRecord {
        time_unix_nano: some_time(random),
        observed_time_unix_nano: some_time(random),
        severity_number: if failed { 17 } else { 9 },
        severity_text: if failed { "ERROR" } else { "INFO" }.to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(message)) }),
        attributes,
        flags: 1,
        trace_id: random.random::<[u8; 16]>().to_vec(),
        span_id: random.random::<[u8; 8]>().to_vec(),
        ..LogRecord::default()
    }
}
