//! REST as a deploy tool uses it, on the real server.

use std::process::Command;
use std::time::{Duration, Instant};

use haldane_store::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::traffic::Traffic;
use crate::world::{World, until};

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
async fn a_time_of_the_past_is_judged_at_once() {
    let world = World::start_with(&[("HALDANE_ANALYZER__DETECT_VERSIONS", "false")]).await;
    for (version, fails_each) in [("1.4.0", 199), ("1.5.0", 9)] {
        Traffic { service: "payment", version, minutes: 20, requests: 6_000, fails_each }.send(&world).await;
    }
    until("all can be read", async || (world.number("SELECT count(*) FROM spans").await == 12_000).then_some(())).await;
    let now = SystemClock.now();
    let ago = |minutes: u64| now.minus(Duration::from_secs(60 * minutes)).to_rfc3339();
    let ask = async |baseline: &str, canary: &str, more: Value| {
        let (baseline, canary) = (json!({"service.version": baseline}), json!({"service.version": canary}));
        let mut body =
            json!({"service": "payment", "environment": "shop", "baseline": baseline, "canary": canary, "from": ago(20), "until": ago(2)});
        more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
        world.post("/v1/analyses", &body).await
    };
    let bad = ask("1.4.0", "1.5.0", json!({})).await.unwrap();
    assert_eq!((&bad["decision"], &bad["final"], &bad["rollout_id"]), (&json!("rollback"), &json!(true), &json!("")), "{bad:#}");
    let other_way = ask("1.5.0", "1.4.0", json!({})).await.unwrap();
    assert_ne!(other_way["decision"], json!("rollback"), "{other_way:#}");
    let itself = ask("1.4.0", "1.4.0", json!({"baseline_source": "preceding", "from": ago(10)})).await.unwrap();
    assert_eq!((&itself["baseline_source"], itself["decision"] == json!("rollback")), (&json!("preceding"), false), "{itself:#}");
    assert!(itself["baseline"]["requests"].as_u64().unwrap() > 1_000);
    assert!(ask("1.4.0", "1.4.0", json!({})).await.unwrap_err().contains("they must differ"));
    assert!(ask("1.4.0", "1.5.0", json!({"until": ago(30)})).await.unwrap_err().contains("until has to be later than from"));
    assert!(ask("1.4.0", "1.5.0", json!({"from": "yesterday"})).await.unwrap_err().contains("from: "));
    assert_eq!(world.get("/v1/rollouts").await.unwrap()["rollouts"], json!([]), "nothing is kept");
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
        "haldane_build_info gauge",
        "haldane_service_requests_total counter",
        "haldane_rollout_state gauge",
        "haldane_rollout_decision gauge",
        "haldane_rollout_data_age_seconds gauge",
        "haldane_rollout_canary_requests gauge",
        "haldane_rollout_age_seconds gauge",
        "haldane_rollouts_ended_total counter",
        "haldane_judge_round_seconds gauge",
        "haldane_judge_last_round_timestamp_seconds gauge",
        "haldane_judge_failures_total counter",
        "haldane_notify_waiting gauge",
        "haldane_notify_dead gauge",
        "haldane_disk_free_bytes gauge",
        "haldane_disk_size_bytes gauge",
        "haldane_sql_queries_total counter",
        "haldane_sql_query_seconds histogram",
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
        "haldane_notify_attempts_total counter",
        "process_resident_memory_bytes gauge",
        "process_cpu_seconds_total counter",
    ];
    assert_eq!(names, expected);
    assert!(text.contains("haldane_collector_records_total{signal=\"traces\",outcome=\"accepted\"} 100\n"), "{text}");
    assert!(text.contains("haldane_collector_acknowledgement_seconds_bucket{le=\"+Inf\"}"), "{text}");
}
