use haldane_store::TableName;
use serde_json::{Value, json};

use super::*;
use crate::cohort::tests::engine_over;
use crate::query::Engine;

/// A point of a counter that reports totals, at a second.
fn counter(series: &str, start: i64, second: i64, value: i64) -> Value {
    json!({"time": haldane_store::UnixNanos::from_seconds(1_000_000 + second).to_rfc3339(), "metric_name": "requests", "service_name": series,
        "metric_type": "sum", "temporality": "cumulative", "is_monotonic": true, "series_id": series,
        "time_unix_nano": nanos(second), "start_time_unix_nano": nanos(start), "value_int": value, "flags": 0})
}

fn nanos(second: i64) -> i64 {
    (1_000_000 + second) * 1_000_000_000
}

fn with(mut point: Value, more: &Value) -> Value {
    point.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    point
}

async fn engine(points: Vec<Value>) -> (tempfile::TempDir, Engine) {
    engine_over(vec![(TableName::Metrics, points)]).await
}

/// The rows of an answer as JSON, without their nulls.
async fn rows(engine: &Engine, sql: &str) -> Vec<Value> {
    let answer = engine.sql(sql).await.unwrap();
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write_batches(&answer.batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    serde_json::from_slice(&writer.into_inner()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_become_what_was_added_in_each_series_whatever_order_they_came_in() {
    let points = vec![
        counter("b", 0, 30, 7),
        counter("a", 0, 20, 15),
        counter("a", 0, 10, 5),
        counter("b", 25, 40, 9),
        counter("a", 0, 20, 15),
        counter("a", 35, 40, 2),
        counter("a", 0, 30, 15),
        with(counter("a", 0, 50, 0), &json!({"flags": 1, "value_int": null})),
    ];
    let (_dir, engine) = engine(points).await;
    let found = rows(
        &engine,
        "SELECT series_id AS s, (start_time_unix_nano - 1000000000000000) / 1000000000 AS f, value_int AS v, reset AS r FROM metric_deltas ORDER BY series_id, time",
    )
    .await;
    let row = |s: &str, f: i64, v: i64, r: bool| json!({"s": s, "f": f, "v": v, "r": r});
    let expected = [
        row("a", 0, 5, false),
        row("a", 10, 10, false),
        row("a", 20, 0, false),
        row("a", 35, 2, true),
        row("b", 0, 7, false),
        // The second start lies before the first point: the total went on.
        row("b", 30, 2, false),
    ];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_some_time_reads_the_point_before_it() {
    let (_dir, engine) = engine((0..10).map(|n| counter("a", -5_000, n * 60, n * n)).collect()).await;
    let from = haldane_store::UnixNanos::from_seconds(1_000_000 + 300).to_rfc3339();
    let found = rows(
        &engine,
        &format!("SELECT sum(value_int) AS v, count(*) AS n FROM metric_deltas WHERE time >= '{from}' AND metric_name = 'requests'"),
    )
    .await;
    assert_eq!(found, [json!({"v": 81 - 16, "n": 5})]);
    let found =
        rows(&engine, "SELECT sum(value_int) AS v, count(*) AS n FROM metric_deltas WHERE service_name = 'nobody' OR value_int = 17").await;
    assert_eq!(found, [json!({"v": 17, "n": 1})], "a filter on what is told takes nothing from what it is told by");
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_of_all_kinds_keep_their_counts_and_deltas_and_gauges_are_left_as_they_are() {
    let explicit = |second, bounds: &[f64], counts: &[i64]| {
        let count: i64 = counts.iter().sum();
        let more = json!({"metric_type": "histogram", "is_monotonic": null, "value_int": null, "count": count, "sum": count as f64, "max": 9.0,
            "explicit_bounds": bounds, "bucket_counts": counts});
        with(counter("explicit", 0, second, 0), &more)
    };
    let exponential = |second, scale, offset, counts: &[i64], zero| {
        let count = counts.iter().sum::<i64>() + zero;
        let more = json!({"metric_type": "exponential_histogram", "is_monotonic": null, "value_int": null, "count": count, "scale": scale,
            "zero_count": zero, "zero_threshold": 0.0, "positive_offset": offset, "positive_bucket_counts": counts,
            "negative_offset": 0, "negative_bucket_counts": []});
        with(counter("exponential", 0, second, 0), &more)
    };
    let points = vec![
        explicit(10, &[1.0, 2.0, 5.0], &[1, 2, 3, 4]),
        explicit(20, &[1.0, 5.0], &[2, 8, 4]),
        exponential(10, 1, 2, &[1, 1, 1], 0),
        exponential(20, 0, 1, &[2, 2, 5], 1),
        with(counter("delta", 0, 10, 3), &json!({"temporality": "delta", "max": 4.0})),
        with(counter("delta", 10, 20, 2), &json!({"temporality": "delta"})),
        with(counter("gauge", 0, 20, 2), &json!({"metric_type": "gauge", "temporality": null})),
    ];
    let (_dir, engine) = engine(points).await;
    let found = rows(
        &engine,
        "SELECT series_id AS s, value_int AS v, count AS n, sum, max, explicit_bounds AS b, bucket_counts AS c, scale, zero_count AS z, positive_offset AS o, positive_bucket_counts AS p
         FROM metric_deltas ORDER BY series_id, time",
    )
    .await;
    let expected = [
        json!({"s": "delta", "v": 3, "max": 4.0}),
        json!({"s": "delta", "v": 2}),
        json!({"s": "explicit", "n": 10, "sum": 10.0, "b": [1.0, 2.0, 5.0], "c": [1, 2, 3, 4]}),
        json!({"s": "explicit", "n": 4, "sum": 4.0, "b": [1.0, 5.0], "c": [1, 3, 0]}),
        json!({"s": "exponential", "n": 3, "scale": 1, "z": 0, "o": 2, "p": [1, 1, 1]}),
        // Buckets 2 to 4 of scale 1 are two of bucket 1 and one of bucket 2 of scale 0.
        json!({"s": "exponential", "n": 7, "scale": 0, "z": 1, "o": 1, "p": [0, 1, 5]}),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_earliest_time_is_found_in_each_way_to_write_it() {
    let second = |at| lit(ScalarValue::TimestampSecond(Some(at), Some("UTC".into())));
    assert_eq!(earliest(&col("time").gt_eq(second(7))), Some(7_000_000));
    assert_eq!(earliest(&second(7).lt(col("time"))), Some(7_000_000));
    assert_eq!(earliest(&col("time").lt(second(7))), None);
    assert_eq!(earliest(&col("date").gt(second(7))), None);
}
