//! Made-up traffic of one service, as OTLP.

use std::time::Duration;

use haldane_store::UnixNanos;
use haldane_store::clock::{Clock as _, SystemClock};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::world::World;

/// Requests to one version of a service, spread evenly over the last `minutes`.
pub(crate) struct Traffic {
    pub(crate) service: &'static str,
    pub(crate) version: &'static str,
    pub(crate) minutes: u64,
    pub(crate) requests: u64,
    /// Every so manieth request fails; 0: none.
    pub(crate) fails_each: u64,
}

impl Traffic {
    /// Sends it all, from two instances, in the environment `shop`.
    pub(crate) async fn send(&self, world: &World) {
        let span = Duration::from_secs(self.minutes * 60);
        // Ends early enough for the judge to look at all of it at once.
        let start = SystemClock.now().minus(span + Duration::from_secs(60));
        for instance in 0..2_u64 {
            let mine = (0..self.requests).filter(|number| number % 2 == instance);
            let gap = span.as_nanos() / u128::from(self.requests);
            let spans = mine.map(|number| {
                let at = start.plus(Duration::from_nanos(u64::try_from(gap * u128::from(number)).unwrap()));
                self.request(number, at)
            });
            let scope = ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() };
            let resource = Resource { attributes: self.resource(instance), ..Resource::default() };
            let traces = ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..ResourceSpans::default() };
            world.export("/v1/traces", &ExportTraceServiceRequest { resource_spans: vec![traces] }).await;
        }
    }

    fn resource(&self, instance: u64) -> Vec<KeyValue> {
        vec![
            text("service.name", self.service),
            text("service.version", self.version),
            text("service.instance.id", &format!("{}-{instance}", self.version)),
            text("deployment.environment.name", "shop"),
            text("build.number", &format!("build of {}", self.version)),
        ]
    }

    fn request(&self, number: u64, at: UnixNanos) -> Span {
        // 20 to 30 ms, in an order that looks like chance.
        let lasted = Duration::from_micros(20_000 + number * 7_919 % 10_000);
        let failed = self.fails_each > 0 && number.is_multiple_of(self.fails_each);
        let nanos = |at: UnixNanos| u64::try_from(at.as_nanos()).unwrap();
        Span {
            trace_id: [&nanos(at).to_be_bytes()[..], &(number + 1).to_be_bytes()[..]].concat(),
            span_id: (number + 1).to_be_bytes().to_vec(),
            name: "POST /pay".to_owned(),
            kind: 2,
            start_time_unix_nano: nanos(at),
            end_time_unix_nano: nanos(at.plus(lasted)),
            attributes: vec![text("session.id", &format!("s{}", number % 50))],
            status: Some(Status { code: if failed { 2 } else { 0 }, ..Status::default() }),
            ..Span::default()
        }
    }
}

/// An attribute.
pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }), ..KeyValue::default() }
}
