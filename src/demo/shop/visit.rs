//! One visit: the spans, logs and measurements that a request leaves in every service it passes.
//!
//! Services know of each other only what goes over the wire between them: the callee takes its parent from the W3C headers that the
//! caller's CLIENT span was written into.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use haldane_store::UnixNanos;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, Severity};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::Drift;
use super::catalog::{Operation, Service};
use super::chance::Chance;
use super::fleet::{Fleet, Fleets};
use super::instance::Instance;
use super::release::Failure;
use super::tally::{Counted, Tally};

/// One way over the network between two services.
const HOP: Duration = Duration::from_micros(400);

/// HTTP headers of a request.
type Headers = HashMap<String, String>;

/// A visit under way.
pub(super) struct Visit<'a> {
    pub(super) fleets: &'a Fleets,
    /// The fleet of the payment service that this visit is routed to.
    pub(super) payment: &'a Fleet,
    pub(super) chance: &'a mut Chance,
    pub(super) drift: Drift,
    pub(super) tally: &'a Tally,
    pub(super) propagator: &'a TraceContextPropagator,
}

/// How a request ended.
struct Served {
    at: UnixNanos,
    status: i64,
}

/// The end of a SERVER span.
struct Ended {
    at: UnixNanos,
    took: Duration,
    failure: Option<Failure>,
}

impl Visit<'_> {
    /// A request from outside, without a parent.
    pub(super) fn enter(&mut self, operation: &'static Operation, at: UnixNanos) {
        self.serve(operation, at, &Headers::new());
    }

    /// Serves one request: a SERVER span around the service's own work and its calls.
    fn serve(&mut self, operation: &'static Operation, at: UnixNanos, headers: &Headers) -> Served {
        let fleet = match operation.service {
            Service::Frontend => &self.fleets.frontend,
            Service::Checkout => &self.fleets.checkout,
            Service::Payment => self.payment,
            Service::Inventory => &self.fleets.inventory,
        };
        let member = fleet.route(self.chance);
        let instance = &member.instance;
        let builder = SpanBuilder::from_name(operation.name)
            .with_kind(SpanKind::Server)
            .with_start_time(system(at))
            .with_attributes(server_attributes(operation));
        let span = instance.tracer.build_with_context(builder, &self.propagator.extract(headers));
        let context = Context::new().with_span(span);

        let deviation = self.chance.normal();
        let own = operation.median.mul_f64((operation.spread * deviation).exp() * self.drift.latency * member.slowness);
        let mut failure = fleet.release.failure(operation, self.drift.errors, self.chance);
        let mut now = at.plus(own / 2);
        if let Some(statement) = operation.statement {
            now = self.query(instance, &context, statement, now);
        }
        for callee in operation.calls {
            if failure.is_some() {
                break;
            }
            let served = self.call(instance, &context, callee, now);
            now = served.at;
            // Stock is reserved again later; whoever needs a payment or an order has to report the failure.
            if served.status >= 500 && callee.service != Service::Inventory {
                failure = Some(upstream_failed(callee.service));
            }
        }
        now = now.plus(own / 2);
        let total = now.since(at).mul_f64(fleet.release.slowdown(operation, deviation));
        self.end(instance, operation, &context, Ended { at: at.plus(total), took: total, failure })
    }

    /// Ends a SERVER span, with what a failure leaves: status, exception event, error log.
    fn end(&self, instance: &Instance, operation: &Operation, context: &Context, ended: Ended) -> Served {
        let Ended { at, took, failure } = ended;
        let status = failure.map_or(200, |failure| failure.status);
        let span = context.span();
        span.set_attribute(KeyValue::new("http.response.status_code", status));
        if let Some(failure) = failure {
            span.set_attribute(KeyValue::new("error.type", failure.error_type));
            span.add_event_with_timestamp("exception", system(at), exception(&failure).into());
            span.set_status(Status::error(failure.message));
            self.log_failure(instance, operation, span.span_context(), at, &failure);
            instance.failed.add(1, &[KeyValue::new("error.type", failure.error_type)]);
        }
        span.end_with_timestamp(system(at));
        self.tally.add(Counted::Span, 1);
        if operation.service == Service::Payment {
            self.tally.add(Counted::Request, 1);
        }
        let attributes = [
            KeyValue::new("http.request.method", operation.method),
            KeyValue::new("http.route", operation.route),
            KeyValue::new("http.response.status_code", status),
        ];
        instance.duration.record(took.as_secs_f64(), &attributes);
        Served { at, status }
    }

    /// Calls another service: a CLIENT span around the network and the callee's work.
    fn call(&mut self, caller: &Instance, context: &Context, callee: &'static Operation, at: UnixNanos) -> Served {
        let builder = SpanBuilder::from_name(callee.method).with_kind(SpanKind::Client).with_start_time(system(at)).with_attributes([
            KeyValue::new("http.request.method", callee.method),
            KeyValue::new("server.address", callee.service.name()),
            KeyValue::new("server.port", callee.service.port()),
        ]);
        let client = Context::new().with_span(caller.tracer.build_with_context(builder, context));
        let mut headers = Headers::new();
        self.propagator.inject_context(&client, &mut headers);
        let served = self.serve(callee, at.plus(HOP), &headers);
        let back = served.at.plus(HOP);
        let span = client.span();
        span.set_attribute(KeyValue::new("http.response.status_code", served.status));
        if served.status >= 500 {
            span.set_attribute(KeyValue::new("error.type", served.status.to_string()));
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(system(back));
        self.tally.add(Counted::Span, 1);
        Served { at: back, status: served.status }
    }

    /// Runs a statement against the instance's database: a CLIENT span. Returns when it ended.
    fn query(&mut self, instance: &Instance, context: &Context, statement: &'static str, at: UnixNanos) -> UnixNanos {
        let until = at.plus(Duration::from_millis(3).mul_f64((0.4 * self.chance.normal()).exp() * self.drift.latency));
        let builder = SpanBuilder::from_name(statement).with_kind(SpanKind::Client).with_start_time(system(at)).with_attributes([
            KeyValue::new("db.system.name", "postgresql"),
            KeyValue::new("db.query.summary", statement),
            KeyValue::new("server.address", "payments-db"),
        ]);
        instance.tracer.build_with_context(builder, context).end_with_timestamp(system(until));
        self.tally.add(Counted::Span, 1);
        until
    }

    fn log_failure(&self, instance: &Instance, operation: &Operation, span: &SpanContext, at: UnixNanos, failure: &Failure) {
        let mut record = instance.logger.create_log_record();
        record.set_timestamp(system(at));
        record.set_observed_timestamp(system(at));
        record.set_severity_number(Severity::Error);
        record.set_severity_text("ERROR");
        record.set_body(AnyValue::from(format!("{} failed: {}", operation.name, failure.message)));
        record.add_attribute("http.route", operation.route);
        for attribute in exception(failure) {
            record.add_attribute(attribute.key, attribute.value.as_str().into_owned());
        }
        record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
        instance.logger.emit(record);
        self.tally.add(Counted::Log, 1);
    }
}

fn server_attributes(operation: &Operation) -> [KeyValue; 6] {
    [
        KeyValue::new("http.request.method", operation.method),
        KeyValue::new("http.route", operation.route),
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("server.address", operation.service.name()),
        KeyValue::new("server.port", operation.service.port()),
        KeyValue::new("network.protocol.version", "1.1"),
    ]
}

fn exception(failure: &Failure) -> [KeyValue; 3] {
    [
        KeyValue::new("exception.type", failure.error_type),
        KeyValue::new("exception.message", failure.message),
        KeyValue::new(
            "exception.stacktrace",
            format!("{}: {}\n\tat {}\n\tat shop.http.Router.dispatch(Router.java:152)", failure.error_type, failure.message, failure.frame),
        ),
    ]
}

/// How a service fails when the one it calls does.
fn upstream_failed(callee: Service) -> Failure {
    let (error_type, message) = match callee {
        Service::Payment => ("PaymentUnavailable", "the payment service answered with a server error"),
        Service::Checkout | Service::Inventory | Service::Frontend => {
            ("OrderUnavailable", "the checkout service answered with a server error")
        }
    };
    Failure { error_type, message, frame: "shop.http.Client.call(Client.java:120)", status: 502 }
}

fn system(at: UnixNanos) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(at.as_nanos()).unwrap_or(0))
}
