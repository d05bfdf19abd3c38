//! Traces as Grafana's Jaeger data source asks for them.

use std::time::Duration;

use haldane_store::UnixNanos;
use haldane_store::clock::{Clock as _, SystemClock};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use serde_json::{Value, json};

use crate::world::{World, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn of(service: &str, span: Span) -> ResourceSpans {
    let resource = Resource { attributes: vec![text("service.name", service), text("service.version", "1.5.0")], ..Resource::default() };
    ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn span_at(at: UnixNanos, (id, parent): (&str, &str), (name, kind): (&str, i32), lasted: Duration) -> Span {
    let nanos = |at: UnixNanos| u64::try_from(at.as_nanos()).unwrap();
    Span {
        trace_id: bytes(TRACE),
        span_id: bytes(id),
        parent_span_id: bytes(parent),
        name: name.to_owned(),
        kind,
        start_time_unix_nano: nanos(at),
        end_time_unix_nano: nanos(at.plus(lasted)),
        ..Span::default()
    }
}

/// The front end calls the payment, which fails; another trace has nothing to do with it.
async fn send(world: &World, at: UnixNanos) {
    let root = span_at(at, ("00f067aa0ba902b7", ""), ("GET /checkout", 2), Duration::from_millis(80));
    let failed = Span {
        attributes: vec![
            text("http.route", "/pay"),
            attribute("http.response.status_code", any_value::Value::IntValue(500)),
            text("cart.size", "3"),
        ],
        status: Some(Status { code: 2, message: "no key".to_owned() }),
        events: vec![span::Event {
            time_unix_nano: u64::try_from(at.as_nanos()).unwrap() + 20_000_000,
            name: "exception".to_owned(),
            attributes: vec![text("exception.type", "StripeSecretMissing")],
            ..span::Event::default()
        }],
        links: vec![span::Link { trace_id: bytes(&"ab".repeat(16)), span_id: bytes("0102030405060708"), ..span::Link::default() }],
        ..span_at(at.plus(Duration::from_millis(10)), ("00f067aa0ba902b8", "00f067aa0ba902b7"), ("POST /pay", 2), Duration::from_millis(60))
    };
    let other =
        Span { trace_id: bytes(&"cd".repeat(16)), ..span_at(at, ("1112131415161718", ""), ("GET /checkout", 2), Duration::from_millis(5)) };
    let resource_spans = vec![of("front end", root), of("payment", failed), of("front end", other)];
    world.export("/v1/traces", &ExportTraceServiceRequest { resource_spans }).await;
    until("the spans are visible", async || (world.number("SELECT count(*) FROM spans").await == 3).then_some(())).await;
}

async fn ask(world: &World, path: &str) -> (u16, Value) {
    let answer = reqwest::get(format!("{}/jaeger/api/{path}", world.api)).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn grafana_finds_services_operations_and_a_trace_with_all_that_it_says() {
    let world = World::start().await;
    let at = SystemClock.now().minus(Duration::from_secs(60));
    send(&world, at).await;
    let (_, services) = ask(&world, "services").await;
    assert_eq!((&services["data"], &services["total"], &services["errors"]), (&json!(["front end", "payment"]), &json!(2), &Value::Null));
    assert_eq!(ask(&world, "services/front%20end/operations").await.1["data"], json!(["GET /checkout"]));
    assert_eq!(ask(&world, "operations?service=payment").await.1["data"], json!([{"name": "POST /pay", "spanKind": ""}]));

    let (status, found) = ask(&world, &format!("traces/{}", TRACE.trim_start_matches('0').to_uppercase())).await;
    assert_eq!((status, found["data"].as_array().unwrap().len()), (200, 1), "{found:#}");
    let trace = &found["data"][0];
    let (root, failed) = (&trace["spans"][0], &trace["spans"][1]);
    assert_eq!((&trace["traceID"], &root["operationName"], &root["references"]), (&json!(TRACE), &json!("GET /checkout"), &json!([])));
    assert_eq!((&root["startTime"], &root["duration"]), (&json!(at.as_micros()), &json!(80_000)));
    assert_eq!(
        failed["references"],
        json!([
            {"refType": "CHILD_OF", "traceID": TRACE, "spanID": "00f067aa0ba902b7"},
            {"refType": "FOLLOWS_FROM", "traceID": "ab".repeat(16), "spanID": "0102030405060708"}
        ])
    );
    let tags = failed["tags"].as_array().unwrap();
    for tag in [
        json!({"key": "http.response.status_code", "type": "int64", "value": 500}),
        json!({"key": "cart.size", "type": "string", "value": "3"}),
        json!({"key": "span.kind", "type": "string", "value": "server"}),
        json!({"key": "otel.status_description", "type": "string", "value": "no key"}),
        json!({"key": "error", "type": "bool", "value": true}),
    ] {
        assert!(tags.contains(&tag), "{tag} is missing in {tags:#?}");
    }
    let log = &failed["logs"][0];
    assert_eq!(log["timestamp"], json!(at.as_micros() + 20_000));
    assert!(
        log["fields"].as_array().unwrap().contains(&json!({"key": "exception.type", "type": "string", "value": "StripeSecretMissing"}))
    );
    let process = &trace["processes"][failed["processID"].as_str().unwrap()];
    assert_eq!(process["serviceName"], "payment");
    assert_eq!(process["tags"], json!([{"key": "service.version", "type": "string", "value": "1.5.0"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_it_asks_for_and_says_what_is_wrong_with_it() {
    let world = World::start().await;
    let at = SystemClock.now().minus(Duration::from_secs(60));
    send(&world, at).await;
    let (start, end) = (at.as_micros() - 1_000_000, at.as_micros() + 60_000_000);
    let search = async |more: &str| {
        let (status, found) = ask(&world, &format!("traces?start={start}&end={end}&lookback=custom&{more}")).await;
        assert_eq!(status, 200, "{more}: {found}");
        let ids = found["data"].as_array().unwrap().iter().map(|trace| trace["traceID"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let other = "cd".repeat(16);
    assert_eq!(search("service=front%20end&limit=20").await.len(), 2);
    assert_eq!(search("service=front%20end&operation=GET%20%2Fcheckout&minDuration=50ms").await, [TRACE]);
    assert_eq!(search("service=front%20end&maxDuration=50ms").await, [other.as_str()]);
    assert_eq!(search("service=payment&tags=%7B%22error%22%3A%22true%22%7D").await, [TRACE]);
    assert_eq!(search("service=payment&tags=%7B%22http.status_code%22%3A%22500%22%2C%22cart.size%22%3A%223%22%7D").await, [TRACE]);
    assert!(search("service=payment&tags=%7B%22cart.size%22%3A%224%22%7D").await.is_empty());
    assert!(search("service=payment&operation=%27%20OR%201%3D1%20--").await.is_empty(), "a quote stays inside of its text");
    assert_eq!(ask(&world, &format!("traces?traceID={TRACE}&traceID={other}")).await.1["total"], json!(2));

    let (_, calls) = ask(&world, &format!("dependencies?endTs={}&lookback=3600000", end / 1_000)).await;
    assert_eq!(calls["data"], json!([{"parent": "front end", "child": "payment", "callCount": 1}]));

    let (status, unknown) = ask(&world, &format!("traces/{}", "ef".repeat(16))).await;
    assert_eq!((status, &unknown["data"], &unknown["errors"][0]["msg"]), (404, &Value::Null, &json!("trace not found")));
    for (wrong, told) in
        [("traces/xyz", "hexadecimal"), ("traces?limit=1", "service is needed"), ("traces?service=a&minDuration=5", "like 100ms")]
    {
        let (status, answer) = ask(&world, wrong).await;
        assert!(status == 400 && answer["errors"][0]["msg"].as_str().unwrap().contains(told), "{wrong}: {answer}");
    }
}
