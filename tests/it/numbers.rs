//! Policies that compare plain numbers: OTLP metrics and SQL, from a policy file.

use std::process::Command;

use haldane_store::UnixNanos;
use haldane_store::clock::{Clock as _, SystemClock};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::{Value, json};

use crate::traffic::Traffic;
use crate::world::World;

const MINUTES: u64 = 20;

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// What one instance reports each half minute; `factor` is the canary's memory over the baseline's.
fn reports(version: &str, instance: u64, factor: f64) -> ExportMetricsServiceRequest {
    let start = SystemClock.now().minus(std::time::Duration::from_secs(60 * MINUTES + 60));
    let nanos = |number: u64| u64::try_from(start.plus(std::time::Duration::from_secs(30 * number)).as_nanos()).unwrap();
    let numbers = 0..2 * MINUTES;
    let wobble = |number: u64| 1.0 + 0.02 * ((number * 7 + instance * 3) % 5) as f64;
    let point = |number: u64, value: f64| NumberDataPoint {
        start_time_unix_nano: nanos(0),
        time_unix_nano: nanos(number),
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let memory = Gauge { data_points: numbers.clone().map(|number| point(number, 4e8 * factor * wobble(number))).collect() };
    // A total: six a second more, whatever the version.
    let misses = Sum {
        data_points: numbers.clone().map(|number| point(number, 180.0 * number as f64)).collect(),
        aggregation_temporality: AggregationTemporality::Cumulative as i32,
        is_monotonic: true,
    };
    let sizes = Histogram {
        data_points: numbers
            .map(|number| HistogramDataPoint {
                start_time_unix_nano: nanos(number.saturating_sub(1)),
                time_unix_nano: nanos(number),
                count: 10,
                sum: Some(10.0 * 512.0 * wobble(number)),
                bucket_counts: vec![10],
                ..HistogramDataPoint::default()
            })
            .collect(),
        aggregation_temporality: AggregationTemporality::Delta as i32,
    };
    let named = |name: &str, data: metric::Data| Metric { name: name.to_owned(), data: Some(data), ..Metric::default() };
    let metrics = vec![
        named("process.memory.usage", metric::Data::Gauge(memory)),
        named("cache.misses", metric::Data::Sum(misses)),
        named("http.server.response.body.size", metric::Data::Histogram(sizes)),
    ];
    let attributes = vec![
        text("service.name", "payment"),
        text("service.version", version),
        text("service.instance.id", &format!("{version}-{instance}")),
        text("deployment.environment.name", "shop"),
    ];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }] }
}

const POLICY: &str = r#"
checks: [{name: error_rate}]
metrics:
  - metric: process.memory.usage
    unit: By
    weight: 0.4
  - metric: cache.misses
  - metric: http.server.response.body.size
    direction: either
  - name: long requests
    sql: >
      SELECT CASE WHEN $canary THEN 'canary' ELSE 'baseline' END AS cohort, time, CAST(duration_ns AS DOUBLE) / 1e6 AS value,
        service_instance_id AS instance FROM spans WHERE ($canary OR $baseline) AND time >= $from AND time < $until
"#;

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_doubles_is_rolled_back_by_a_policy_file() {
    let world = World::start_with(&[("HALDANE_ANALYZER__DETECT_VERSIONS", "false")]).await;
    for (version, factor) in [("1.4.0", 1.0), ("1.5.0", 2.0)] {
        Traffic { service: "payment", version, minutes: MINUTES, requests: 4_800, fails_each: 199 }.send(&world).await;
        for instance in 0..2 {
            world.export("/v1/metrics", &reports(version, instance, factor)).await;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy.yaml");
    std::fs::write(&file, POLICY).unwrap();
    let started = UnixNanos::from_seconds(SystemClock.now().as_seconds() - 60 * i64::try_from(MINUTES).unwrap() - 30).to_rfc3339();
    let gate = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haldane"));
        command.env("HALDANE_URL", &world.api).args(["gate", "--service", "payment", "--environment", "shop"]);
        command.args(["--baseline", "service.version=1.4.0", "--canary", "service.version=1.5.0", "--started-at", &started]);
        command.arg("--policy").arg(&file).args(more).output().unwrap()
    };
    let output = gate(&["--wait", "1m", "--json", "--policy-max-duration", "1h"]);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(output.status.code(), Some(1), "{verdict:#}");
    let check = |name: &str| verdict["checks"].as_array().unwrap().iter().find(|check| check["name"] == json!(name)).unwrap().clone();
    let memory = check("process.memory.usage");
    assert_eq!(
        (&memory["outcome"], &memory["unit"], &memory["effect"]["measure"]),
        (&json!("regressed"), &json!("By"), &json!("mean_ratio"))
    );
    assert!((memory["effect"]["estimate"].as_f64().unwrap() - 2.0).abs() < 0.05, "{memory:#}");
    assert!(verdict["reason"].as_str().unwrap().starts_with("process.memory.usage 2.0 × baseline"), "{}", verdict["reason"]);
    let values = |name: &str| check(name)["canary"]["value"].as_f64().unwrap_or_else(|| panic!("{:#}", check(name)));
    assert!((values("cache.misses") - 6.0).abs() < 0.7, "a rate a second: {}", values("cache.misses"));
    assert!((values("http.server.response.body.size") - 532.0).abs() < 5.0, "a mean: {}", values("http.server.response.body.size"));
    assert!((values("long requests") - 25.0).abs() < 1.0, "milliseconds: {}", values("long requests"));
    assert_eq!(check("long requests")["outcome"], json!("not_worse"));
    assert_eq!(
        (&verdict["policy"]["max_duration_seconds"], &verdict["policy"]["metrics"][3]["name"]),
        (&json!(3_600), &json!("long requests"))
    );

    for (policy, hint) in [
        ("metrics: [{name: x, sql: SELECT 1 AS value}]", "its sql has no column cohort"),
        ("metrics: [{name: x, sql: DROP TABLE spans}]", "metrics: x: "),
        ("metrics: [{metric: a, sql: b}]", "it needs either metric or sql"),
        ("metrics: [{metric: error_rate}]", "another check has this name"),
        ("metric: []", "unknown field"),
    ] {
        std::fs::write(&file, policy).unwrap();
        let refused = gate(&[]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains(hint), "{policy}: {said}");
    }
}
