//! The judge tried on what a service did lately: plans before a release, and A/A tests of every service.

use std::process::Command;

use serde_json::{Value, json};

use crate::traffic::Traffic;
use crate::world::{World, until};

/// 40 minutes of one version on two instances, 5 requests a second, half a percent of them failing.
const PAST: Traffic = Traffic { service: "payment", version: "1.4.0", minutes: 40, requests: 12_000, fails_each: 199 };

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_before_a_release_what_will_be_found() {
    let world = World::start().await;
    PAST.send(&world).await;
    until("all of it can be read", async || (world.number("SELECT count(*) FROM spans").await == 12_000).then_some(())).await;

    let arguments = ["plan", "--service", "payment", "--environment", "shop", "--split", "50%", "--for", "20m"];
    let plan = |more: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_haldane")).env("HALDANE_URL", &world.api).args(arguments).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let body: Value = serde_json::from_str(&plan(&["--json"])).unwrap();
    assert_eq!((&body["version"], &body["instances"], &body["tried_seconds"]), (&json!("1.4.0"), &json!(2), &json!(1200)));
    let rate = body["error_rate"].as_f64().unwrap();
    assert!((0.004..0.006).contains(&rate) && body["false_rollbacks"]["count"] == json!(0), "{body:#}");
    let found: Vec<_> = body["faults"].as_array().unwrap().iter().map(|fault| fault["found"]["count"].as_u64().unwrap()).collect();
    assert!(found[2] >= found[0] && found[5] == 5, "five times the errors shows no less than twice, twice the latency always: {body:#}");
    let text = plan(&[]);
    assert!(text.starts_with("payment 1.4.0 in shop served ") && text.contains(" requests/s in 2 instances, 0."), "{text}");
    assert!(text.contains("\nlatency × 2: found after "), "{text}");

    let ask = async |body: Value| world.post("/v1/plans", &body).await.unwrap_err();
    assert!(ask(json!({"service": "pay", "split": 0.1, "for": "30m"})).await.contains("unknown-service"));
    assert!(ask(json!({"service": "payment", "environment": "shop", "split": 2, "for": "30m"})).await.contains("split is 200 %"));
    assert!(ask(json!({"service": "payment", "environment": "shop", "split": 0.1, "for": "soon"})).await.contains("for: "));
    let checks = json!([{"name": "speed"}]);
    let wrong = json!({"service": "payment", "environment": "shop", "split": 0.1, "for": "30m", "policy": {"checks": checks}});
    assert!(ask(wrong).await.contains("there is no check"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_is_tried_on_every_service_and_says_how_it_did() {
    let world = World::start_with(&[("HALDANE_ANALYZER__CALIBRATE_EVERY_SECONDS", "2")]).await;
    PAST.send(&world).await;
    Traffic { service: "new", version: "1", minutes: 5, requests: 100, fails_each: 0 }.send(&world).await;
    let known = "SELECT replays FROM calibrations WHERE service_name = 'payment' AND environment = 'shop' AND check = 'error_rate'";
    let rows = until("a run of replays is done", async || Some(world.rows(known).await).filter(|rows| !rows.is_empty())).await;
    assert!(rows[0]["replays"].as_i64().unwrap() >= 11, "{rows:?}");
    let rates = world.rows("SELECT \"check\", false_rollback_rate, stated_rate, phi, discount FROM calibrations ORDER BY 1").await;
    assert_eq!(rates.len(), 6, "none of the service with too short a past: {rates:?}");
    assert!(rates.iter().all(|row| row["false_rollback_rate"] == json!(0.0) && row["discount"] == json!(1.0)), "{rates:?}");

    let metrics = world.get("/metrics").await.unwrap().as_str().unwrap().to_owned();
    for line in [
        "haldane_judge_aa_rollbacks{service=\"payment\",environment=\"shop\"} 0",
        "haldane_judge_discount{service=\"payment\",environment=\"shop\",check=\"error_rate\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let rollout =
        json!({"service": "payment", "environment": "shop", "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "2"}});
    let id = world.start_rollout(&rollout).await;
    let verdict = world.verdict_when(&id, |verdict| verdict["sequence"].as_u64() > Some(0)).await;
    let calibration = &verdict["calibration"];
    assert!(calibration["replays"].as_u64().unwrap() >= 11 && calibration["rollbacks"] == json!(0), "{calibration:#}");
    assert_eq!(calibration["checks"].as_array().unwrap().len(), 6);
}
