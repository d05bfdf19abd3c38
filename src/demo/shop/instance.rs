//! One running instance of a service: a resource, and a tracer, a logger and a meter of the OpenTelemetry SDK that send over OTLP/gRPC.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::logs::LoggerProvider;
use opentelemetry::metrics::{Counter, Gauge, Histogram, MeterProvider};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, LogExporter, RetryPolicy, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{self, BatchLogProcessor, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{self, BatchSpanProcessor, SdkTracer, SdkTracerProvider};
use tonic::transport::{Channel, Endpoint};

use super::catalog::Service;
use super::export::{Acknowledged, MovedMetrics};
use super::tally::Tally;
use crate::demo::clock::TrafficClock;

/// Room for the spans or records of one instance between two flushes, many times over.
const QUEUE_MAX: usize = 8_192;
/// A flush that takes longer than the SDK waits for it is asked for again, this often.
const FLUSH_TRIES: usize = 12;
/// The server has this long to take a batch, retries included: a slow machine makes the demo slow, not wrong.
const SEND_TIME_MAX: Duration = Duration::from_secs(60);
/// Nothing is sent by timer: the shop flushes as its time passes.
const NEVER: Duration = Duration::from_secs(3_600);

/// Why an instance could not start or send.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstanceError {
    /// The address is none.
    #[error("cannot connect to the server at {endpoint}")]
    Connect {
        /// The address.
        endpoint: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The exporter could not be built.
    #[error("cannot build an OTLP exporter")]
    Exporter(#[from] ExporterBuildError),
    /// The server did not take the telemetry.
    #[error("{instance} could not send its {signal}")]
    Send {
        /// Which instance.
        instance: String,
        /// `traces`, `logs` or `metrics`.
        signal: &'static str,
        /// What the SDK says.
        source: OTelSdkError,
    },
}

/// Who an instance is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) service: Service,
    pub(crate) version: &'static str,
    pub(crate) environment: String,
    /// Counts the instances of a version from 1.
    pub(crate) number: usize,
    /// `host.name`.
    pub(crate) host: String,
}

/// Where instances send to, and by which clock.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    /// OTLP/gRPC, as `http://host:port`.
    pub(crate) endpoint: String,
    pub(crate) clock: Arc<TrafficClock>,
    pub(crate) tally: Tally,
}

/// A running instance.
#[derive(Debug)]
pub(crate) struct Instance {
    /// `service.instance.id`.
    pub(crate) id: String,
    pub(crate) tracer: SdkTracer,
    pub(crate) logger: SdkLogger,
    /// `http.server.request.duration`, in seconds.
    pub(crate) duration: Histogram<f64>,
    /// `shop.requests.failed`.
    pub(crate) failed: Counter<u64>,
    /// `process.memory.usage`, in bytes.
    pub(crate) memory: Gauge<f64>,
    traces: SdkTracerProvider,
    logs: SdkLoggerProvider,
    metrics: SdkMeterProvider,
}

impl Instance {
    /// Starts an instance. Has to be called within a Tokio runtime, which then carries its connections.
    pub(crate) fn start(identity: Identity, wire: &Wire) -> Result<Self, InstanceError> {
        let channel = Endpoint::from_shared(wire.endpoint.clone())
            .map_err(|source| InstanceError::Connect { endpoint: wire.endpoint.clone(), source })?
            .connect_lazy();
        let id = format!("{}-{}-{}", identity.service.name(), identity.version.replace('.', ""), identity.number);
        let resource = resource(&identity, &id);
        let traces = traces(resource.clone(), channel.clone(), wire.tally.clone())?;
        let logs = logs(resource.clone(), channel.clone(), wire.tally.clone())?;
        let exporter = MovedMetrics::new(channel, wire.clock.clone(), wire.tally.clone());
        let reader = PeriodicReader::builder(exporter).with_interval(NEVER).build();
        let metrics = SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
        let scope = InstrumentationScope::builder("haldane.demo.shop").with_version(env!("CARGO_PKG_VERSION")).build();
        let meter = metrics.meter_with_scope(scope.clone());
        Ok(Self {
            tracer: traces.tracer_with_scope(scope.clone()),
            logger: logs.logger_with_scope(scope),
            duration: meter
                .f64_histogram("http.server.request.duration")
                .with_description("Duration of HTTP server requests.")
                .with_unit("s")
                .with_boundaries(vec![0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0])
                .build(),
            failed: meter.u64_counter("shop.requests.failed").with_unit("{request}").build(),
            memory: meter.f64_gauge("process.memory.usage").with_unit("By").build(),
            id,
            traces,
            logs,
            metrics,
        })
    }

    /// Sends what has gathered and waits until the server has it. Blocks.
    pub(crate) fn flush(&self, signals: Signals) -> Result<(), InstanceError> {
        self.sent("traces", || self.traces.force_flush())?;
        self.sent("logs", || self.logs.force_flush())?;
        match signals {
            Signals::All => self.sent("metrics", || self.metrics.force_flush()),
            Signals::WithoutMetrics => Ok(()),
        }
    }

    /// Ends the instance's threads; what was not flushed is sent first. Blocks.
    pub(crate) fn stop(&self) -> Result<(), InstanceError> {
        self.flush(Signals::All)?;
        // Nothing is left to send, so what shutting down has to say changes nothing.
        let _ = (self.traces.shutdown(), self.logs.shutdown(), self.metrics.shutdown());
        Ok(())
    }

    fn sent(&self, signal: &'static str, flush: impl Fn() -> OTelSdkResult) -> Result<(), InstanceError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match flush() {
                Ok(()) => return Ok(()),
                // The batch is still on its way: the next flush waits for it too.
                Err(late) if is_late(&late) && tries < FLUSH_TRIES => {}
                Err(source) => return Err(InstanceError::Send { instance: self.id.clone(), signal, source }),
            }
        }
    }
}

/// Whether the SDK only stopped waiting. The provider of traces wraps that of its processors in a text.
fn is_late(error: &OTelSdkError) -> bool {
    match error {
        OTelSdkError::Timeout(_) => true,
        OTelSdkError::InternalFailure(text) => text.contains("Timeout("),
        OTelSdkError::AlreadyShutdown => false,
    }
}

/// What a flush sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signals {
    /// Traces, logs and metrics.
    All,
    /// Traces and logs.
    WithoutMetrics,
}

fn resource(identity: &Identity, id: &str) -> Resource {
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", identity.service.name()),
            KeyValue::new("service.namespace", "shop"),
            KeyValue::new("service.version", identity.version),
            KeyValue::new("service.instance.id", id.to_owned()),
            KeyValue::new("deployment.environment.name", identity.environment.clone()),
            KeyValue::new("host.name", identity.host.clone()),
            KeyValue::new("cloud.region", "eu-central-1"),
            KeyValue::new("telemetry.sdk.language", "rust"),
            KeyValue::new("telemetry.sdk.name", "opentelemetry"),
        ])
        .build()
}

/// Tries again for as long as [`SEND_TIME_MAX`] lets it: what is refused for now is not lost.
fn patient() -> RetryPolicy {
    RetryPolicy::recommended().with_max_retries(100)
}

fn traces(resource: Resource, channel: Channel, tally: Tally) -> Result<SdkTracerProvider, InstanceError> {
    let builder = SpanExporter::builder().with_tonic().with_channel(channel);
    let exporter = builder.with_timeout(SEND_TIME_MAX).with_retry_policy(patient()).build()?;
    let config = trace::BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_MAX)
        .with_max_export_batch_size(QUEUE_MAX / 4)
        .with_scheduled_delay(NEVER)
        .build();
    let processor = BatchSpanProcessor::builder(Acknowledged { exporter, tally }).with_batch_config(config).build();
    Ok(SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build())
}

fn logs(resource: Resource, channel: Channel, tally: Tally) -> Result<SdkLoggerProvider, InstanceError> {
    let builder = LogExporter::builder().with_tonic().with_channel(channel);
    let exporter = builder.with_timeout(SEND_TIME_MAX).with_retry_policy(patient()).build()?;
    let config = logs::BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_MAX)
        .with_max_export_batch_size(QUEUE_MAX / 4)
        .with_scheduled_delay(NEVER)
        .build();
    let processor = BatchLogProcessor::builder(Acknowledged { exporter, tally }).with_batch_config(config).build();
    Ok(SdkLoggerProvider::builder().with_resource(resource).with_log_processor(processor).build())
}
