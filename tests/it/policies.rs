//! Policies as files: checked by hand, selected by the server, taken over when they change.

use std::process::{Command, Output};
use std::time::Duration;

use haldane_store::clock::{Clock as _, SystemClock};
use serde_json::json;

use crate::traffic::Traffic;
use crate::world::{World, until};

fn haldane(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haldane")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn policy_files_are_checked_by_hand_and_have_a_schema() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("a.yaml"), "services: [payment]\npolicy:\n  alpha: 0.02\n").unwrap();
    let good = haldane(&["policy", "check", dir.path().to_str().unwrap()]);
    assert!(good.status.success() && text(&good.stderr).contains("1 of 1 are good"), "{}", text(&good.stderr));
    std::fs::write(path("b.yaml"), "policy:\n  alpha: 2\n  error_relatve: 1\n").unwrap();
    std::fs::write(path("c.yaml"), "policy:\n  beta: 0.9\n").unwrap();
    let bad = haldane(&["policy", "check", dir.path().to_str().unwrap()]);
    let told = text(&bad.stdout);
    assert_eq!(bad.status.code(), Some(2));
    assert!(told.contains("b.yaml:3: ") && told.contains("error_relatve") && told.contains("c.yaml:2: beta is 0.9"), "{told}");
    let settings = path("haldane.toml");
    std::fs::write(&settings, format!("policies = {:?}\n", dir.path())).unwrap();
    let refused = haldane(&["serve", "--config", &settings, "--data", &path("data")]);
    assert!(refused.status.code() == Some(2) && text(&refused.stderr).contains("b.yaml:3: "), "{}", text(&refused.stderr));
    let schema: serde_json::Value = serde_json::from_slice(&haldane(&["policy", "schema"]).stdout).unwrap();
    assert_eq!(schema["$ref"], "#/$defs/PolicyFile");
    let text = schema.to_string();
    for part in text.split("\"$ref\":\"#/$defs/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schema["$defs"][name].is_object(), "{name} is not in the schema");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_gets_the_policy_of_the_folder_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("payments.yaml");
    std::fs::write(&file, "services: [pay*]\npolicy:\n  error_relative: 0.1\n  alpha: 0.02\n").unwrap();
    let world = World::start_with(&[("HALDANE_POLICIES", dir.path().to_str().unwrap())]).await;
    Traffic { service: "payment", version: "1.4.0", minutes: 1, requests: 10, fails_each: 0 }.send(&world).await;
    let start = json!({
        "service": "payment", "environment": "shop", "policy": {"alpha": 0.03},
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}
    });
    let id = world.start_rollout(&start).await;
    let rollout = world.get(&format!("/v1/rollouts/{id}")).await.unwrap();
    assert_eq!(rollout["policy"], json!({"alpha": 0.03, "error_relative": 0.1}), "what the request says comes first");
    let name = rollout["policy_name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("payments@"), "{name}");
    assert_eq!(world.get("/v1/policies").await.unwrap()["policies"][0]["name"], "payments");

    std::fs::write(&file, "services: [pay*]\npolicy:\n  error_relative: 0.3\n").unwrap();
    let changed = until("the change is taken over", async || {
        let audit = world.get("/v1/audit?kind=policy.changed").await.unwrap();
        audit["events"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_ne!(changed["details"]["policy"].as_str(), Some(name.as_str()));
    let kept = world.get(&format!("/v1/rollouts/{id}")).await.unwrap();
    assert_eq!(kept["policy"]["error_relative"], 0.1, "a rollout keeps what it began with");
    std::fs::write(&file, "services: [pay*]\npolicy:\n  error_relative: much\n").unwrap();
    world.post(&format!("/v1/rollouts/{id}/promote"), &json!({"reason": "enough"})).await.unwrap();
    let next = world.start_rollout(&start).await;
    let next = world.get(&format!("/v1/rollouts/{next}")).await.unwrap();
    assert_eq!(next["policy"]["error_relative"], 0.3, "a file with a mistake leaves what it said before in force");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_is_tried_on_past_rollouts() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start().await;
    Traffic { service: "payment", version: "1.4.0", minutes: 4, requests: 2_000, fails_each: 0 }.send(&world).await;
    Traffic { service: "payment", version: "1.5.0", minutes: 4, requests: 2_000, fails_each: 50 }.send(&world).await;
    let started_at = SystemClock.now().minus(Duration::from_secs(300)).to_rfc3339();
    let start = json!({
        "service": "payment", "environment": "shop", "started_at": started_at,
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}
    });
    let id = world.start_rollout(&start).await;
    world.verdict_when(&id, |verdict| verdict["final"] == true).await;
    let test = |policy: &str| {
        let file = dir.path().join("p.yaml");
        std::fs::write(&file, policy).unwrap();
        let output = haldane(&["policy", "test", file.to_str().unwrap(), "--since", "1h", "--url", &world.api]);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, told, summary) = test("policy:\n  error_absolute: 0.0005\n");
    assert!(code == Some(0) && told.is_empty() && summary.contains("1 rollouts judged again, 0 would"), "{told} {summary}");
    let (code, told, summary) = test("policy:\n  checks: [{name: latency, required: true, weight: 1}]\n");
    assert!(code == Some(0) && summary.contains("1 would have been decided otherwise"), "{summary}");
    assert!(told.contains(&id) && told.contains("payment in shop: rollback became promote after"), "{told}");
    let (code, ..) = test("services: [cart]\npolicy:\n  alpha: 7\n");
    assert_eq!(code, Some(2), "a file with a mistake is not tried");
}
