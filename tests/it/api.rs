//! REST as a deploy tool uses it, on the real server.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::traffic::Traffic;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_tool_starts_a_rollout_and_is_told_to_roll_back() {
    let world = World::start().await;
    for (version, fails_each) in [("1.4.0", 200), ("1.5.0", 8)] {
        Traffic { service: "payment", version, minutes: 10, requests: 3_000, fails_each }.send(&world).await;
    }
    let id = world
        .start_rollout(&json!({
            "service": "payment", "environment": "shop", "strategy": "canary",
            "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}
        }))
        .await;
    let verdict = world.verdict_when(&id, |_| false).await;
    assert_eq!((&verdict["decision"], &verdict["status"]), (&json!("rollback"), &json!("failed")), "{verdict:#}");

    // Nothing is left to wait for.
    let start = Instant::now();
    let last = world.get(&format!("/v1/rollouts/{id}/verdict?wait=60s")).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(20) && last == verdict);
    assert_eq!(world.get(&format!("/v1/rollouts/{id}")).await.unwrap()["state"], json!("rolled_back"));
    let report = world.get(&format!("/v1/rollouts/{id}/report.md")).await.unwrap();
    let report = report.as_str().unwrap();
    assert!(report.starts_with("# payment in shop: roll back\n") && report.contains("POST /pay"), "{report}");

    let evidence = reqwest::get(format!("{}/v1/rollouts/{id}/evidence", world.api)).await.unwrap();
    assert_eq!(evidence.headers()["content-type"], "application/vnd.apache.parquet");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("evidence.parquet");
    std::fs::write(&file, evidence.bytes().await.unwrap()).unwrap();
    let replayed = Command::new(env!("CARGO_BIN_EXE_haldane")).args(["judge", "replay"]).arg(&file).output().unwrap();
    assert!(replayed.status.success(), "{replayed:?}");
    assert_eq!(serde_json::from_slice::<Value>(&replayed.stdout).unwrap(), verdict);

    let services = world.get("/v1/services").await.unwrap();
    let versions = services["services"][0]["versions"].as_array().unwrap();
    assert_eq!(versions.iter().map(|version| version["requests"].as_u64().unwrap()).collect::<Vec<_>>(), [3_000, 3_000]);
    assert_eq!(world.number("SELECT count(*) FROM spans").await, 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_have_their_names() {
    let world = World::start().await;
    Traffic { service: "payment", version: "1.4.0", minutes: 1, requests: 100, fails_each: 50 }.send(&world).await;
    let text = world.get("/metrics").await.unwrap().as_str().unwrap().to_owned();
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let expected = [
        "haldane_collector_requests_total counter",
        "haldane_collector_records_total counter",
        "haldane_collector_refused_total counter",
        "haldane_collector_acknowledgement_seconds histogram",
        "haldane_collector_admission_wait_seconds_total counter",
        "haldane_collector_bytes_in_flight gauge",
        "haldane_collector_log_backlog_bytes gauge",
        "haldane_collector_oldest_uncommitted_seconds gauge",
        "haldane_collector_operations_over_limit_total counter",
        "haldane_table_hot_rows gauge",
        "haldane_table_hot_bytes gauge",
        "haldane_judge_aa_replays gauge",
        "haldane_judge_aa_rollbacks gauge",
        "haldane_judge_aa_alarm_ratio gauge",
        "haldane_judge_stated_alarm_ratio gauge",
        "haldane_judge_phi gauge",
        "haldane_judge_tau gauge",
        "haldane_judge_discount gauge",
        "process_resident_memory_bytes gauge",
        "process_cpu_seconds_total counter",
    ];
    assert_eq!(names, expected);
    assert!(text.contains("haldane_collector_records_total{signal=\"traces\",outcome=\"accepted\"} 100\n"), "{text}");
    assert!(text.contains("haldane_collector_acknowledgement_seconds_bucket{le=\"+Inf\"}"), "{text}");
}
