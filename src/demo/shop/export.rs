//! The exporters of the shop's instances: OpenTelemetry's own OTLP exporters, with what they get acknowledged counted.
//!
//! Metrics need one thing more. The SDK stamps points with the machine's time and cannot be told another, so points are moved to
//! the demo's clock on their way out; spans and logs carry explicit times and need no such thing.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haldane_store::{Clock, UnixNanos};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tonic::transport::Channel;

use super::tally::{Counted, Tally};
use crate::demo::clock::TrafficClock;

/// A span or log exporter whose acknowledged records are counted.
#[derive(Debug)]
pub(super) struct Acknowledged<E> {
    pub(super) exporter: E,
    pub(super) tally: Tally,
}

impl<E: SpanExporter> SpanExporter for Acknowledged<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.exporter.export(batch).await?;
        self.tally.add(Counted::SpanAcknowledged, spans);
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Acknowledged<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let records = batch.iter().count();
        self.exporter.export(batch).await?;
        self.tally.add(Counted::LogAcknowledged, records);
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Sends metric points with the times of the demo's clock.
pub(super) struct MovedMetrics {
    client: Mutex<MetricsServiceClient<Channel>>,
    clock: Arc<TrafficClock>,
    since: UnixNanos,
    tally: Tally,
}

impl fmt::Debug for MovedMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovedMetrics").field("since", &self.since).finish_non_exhaustive()
    }
}

impl MovedMetrics {
    /// Points go out over `channel` and are cumulative since now.
    pub(super) fn new(channel: Channel, clock: Arc<TrafficClock>, tally: Tally) -> Self {
        Self { client: Mutex::new(MetricsServiceClient::new(channel)), since: clock.now(), clock, tally }
    }
}

impl PushMetricExporter for MovedMetrics {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut request = ExportMetricsServiceRequest::from(metrics);
        let points = move_points(&mut request, self.since, self.clock.now());
        let mut client = self.client.lock().map_err(|_| OTelSdkError::AlreadyShutdown)?.clone();
        let answer = client.export(request).await.map_err(|status| OTelSdkError::InternalFailure(status.to_string()))?;
        let rejected = answer.into_inner().partial_success.map_or(0, |partial| partial.rejected_data_points);
        self.tally.add(Counted::PointAcknowledged, points.saturating_sub(usize::try_from(rejected).unwrap_or(0)));
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// Gives all points the times `since` and `now`; returns how many there are.
fn move_points(request: &mut ExportMetricsServiceRequest, since: UnixNanos, now: UnixNanos) -> usize {
    let (since, now) = (nanos(since), nanos(now));
    let mut points = 0;
    let metrics = request.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics).flat_map(|scope| &mut scope.metrics);
    for data in metrics.filter_map(|metric| metric.data.as_mut()) {
        let mut stamp = |start: &mut u64, time: &mut u64| {
            (*start, *time) = (since, now);
            points += 1;
        };
        match data {
            Data::Gauge(gauge) => gauge.data_points.iter_mut().for_each(|p| stamp(&mut p.start_time_unix_nano, &mut p.time_unix_nano)),
            Data::Sum(sum) => sum.data_points.iter_mut().for_each(|p| stamp(&mut p.start_time_unix_nano, &mut p.time_unix_nano)),
            Data::Histogram(h) => h.data_points.iter_mut().for_each(|p| stamp(&mut p.start_time_unix_nano, &mut p.time_unix_nano)),
            Data::ExponentialHistogram(h) => {
                h.data_points.iter_mut().for_each(|p| stamp(&mut p.start_time_unix_nano, &mut p.time_unix_nano));
            }
            Data::Summary(s) => s.data_points.iter_mut().for_each(|p| stamp(&mut p.start_time_unix_nano, &mut p.time_unix_nano)),
        }
    }
    points
}

fn nanos(at: UnixNanos) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(0)
}
