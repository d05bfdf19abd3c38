//! The requests of the load: encoded once, and given fresh ids and times each time they are sent, so that the sender costs little.

mod logs;
mod metrics;
mod spans;

use std::collections::VecDeque;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::load::Wire;

const SCHEMA: &str = "https://opentelemetry.io/schemas/1.38.0";
/// Different bodies; each is sent many times with other ids and times.
const TEMPLATES: usize = 128;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    /// What its records are called.
    pub(crate) fn records(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "log records",
            Self::Metrics => "points",
        }
    }

    /// Where its records end up.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

/// A body whose ids and times can be written over.
struct Template {
    body: Vec<u8>,
    changes: Vec<Change>,
}

/// What is written anew each time, and where.
struct Change {
    at: usize,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    NewTraceId,
    SameTraceId,
    SpanId,
    /// Of the span that others of its trace hang under.
    RootSpanId,
    /// The last one of those.
    SameRootSpanId,
    /// So much later than the one before.
    NextTime {
        gap_ns: u64,
    },
    /// So much later than the last of those.
    TimeAfter {
        ns: u64,
    },
}

/// Finds what was encoded, one after the other.
struct Finder<'b> {
    body: &'b [u8],
    from: usize,
    changes: Vec<Change>,
}

impl<'b> Finder<'b> {
    fn in_body(body: &'b [u8]) -> Self {
        Self { body, from: 0, changes: Vec::new() }
    }

    fn find(&mut self, bytes: &[u8], what: What) {
        let found = self.body[self.from..].windows(bytes.len()).position(|window| window == bytes);
        let at = self.from + found.expect("each was encoded");
        self.from = at + bytes.len();
        self.changes.push(Change { at, what });
    }
}

/// An endless supply of requests, the same for one seed.
pub(crate) struct Payload {
    pub(crate) signal: Signal,
    templates: Vec<Template>,
    records: usize,
    sent: u64,
    clock_ns: u64,
    random: StdRng,
    ready: VecDeque<Bytes>,
}

impl Payload {
    pub(crate) fn new(signal: Signal, records: usize, seed: u64, now_ns: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let template = |_| match signal {
            Signal::Traces => spans::template(records, &mut random),
            Signal::Logs => logs::template(records, &mut random),
            Signal::Metrics => metrics::template(records, &mut random),
        };
        let templates = (0..TEMPLATES).map(template).collect();
        Self { signal, templates, records, sent: 0, clock_ns: now_ns, random, ready: VecDeque::new() }
    }

    pub(crate) fn records(&self) -> usize {
        self.records
    }

    pub(crate) fn bytes_per_record(&self) -> f64 {
        let bytes: usize = self.templates.iter().map(|template| template.body.len()).sum();
        bytes as f64 / (self.records * TEMPLATES) as f64
    }

    /// Makes the next requests now, or the server would wait for a sender that is slow to make them.
    pub(crate) fn make_ready(&mut self, wire: Wire, requests: u64) {
        self.ready = (0..requests).map(|_| self.made(wire)).collect();
    }

    /// The next request, with ids that were never sent before.
    pub(crate) fn next(&mut self, wire: Wire) -> Bytes {
        self.ready.pop_front().unwrap_or_else(|| self.made(wire))
    }

    fn made(&mut self, wire: Wire) -> Bytes {
        let body = self.next_protobuf();
        wire.pack(if wire == Wire::HttpJson { spans::to_json(&body) } else { body })
    }

    fn next_protobuf(&mut self) -> Vec<u8> {
        let template = &self.templates[usize::try_from(self.sent).expect("fewer than 2^64") % TEMPLATES];
        self.sent += 1;
        let mut body = template.body.clone();
        let mut put = |at: usize, bytes: &[u8]| body[at..at + bytes.len()].copy_from_slice(bytes);
        let mut trace_id: [u8; 16] = self.random.random();
        let mut root_span_id: [u8; 8] = self.random.random();
        for Change { at, what } in &template.changes {
            match what {
                What::NewTraceId => {
                    trace_id = self.random.random();
                    put(*at, &trace_id);
                }
                What::SameTraceId => put(*at, &trace_id),
                What::SpanId => put(*at, &self.random.random::<[u8; 8]>()),
                What::RootSpanId => {
                    root_span_id = self.random.random();
                    put(*at, &root_span_id);
                }
                What::SameRootSpanId => put(*at, &root_span_id),
                What::NextTime { gap_ns } => {
                    self.clock_ns += gap_ns;
                    put(*at, &self.clock_ns.to_le_bytes());
                }
                What::TimeAfter { ns } => put(*at, &(self.clock_ns + ns).to_le_bytes()),
            }
        }
        body
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "io.opentelemetry.http".to_owned(), version: "2.1.0".to_owned(), ..Default::default() }
}

/// A time to be found in the body: no other bytes are like it.
fn some_time(random: &mut StdRng) -> u64 {
    1_795_000_000_000_000_000 + random.random_range(0..1_000_000_000_000_u64)
}

fn gap(random: &mut StdRng) -> What {
    What::NextTime { gap_ns: random.random_range(1_000..6_000) }
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
