//! The requests of the load: encoded once, and given fresh ids and times each time they are sent, so that the sender costs little.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use crate::load::Wire;

/// Spans that share a trace.
const SPANS_PER_TRACE: usize = 8;
/// Different bodies; each is sent many times with other ids and times.
const TEMPLATES: usize = 24;

/// A body whose ids and times can be written over.
struct Template {
    body: Vec<u8>,
    /// Where each span's ids and times lie.
    places: Vec<Places>,
}

struct Places {
    trace_id: usize,
    span_id: usize,
    parent_span_id: Option<usize>,
    start: usize,
    end: usize,
    duration_ns: u64,
    /// Since the span before it.
    gap_ns: u64,
}

/// An endless supply of requests, the same for one seed.
pub(crate) struct Payload {
    templates: Vec<Template>,
    spans: usize,
    sent: u64,
    clock_ns: u64,
    random: StdRng,
}

impl Payload {
    pub(crate) fn new(spans: usize, seed: u64, now_ns: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let templates = (0..TEMPLATES).map(|_| template(spans, &mut random)).collect();
        Self { templates, spans, sent: 0, clock_ns: now_ns, random }
    }

    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    pub(crate) fn bytes_per_span(&self) -> f64 {
        let bytes: usize = self.templates.iter().map(|template| template.body.len()).sum();
        bytes as f64 / (self.spans * TEMPLATES) as f64
    }

    /// The next request, with ids that were never sent before.
    pub(crate) fn next(&mut self, wire: Wire) -> Vec<u8> {
        let body = self.next_protobuf();
        if wire != Wire::HttpJson {
            return body;
        }
        let request = ExportTraceServiceRequest::decode(&body[..]).expect("we have encoded it");
        to_json(&request).to_string().into_bytes()
    }

    fn next_protobuf(&mut self) -> Vec<u8> {
        let template = &self.templates[usize::try_from(self.sent).expect("fewer than 2^64") % TEMPLATES];
        self.sent += 1;
        let mut body = template.body.clone();
        let mut put = |at: usize, bytes: &[u8]| body[at..at + bytes.len()].copy_from_slice(bytes);
        let mut trace_id = [0; 16];
        for (index, places) in template.places.iter().enumerate() {
            if index % SPANS_PER_TRACE == 0 {
                trace_id = self.random.random();
            }
            put(places.trace_id, &trace_id);
            put(places.span_id, &self.random.random::<[u8; 8]>());
            if let Some(at) = places.parent_span_id {
                put(at, &self.random.random::<[u8; 8]>());
            }
            self.clock_ns += places.gap_ns;
            put(places.start, &self.clock_ns.to_le_bytes());
            put(places.end, &(self.clock_ns + places.duration_ns).to_le_bytes());
        }
        body
    }
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
fn to_json(request: &ExportTraceServiceRequest) -> serde_json::Value {
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
    json!({ "resourceSpans": [{ "resource": { "attributes": resource }, "scopeSpans": [scope], "schemaUrl": group.schema_url }] })
}

fn template(spans: usize, random: &mut StdRng) -> Template {
    let spans: Vec<Span> = (0..spans).map(|index| span(index, random)).collect();
    let durations: Vec<u64> = spans.iter().map(|span| span.end_time_unix_nano - span.start_time_unix_nano).collect();
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(random)),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "io.opentelemetry.http".to_owned(),
                    version: "2.1.0".to_owned(),
                    ..Default::default()
                }),
                spans: spans.clone(),
                schema_url: String::new(),
            }],
            schema_url: "https://opentelemetry.io/schemas/1.38.0".to_owned(),
        }],
    };
    let body = request.encode_to_vec();
    let mut from = 0;
    let places = spans.iter().zip(durations).map(|(span, duration_ns)| {
        let mut find = |bytes: &[u8]| {
            let at = from + body[from..].windows(bytes.len()).position(|window| window == bytes).expect("each was encoded");
            from = at + bytes.len();
            at
        };
        let (trace_id, span_id) = (find(&span.trace_id), find(&span.span_id));
        let parent_span_id = (!span.parent_span_id.is_empty()).then(|| find(&span.parent_span_id));
        let (start, end) = (find(&span.start_time_unix_nano.to_le_bytes()), find(&span.end_time_unix_nano.to_le_bytes()));
        Places { trace_id, span_id, parent_span_id, start, end, duration_ns, gap_ns: random.random_range(1_000..6_000) }
    });
    let places = places.collect();
    Template { body, places }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(value.into())) }), ..Default::default() }
}

fn number(key: &str, value: i64) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::IntValue(value)) }), ..Default::default() }
}

fn resource(random: &mut StdRng) -> Resource {
    let service = ["checkout", "cart", "catalog", "payment"][random.random_range(0..4)];
    let pod = random.random_range(0..6);
    let attributes = vec![
        text("service.name", service),
        text("service.namespace", "shop"),
        text("service.version", "1.42.0"),
        text("service.instance.id", format!("{service}-7d9f8b6c5-{pod}")),
        text("deployment.environment.name", "production"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.language", "java"),
        text("telemetry.sdk.version", "1.55.0"),
        text("k8s.namespace.name", "shop"),
        text("k8s.pod.name", format!("{service}-7d9f8b6c5-{pod}")),
        text("k8s.replicaset.name", format!("{service}-7d9f8b6c5")),
        text("host.name", format!("node-{}", pod % 3)),
        text("cloud.region", "eu-central-1"),
        number("process.pid", 1),
    ];
    Resource { attributes, ..Default::default() }
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
    let start = 1_795_000_000_000_000_000 + random.random_range(0..1_000_000_000_000_u64);
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

const ROUTES: [&str; 12] = [
    "/api/v1/orders/{id}",
    "/api/v1/orders",
    "/api/v1/carts/{id}",
    "/api/v1/carts/{id}/items",
    "/api/v1/products/{id}",
    "/api/v1/products/{id}/reviews",
    "/api/v1/payments/{id}",
    "/api/v1/users/{id}",
    "/api/v1/users/{id}/addresses",
    "/api/v1/shipments/{id}",
    "/api/v1/search",
    "/healthz",
];

const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/139.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) Version/18.0 Safari/605",
    "okhttp/4.12.0",
    "shop-ios/7.3.1 CFNetwork/1492 Darwin/23.3.0",
    "shop-android/7.3.0 (Pixel 8; Android 15)",
];
