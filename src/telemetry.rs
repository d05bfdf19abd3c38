//! What the server tells of itself: lines on standard error and, where an endpoint is named, spans, log records and numbers over OTLP/gRPC.
//!
//! Always holds: taking telemetry in makes no spans and no records, so that a server may be its own endpoint; what cannot be sent is lost, and
//! nothing waits for it.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use haldane_api::metrics::{Family, Kind, Metrics};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The endpoint that stands for this server's own OTLP/gRPC port.
const SELF: &str = "self";
/// Longest that one export may take.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest that the last exports may take.
const END_TIME_MAX: Duration = Duration::from_secs(5);
/// Numbers that were just read are not read again.
const FRESH: Duration = Duration::from_secs(1);

/// Settings of what the server tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where spans, log records and metrics of the server itself go, over OTLP/gRPC: `http://collector:4317`, or `self` for this server's own tables.
    /// Nowhere if left out. `HALDANE_TELEMETRY__ENDPOINT`.
    pub endpoint: Option<String>,
    /// A file with the token to show there.
    pub token_file: Option<PathBuf>,
    /// How often metrics are sent, in seconds.
    pub interval_seconds: u64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { endpoint: None, token_file: None, interval_seconds: 30 }
    }
}

/// Why the server cannot tell of itself.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The token cannot be read.
    #[error("cannot read the token for telemetry.endpoint from {}", file.display())]
    Token {
        /// Where.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The token cannot be sent.
    #[error("the token in {} holds characters that no token has", file.display())]
    Unsendable {
        /// Where.
        file: PathBuf,
    },
    /// An exporter cannot be made.
    #[error("cannot export to telemetry.endpoint")]
    Exporter(#[from] ExporterBuildError),
}

impl TelemetryConfig {
    /// What is wrong with the settings, a line each.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if let Some(endpoint) = self.endpoint.as_ref().filter(|endpoint| *endpoint != SELF && !endpoint.starts_with("http://")) {
            mistakes.push(format!(
                "telemetry.endpoint = {endpoint:?}: write it as http://collector:4317, or self; where TLS is needed, send to a collector beside the server"
            ));
        }
        if self.interval_seconds == 0 {
            mistakes.push("telemetry.interval_seconds = 0: it has to be at least 1".to_owned());
        }
        mistakes
    }
}

/// Writes lines to standard error, and nothing else.
pub(crate) fn lines_only(filter: EnvFilter) {
    tracing_subscriber::registry().with(lines(filter)).init();
}

fn lines<S>(filter: EnvFilter) -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_filter(filter)
}

/// Exports until it is ended.
#[derive(Debug)]
pub(crate) struct Exporting(Option<Providers>);

#[derive(Debug, Clone)]
struct Providers {
    traces: SdkTracerProvider,
    logs: SdkLoggerProvider,
    meters: SdkMeterProvider,
}

/// Begins to write lines, and to export if an endpoint is named. `own` is where this server takes OTLP/gRPC. Needs a Tokio runtime.
///
/// # Errors
/// When the endpoint cannot be used as it is named; whether it answers is not waited for.
pub(crate) fn start(filter: EnvFilter, config: &TelemetryConfig, own: SocketAddr) -> Result<Exporting, TelemetryError> {
    let providers = config.endpoint.as_ref().map(|endpoint| providers(endpoint, config, own)).transpose()?;
    let spans = providers
        .as_ref()
        .map(|to| tracing_opentelemetry::layer().with_tracer(to.traces.tracer("haldane")).with_filter(filter_fn(is_our_span)));
    let records = providers.as_ref().map(|to| OpenTelemetryTracingBridge::new(&to.logs).with_filter(filter_fn(is_our_record)));
    tracing_subscriber::registry().with(lines(filter)).with(spans).with(records).init();
    Ok(Exporting(providers))
}

/// Spans of libraries would tell of each export, and so never end.
fn is_our_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("haldane")
}

fn is_our_record(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target().starts_with("haldane") && *metadata.level() <= Level::INFO
}

fn providers(endpoint: &str, config: &TelemetryConfig, own: SocketAddr) -> Result<Providers, TelemetryError> {
    let endpoint = if endpoint == SELF { format!("http://{own}") } else { endpoint.to_owned() };
    let metadata = config.token_file.as_ref().map(authorization).transpose()?.unwrap_or_default();
    let resource = resource();
    let spans = SpanExporter::builder().with_tonic().with_endpoint(&endpoint).with_timeout(EXPORT_TIME_MAX).with_metadata(metadata.clone());
    let records =
        LogExporter::builder().with_tonic().with_endpoint(&endpoint).with_timeout(EXPORT_TIME_MAX).with_metadata(metadata.clone());
    let numbers = MetricExporter::builder().with_tonic().with_endpoint(&endpoint).with_timeout(EXPORT_TIME_MAX).with_metadata(metadata);
    let reader = PeriodicReader::builder(numbers.build()?).with_interval(Duration::from_secs(config.interval_seconds)).build();
    Ok(Providers {
        traces: SdkTracerProvider::builder().with_batch_exporter(spans.build()?).with_resource(resource.clone()).build(),
        logs: SdkLoggerProvider::builder().with_batch_exporter(records.build()?).with_resource(resource.clone()).build(),
        meters: SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build(),
    })
}

fn authorization(file: &PathBuf) -> Result<MetadataMap, TelemetryError> {
    let token = std::fs::read_to_string(file).map_err(|source| TelemetryError::Token { file: file.clone(), source })?;
    let value = format!("Bearer {}", token.trim()).parse().map_err(|_| TelemetryError::Unsendable { file: file.clone() })?;
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", value);
    Ok(metadata)
}

/// Who tells; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say more, or otherwise.
fn resource() -> Resource {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned());
    let said = Resource::builder().build();
    let ours = [
        ("service.name", "haldane".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", format!("{host}/{}", std::process::id())),
        ("host.name", host),
    ];
    let unsaid = |key: &'static str| said.get(&key.into()).is_none_or(|value| value.as_str().starts_with("unknown_service"));
    let ours: Vec<KeyValue> = ours.into_iter().filter(|(key, _)| unsaid(key)).map(|(key, value)| KeyValue::new(key, value)).collect();
    Resource::builder().with_attributes(ours).build()
}

impl Exporting {
    /// Sends what `/metrics` tells, too, under the same names. Of a histogram sum and count are sent.
    pub(crate) fn tell(&self, metrics: &Metrics) {
        let Some(Providers { meters, .. }) = &self.0 else { return };
        let meter = meters.meter("haldane");
        let latest = Arc::new(Latest { metrics: metrics.clone(), read: Mutex::new(None) });
        for Family { name, help, kind, .. } in metrics.families() {
            let suffixes: &[&'static str] = if kind == Kind::Histogram { &["_sum", "_count"] } else { &[""] };
            for suffix in suffixes {
                let (latest, full) = (latest.clone(), format!("{name}{suffix}"));
                let tell = move |observer: &dyn AsyncInstrument<f64>| latest.tell(name, suffix, observer);
                match kind {
                    Kind::Gauge => _ = meter.f64_observable_gauge(full).with_description(help).with_callback(tell).build(),
                    Kind::Counter | Kind::Histogram => {
                        _ = meter.f64_observable_counter(full).with_description(help).with_callback(tell).build();
                    }
                }
            }
        }
    }

    /// Sends what is left, for a moment.
    pub(crate) async fn end(self) {
        let Some(Providers { traces, logs, meters }) = self.0 else { return };
        let last = tokio::task::spawn_blocking(move || {
            // Where the endpoint is away there is nothing left to do about it.
            let _ = meters.shutdown_with_timeout(END_TIME_MAX);
            let _ = traces.shutdown_with_timeout(END_TIME_MAX);
            let _ = logs.shutdown_with_timeout(END_TIME_MAX);
        });
        let _ = tokio::time::timeout(END_TIME_MAX, last).await;
    }
}

/// The numbers of the moment: each is asked for by itself, and all are read together.
struct Latest {
    metrics: Metrics,
    read: Mutex<Option<(Instant, Arc<Vec<Family>>)>>,
}

impl Latest {
    fn tell(&self, name: &str, suffix: &str, observer: &dyn AsyncInstrument<f64>) {
        let families = self.families();
        let samples = families.iter().filter(|family| family.name == name).flat_map(|family| &family.samples);
        for sample in samples.filter(|sample| sample.suffix == suffix) {
            let labels: Vec<KeyValue> = sample.labels.iter().map(|(key, value)| KeyValue::new(*key, value.clone())).collect();
            observer.observe(sample.value, &labels);
        }
    }

    fn families(&self) -> Arc<Vec<Family>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some((at, families)) if at.elapsed() < FRESH => families.clone(),
            _ => {
                let families = Arc::new(self.metrics.families());
                *read = Some((Instant::now(), families.clone()));
                families
            }
        }
    }
}
