//! Rollouts in stages, approvals, and probes.

use std::time::Duration;

use haldane_store::clock::{Clock as _, SystemClock};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::traffic::{Traffic, text};
use crate::world::{World, until};

async fn two_good_versions(world: &World, minutes: u64) -> Value {
    for version in ["1.4.0", "1.5.0"] {
        Traffic { service: "payment", version, minutes, requests: 6_000, fails_each: 0 }.send(world).await;
    }
    let started_at = SystemClock.now().minus(Duration::from_secs(60 * (minutes + 1))).to_rfc3339();
    json!({
        "service": "payment", "environment": "shop", "started_at": started_at,
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}
    })
}

async fn kinds(world: &World, id: &str) -> Vec<String> {
    let audit = world.get(&format!("/v1/audit?rollout={id}&order=asc")).await.unwrap();
    audit["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stage_has_a_verdict_and_waits_for_the_next_to_begin() {
    let world = World::start().await;
    let mut start = two_good_versions(&world, 10).await;
    start["stages"] = json!([{"traffic": 0.1, "min_duration_seconds": 60}, {"traffic": 1}]);
    let id = world.start_rollout(&start).await;
    let early = world.post(&format!("/v1/rollouts/{id}/advance"), &json!({"force": true})).await.unwrap_err();
    assert!(early.contains("say why"), "{early}");
    let proven = world.verdict_when(&id, |verdict| verdict["decision"] == "promote").await;
    assert_eq!((&proven["final"], &proven["status"]), (&json!(false), &json!("running")), "the rollout is not promoted yet: {proven}");
    assert_eq!((&proven["stage"]["number"], &proven["stage"]["of"], &proven["stage"]["traffic"]), (&json!(1), &json!(2), &json!(0.1)));
    assert_eq!(proven["risk"]["alpha"], 0.005, "both stages share the budget");
    let rollout = world.post(&format!("/v1/rollouts/{id}/advance"), &json!({"actor": "router"})).await.unwrap();
    assert_eq!((&rollout["stage"], &rollout["state"]), (&json!(2), &json!("running")));
    let next = world.verdict(&id).await;
    assert_eq!(
        (&next["decision"], &next["stage"]["number"]),
        (&json!("continue"), &json!(2)),
        "what was proven of the first says nothing of the second"
    );
    assert!(next["sequence"].as_u64() > proven["sequence"].as_u64());
    assert_eq!(next["canary"]["requests"], 0);
    let last = world.post(&format!("/v1/rollouts/{id}/advance"), &json!({})).await.unwrap_err();
    assert!(last.contains("no further stage"), "{last}");
    world.post(&format!("/v1/rollouts/{id}/promote"), &json!({"reason": "enough"})).await.unwrap();
    assert_eq!(kinds(&world, &id).await, ["rollout.started", "verdict.changed", "stage.proven", "stage.started", "rollout.promoted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_waits_on_when_its_time_is_over_and_over_a_restart() {
    for judge in ["default", "kayenta"] {
        let world = World::start().await;
        let mut start = two_good_versions(&world, 10).await;
        start["policy"] = json!({"approval": true, "judge": judge, "max_duration_seconds": 600});
        let id = world.start_rollout(&start).await;
        world.verdict_when(&id, |verdict| verdict["approval"]["awaited"] == true).await;
        let world = world.stop().await.start_with(&[]).await;
        // Some rounds. Nobody serves any longer, of which our judge may say that it doubts; the wait goes on all the same.
        for _ in 0..40 {
            let verdict = world.verdict(&id).await;
            assert_eq!(verdict["final"], false, "{verdict}");
            assert!(judge == "default" || verdict["approval"]["awaited"] == true, "{verdict}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let awaited = kinds(&world, &id).await.iter().filter(|kind| *kind == "approval.awaited").count();
        assert_eq!(awaited, 1, "{judge}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_held_to_what_was_asked_for() {
    let world = World::start().await;
    let mut start = two_good_versions(&world, 2).await;
    start["policy"] = json!({"alpha": 0.02, "approval": true});
    let id = world.start_rollout(&start).await;
    assert_eq!(world.start_rollout(&start).await, id);
    // What is in force anyway asks for nothing else.
    start["policy"] = json!({"beta": 0.05});
    assert_eq!(world.start_rollout(&start).await, id);
    start["policy"] = json!({"alpha": 0.03});
    let stricter = world.post("/v1/rollouts", &start).await.unwrap_err();
    assert!(stricter.contains("already has a rollout"), "{stricter}");
    start["policy"] = json!({});
    assert_eq!(world.start_rollout(&start).await, id);
    // What a person overrules can be looked at afterwards.
    world.verdict_when(&id, |verdict| verdict["sequence"].as_u64() > Some(0)).await;
    world.post(&format!("/v1/rollouts/{id}/rollback"), &json!({"reason": "customers call"})).await.unwrap();
    let world = world.stop().await.start_with(&[]).await;
    let evidence = reqwest::get(format!("{}/v1/rollouts/{id}/evidence", world.api)).await.unwrap();
    assert!(evidence.status().is_success() && evidence.bytes().await.unwrap().starts_with(b"PAR1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_waits_for_a_person_where_the_policy_says_so() {
    let world = World::start().await;
    let mut start = two_good_versions(&world, 10).await;
    start["policy"] = json!({"approval": true});
    let id = world.start_rollout(&start).await;
    let waits = world.verdict_when(&id, |verdict| verdict["approval"]["awaited"] == true).await;
    assert_eq!((&waits["decision"], &waits["final"]), (&json!("continue"), &json!(false)));
    assert!(waits["reason"].as_str().unwrap().starts_with("waits for a person's approval: not worse"), "{waits}");
    let approve = format!("/v1/rollouts/{id}/approve");
    world.post(&approve, &json!({"reason": "", "actor": "ann"})).await.unwrap_err();
    world.post(&approve, &json!({"reason": "looks good", "actor": "ann"})).await.unwrap();
    let again = world.post(&approve, &json!({"reason": "me too", "actor": "bob"})).await.unwrap();
    assert_eq!(again["approval"]["by"], "ann", "the first one counts");
    let promoted = world.verdict_when(&id, |verdict| verdict["final"] == true).await;
    assert_eq!((&promoted["decision"], &promoted["approval"]["by"]), (&json!("promote"), &json!("ann")));
    assert_eq!(
        kinds(&world, &id).await,
        ["rollout.started", "verdict.changed", "approval.awaited", "rollout.approved", "verdict.changed", "rollout.promoted"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_fails_rolls_back_and_only_named_hosts_are_asked() {
    let shop = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = shop.local_addr().unwrap().port();
    let answering = tokio::spawn(async move {
        while let Ok((mut caller, _)) = shop.accept().await {
            let _ = caller.read(&mut [0; 4096]).await;
            let _ = caller.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    let world = World::start_with(&[("HALDANE_ANALYZER__PROBE_HOSTS", "[\"127.0.0.*\"]")]).await;
    let mut start = two_good_versions(&world, 2).await;
    start["policy"] = json!({"gates": [{"kind": "probe", "url": format!("http://127.0.0.1:{port}/health")}]});
    let id = world.start_rollout(&start).await;
    let failed = world.verdict_when(&id, |verdict| verdict["final"] == true).await;
    assert_eq!(failed["decision"], "rollback");
    assert_eq!(failed["reason"], "probe: 3 wrong answers in a row: status 503, 200 is right");
    start["policy"]["gates"][0]["url"] = json!("http://metadata.internal/");
    let other = world.start_rollout(&start).await;
    let held = until("it is said that the host is not asked", async || {
        let verdict = world.verdict(&other).await;
        verdict["reasons"].to_string().contains("not one of analyzer.probe_hosts").then_some(verdict)
    })
    .await;
    assert_eq!(held["decision"], "continue", "{held}");
    answering.abort();
}

/// Fifty records of one version, in the time of its traffic.
async fn log(world: &World, version: &str, severity: &str, body: impl Fn(u64) -> String) {
    let at = u64::try_from(SystemClock.now().minus(Duration::from_secs(120)).as_nanos()).unwrap();
    let record = |number: u64| LogRecord {
        time_unix_nano: at + number,
        severity_number: if severity == "WARN" { 13 } else { 9 },
        severity_text: severity.to_owned(),
        body: text("", &body(number)).value,
        ..LogRecord::default()
    };
    let attributes = vec![text("service.name", "payment"), text("service.version", version), text("deployment.environment.name", "shop")];
    let scope = ScopeLogs { log_records: (0..50).map(record).collect(), ..ScopeLogs::default() };
    let resource = Resource { attributes, ..Resource::default() };
    let logs = ResourceLogs { resource: Some(resource), scope_logs: vec![scope], ..ResourceLogs::default() };
    world.export("/v1/logs", &ExportLogsServiceRequest { resource_logs: vec![logs] }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_rollback_says_who_met_it_and_what_else_differs() {
    let world = World::start().await;
    Traffic { service: "payment", version: "1.4.0", minutes: 4, requests: 2_000, fails_each: 0 }.send(&world).await;
    Traffic { service: "payment", version: "1.5.0", minutes: 4, requests: 2_000, fails_each: 5 }.send(&world).await;
    for version in ["1.4.0", "1.5.0"] {
        log(&world, version, "INFO", |number| format!("order {number} paid")).await;
    }
    log(&world, "1.5.0", "WARN", |number| format!("card {number} tried again after 30 ms")).await;
    let start = json!({
        "service": "payment", "environment": "shop", "started_at": SystemClock.now().minus(Duration::from_secs(300)).to_rfc3339(),
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}, "metadata": {"commit": "3f2a91c"}
    });
    let id = world.start_rollout(&start).await;
    world.verdict_when(&id, |verdict| verdict["final"] == true).await;
    let record = world.get(&format!("/v1/rollouts/{id}/report.json")).await.unwrap();
    assert_eq!((&record["verdict"]["decision"], &record["rollout"]["metadata"]["commit"]), (&json!("rollback"), &json!("3f2a91c")));
    let impact = &record["impact"];
    // Each fifth request fails, so ten of fifty sessions always do.
    assert_eq!((&impact["users_served"], &impact["users_affected"]), (&json!(50), &json!(10)), "{impact}");
    assert!(impact["requests_affected"].as_u64().unwrap() > 200 && impact["failing_since"].is_string(), "{impact}");
    assert!(impact["time_to_detect_seconds"].as_f64().unwrap() > 60.0);
    let expected = json!([{"key": "build.number", "baseline": ["build of 1.4.0"], "canary": ["build of 1.5.0"]}]);
    assert_eq!(record["differences"]["attributes"], expected);
    let message = json!([{"severity": "WARN", "message": "card <num> tried again after <num> ms", "count": 50, "trace_id": ""}]);
    assert_eq!(record["differences"]["new_messages"], message);
    for path in [format!("/v1/rollouts/{id}/report.md"), format!("/rollouts/{id}?file=true")] {
        let report = world.get(&path).await.unwrap().as_str().unwrap().to_owned();
        for told in ["10 of the 50 users", "build of 1.5.0", "tried again after", "Roll the canary back, if the tool that deploys"] {
            assert!(report.contains(told), "{path} does not say {told}: {report}");
        }
    }
    let steps = record["next_steps"].to_string();
    assert!(steps.contains("Roll the canary back") && steps.contains("Look at POST /pay, for example trace"), "{steps}");
    let unknown = world.get("/v1/rollouts/00000000-0000-0000-0000-000000000000/report.json").await.unwrap_err();
    assert!(unknown.contains("unknown-rollout"), "{unknown}");
}
