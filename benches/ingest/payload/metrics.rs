//! Metrics of a web service as an SDK exports them: of ten series six are counters and gauges, four are histograms of durations.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, number_data_point,
};
use prost::Message as _;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::{Finder, ROUTES, SCHEMA, Template, What, gap, number, resource, scope, some_time, text};

const CUMULATIVE: i32 = 2;
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

pub(super) fn template(points: usize, random: &mut StdRng) -> Template {
    let (counters, gauges) = (points * 3 / 10, points * 3 / 10);
    let mut times = Vec::with_capacity(points);
    let mut time = |random: &mut StdRng| {
        times.push(some_time(random));
        times[times.len() - 1]
    };
    let counter = Sum {
        data_points: (0..counters).map(|index| point(index, time(random), random)).collect(),
        aggregation_temporality: CUMULATIVE,
        is_monotonic: true,
    };
    let gauge = Gauge { data_points: (0..gauges).map(|index| point(index, time(random), random)).collect() };
    let histogram = Histogram {
        data_points: (counters + gauges..points).map(|index| durations(index, time(random), random)).collect(),
        aggregation_temporality: CUMULATIVE,
    };
    let metrics = vec![
        metric("shop.orders", "{order}", Data::Sum(counter)),
        metric("shop.carts.open", "{cart}", Data::Gauge(gauge)),
        metric("http.server.request.duration", "s", Data::Histogram(histogram)),
    ];
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: String::new() }];
    let resource_metrics = vec![ResourceMetrics { resource: Some(resource(random)), scope_metrics, schema_url: SCHEMA.to_owned() }];
    let body = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec();
    let mut finder = Finder::in_body(&body);
    for (index, time) in times.iter().enumerate() {
        finder.find(&time.to_le_bytes(), if index == 0 { gap(random) } else { What::TimeAfter { ns: 0 } });
    }
    Template { changes: finder.changes, body }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: format!("What {name} tells"),
        data: Some(data),
        ..Metric::default()
    }
}

fn attributes(index: usize) -> Vec<KeyValue> {
    vec![
        text("http.route", ROUTES[index % ROUTES.len()]),
        text("http.request.method", if index.is_multiple_of(3) { "POST" } else { "GET" }),
        number("http.response.status_code", [200, 201, 404, 500][index % 4]),
        text("url.scheme", "https"),
        text("network.protocol.version", "1.1"),
    ]
}

const START: u64 = 1_794_999_000_000_000_001;

fn point(index: usize, time_unix_nano: u64, random: &mut StdRng) -> NumberDataPoint {
    let value = Some(number_data_point::Value::AsInt(random.random_range(0..100_000)));
    NumberDataPoint { attributes: attributes(index), start_time_unix_nano: START, time_unix_nano, value, ..Default::default() }
}

fn durations(index: usize, time_unix_nano: u64, random: &mut StdRng) -> HistogramDataPoint {
    let bucket_counts: Vec<u64> = (0..=BOUNDS.len()).map(|_| random.random_range(0..500)).collect();
    let count = bucket_counts.iter().sum();
    HistogramDataPoint {
        attributes: attributes(index),
        start_time_unix_nano: START,
        time_unix_nano,
        count,
        sum: Some(count as f64 * 0.05),
        bucket_counts,
        explicit_bounds: BOUNDS.to_vec(),
        min: Some(0.001),
        max: Some(4.2),
        ..HistogramDataPoint::default()
    }
}
