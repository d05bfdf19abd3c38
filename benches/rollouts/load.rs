//! Services with two versions, and what they send.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use haldane_store::UnixNanos;
use haldane_store::clock::{Clock as _, SystemClock};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

/// Of each version.
pub(crate) const INSTANCES: u64 = 3;
/// Services in one request of the load.
const SERVICES_A_REQUEST: u64 = 20;

/// What is sent.
pub(crate) struct Load {
    pub(crate) http: String,
    pub(crate) client: reqwest::Client,
    pub(crate) services: Services,
}

/// Who sends it: services that are alike.
#[derive(Clone, Copy)]
pub(crate) struct Services {
    /// Before the number, in the name of each.
    pub(crate) prefix: &'static str,
    pub(crate) count: u64,
    /// Requests of one service in a second, both versions together.
    pub(crate) per_second: u64,
    pub(crate) operations: u64,
}

impl Services {
    fn name(&self, number: u64) -> String {
        format!("{}-{number:03}", self.prefix)
    }
}

impl Load {
    /// What was served in the minutes before.
    pub(crate) async fn send_past(&self, minutes: u64, versions: &[&str]) {
        let now = SystemClock.now();
        for seconds in (1..=minutes * 60).rev() {
            self.send_second(now.minus(Duration::from_secs(seconds)), versions).await;
        }
    }

    /// Each second what is served in it; returns how long each acknowledgement took, in milliseconds.
    pub(crate) async fn send_live(&self, until: Duration) -> Vec<f64> {
        let (began, from, mut acknowledged) = (Instant::now(), SystemClock.now(), Vec::new());
        let mut second = Duration::ZERO;
        while second < until {
            acknowledged.extend(self.send_second(from.plus(second), &["1.4.0", "1.5.0"]).await);
            second += Duration::from_secs(1);
            tokio::time::sleep(second.saturating_sub(began.elapsed())).await;
        }
        acknowledged
    }

    async fn send_second(&self, at: UnixNanos, versions: &[&str]) -> Vec<f64> {
        let mut acknowledged = Vec::new();
        for first in (0..self.services.count).step_by(usize::try_from(SERVICES_A_REQUEST).expect("it is small")) {
            let services = first..self.services.count.min(first + SERVICES_A_REQUEST);
            let resource_spans = services.flat_map(|service| second_of(self.services, service, at, versions)).collect();
            let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
            let request = self.client.post(format!("{}/v1/traces", self.http)).header("content-type", "application/x-protobuf");
            let sent = Instant::now();
            let answer = request.body(body).send().await.expect("the server answers");
            assert!(answer.status().is_success(), "the load was refused: {}", answer.status());
            acknowledged.push(sent.elapsed().as_secs_f64() * 1e3);
        }
        acknowledged
    }

    /// Returns its id.
    pub(crate) async fn start_rollout(&self, api: &str, service: u64, started_at: Option<UnixNanos>) -> String {
        let rollout = serde_json::json!({
            "service": self.services.name(service), "environment": "bench", "started_at": started_at.map(|at| at.to_rfc3339()),
            "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"},
            // None of them ends while the bench looks.
            "policy": {"min_duration_seconds": 7_200, "max_duration_seconds": 14_400},
        });
        let answer = self.client.post(format!("{api}/v1/rollouts")).json(&rollout).send().await.expect("the server answers");
        assert!(answer.status().is_success(), "a rollout was refused: {}", answer.status());
        let started: serde_json::Value = answer.json().await.expect("it is JSON");
        started["id"].as_str().expect("a rollout has an id").to_owned()
    }
}

/// One second of a service: its requests in turn to its versions, instances and operations.
fn second_of(services: Services, service: u64, at: UnixNanos, versions: &[&str]) -> Vec<ResourceSpans> {
    let second = u64::try_from(at.as_nanos() / 1_000_000_000).expect("after 1970");
    let of = versions.len() as u64 * INSTANCES;
    let mut by_instance: HashMap<u64, Vec<Span>> = HashMap::new();
    for number in 0..services.per_second {
        let turn = second * services.per_second + number;
        by_instance.entry(turn % of).or_default().push(request(
            (services, service),
            turn,
            at.plus(Duration::from_millis(number * 1000 / services.per_second)),
        ));
    }
    let resource = |instance: u64| {
        let version = versions[usize::try_from(instance / INSTANCES).expect("it is small")];
        let attributes = vec![
            text("service.name", services.name(service)),
            text("service.version", version.to_owned()),
            text("service.instance.id", format!("{version}-{}", instance % INSTANCES)),
            text("deployment.environment.name", "bench".to_owned()),
        ];
        Resource { attributes, ..Resource::default() }
    };
    let one = |(instance, spans): (u64, Vec<Span>)| ResourceSpans {
        resource: Some(resource(instance)),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    by_instance.into_iter().map(one).collect()
}

fn request((services, service): (Services, u64), turn: u64, at: UnixNanos) -> Span {
    let lasted = Duration::from_micros(20_000 + turn * 7_919 % 10_000);
    let nanos = |at: UnixNanos| u64::try_from(at.as_nanos()).expect("after 1970");
    // In an order that looks like chance.
    let dice = (turn ^ service).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Span {
        trace_id: [(service + 1).to_be_bytes(), (turn + 1).to_be_bytes()].concat(),
        span_id: (turn + 1).to_be_bytes().to_vec(),
        name: format!("GET /{}", dice % services.operations),
        kind: 2,
        start_time_unix_nano: nanos(at),
        end_time_unix_nano: nanos(at.plus(lasted)),
        status: Some(Status { code: if dice.is_multiple_of(100) { 2 } else { 0 }, ..Status::default() }),
        ..Span::default()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(value)) }), ..KeyValue::default() }
}
