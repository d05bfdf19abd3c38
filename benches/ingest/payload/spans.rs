//! Spans of requests over HTTP: 17 to 18 attributes each, 14 of their resource. Seven of eight hang under the first one of their trace.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::json;

use super::{Finder, ROUTES, SCHEMA, Template, What, gap, number, resource, scope, some_time, text};

/// Spans that share a trace.
const SPANS_PER_TRACE: usize = 8;

pub(super) fn template(spans: usize, random: &mut StdRng) -> Template {
    let spans: Vec<Span> = (0..spans).map(|index| span(index, random)).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans: spans.clone(), schema_url: String::new() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource(random)), scope_spans, schema_url: SCHEMA.to_owned() }];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let mut finder = Finder::in_body(&body);
    for (index, span) in spans.iter().enumerate() {
        let first = index.is_multiple_of(SPANS_PER_TRACE);
        finder.find(&span.trace_id, if first { What::NewTraceId } else { What::SameTraceId });
        finder.find(&span.span_id, if first { What::RootSpanId } else { What::SpanId });
        if !span.parent_span_id.is_empty() {
            finder.find(&span.parent_span_id, What::SameRootSpanId);
        }
        finder.find(&span.start_time_unix_nano.to_le_bytes(), gap(random));
        finder.find(&span.end_time_unix_nano.to_le_bytes(), What::TimeAfter { ns: span.end_time_unix_nano - span.start_time_unix_nano });
    }
    Template { changes: finder.changes, body }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json_attributes(attributes: &[KeyValue]) -> serde_json::Value {
    let one = |attribute: &KeyValue| {
        let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => json!({ "stringValue": text }),
            Some(Value::IntValue(number)) => json!({ "intValue": number.to_string() }),
            _ => json!({}),
        };
        json!({ "key": attribute.key, "value": value })
    };
    attributes.iter().map(one).collect()
}

/// As the JSON exporters write it: ids in hex, 64-bit numbers as text.
pub(super) fn to_json(body: &[u8]) -> Vec<u8> {
    let request = ExportTraceServiceRequest::decode(body).expect("we have encoded it");
    let span = |span: &Span| {
        json!({
            "traceId": hex(&span.trace_id), "spanId": hex(&span.span_id), "parentSpanId": hex(&span.parent_span_id),
            "flags": span.flags, "name": span.name, "kind": span.kind,
            "startTimeUnixNano": span.start_time_unix_nano.to_string(), "endTimeUnixNano": span.end_time_unix_nano.to_string(),
            "attributes": json_attributes(&span.attributes), "status": { "code": span.status.as_ref().map_or(0, |status| status.code) },
        })
    };
    let group = &request.resource_spans[0];
    let scope = &group.scope_spans[0];
    let spans: Vec<_> = scope.spans.iter().map(span).collect();
    let resource = json_attributes(group.resource.as_ref().map_or(&[], |resource| &resource.attributes));
    let scope = json!({ "scope": { "name": "io.opentelemetry.http", "version": "2.1.0" }, "spans": spans });
    let told =
        json!({ "resourceSpans": [{ "resource": { "attributes": resource }, "scopeSpans": [scope], "schemaUrl": group.schema_url }] });
    told.to_string().into_bytes()
}

fn span(index: usize, random: &mut StdRng) -> Span {
    let route = ROUTES[random.random_range(0..ROUTES.len())];
    let id: u32 = random.random_range(0..2_000_000);
    let failed = random.random_bool(0.005);
    let status: i64 = if failed { 500 } else { [200, 200, 200, 201, 204, 404][random.random_range(0..6)] };
    let mut attributes = vec![
        text("http.request.method", if index.is_multiple_of(3) { "POST" } else { "GET" }),
        text("http.route", route),
        text("url.path", route.replace("{id}", &id.to_string())),
        text("url.scheme", "https"),
        text("server.address", "shop.example.com"),
        number("server.port", 443),
        number("http.response.status_code", status),
        text("client.address", format!("10.{}.{}.{}", random.random_range(0..4), random.random_range(0..32), random.random_range(1..40))),
        text("network.protocol.version", "1.1"),
        text("network.peer.address", format!("10.0.{}.7", random.random_range(0..16))),
        text("user_agent.original", AGENTS[random.random_range(0..AGENTS.len())]),
        text("user.id", format!("user-{:06}", random.random_range(0..20_000))),
        number("http.request.body.size", random.random_range(0..2_000)),
        number("http.response.body.size", random.random_range(200..20_000)),
        text("thread.name", format!("http-nio-8080-exec-{}", random.random_range(1..50))),
        number("thread.id", random.random_range(20..70)),
        text("code.function.name", "com.example.shop.web.OrderController.handle"),
    ];
    if failed {
        attributes.push(text("error.type", "java.lang.IllegalStateException"));
    }
    // Log-normal around 20 ms.
    let normal: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration of seconds at most")]
    let duration = (2.0e7 * (0.8 * normal).exp()) as u64;
    let start = some_time(random);
    Span {
        trace_id: random.random::<[u8; 16]>().to_vec(),
        span_id: random.random::<[u8; 8]>().to_vec(),
        parent_span_id: if index.is_multiple_of(SPANS_PER_TRACE) { Vec::new() } else { random.random::<[u8; 8]>().to_vec() },
        flags: 257,
        name: route.to_owned(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + duration,
        attributes,
        status: failed.then(|| Status { code: 2, message: String::new() }),
        ..Span::default()
    }
}

const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/139.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) Version/18.0 Safari/605",
    "okhttp/4.12.0",
    "shop-ios/7.3.1 CFNetwork/1492 Darwin/23.3.0",
    "shop-android/7.3.0 (Pixel 8; Android 15)",
];
