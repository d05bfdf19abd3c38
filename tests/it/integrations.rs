//! Deploy tools by their own contracts, on real telemetry of a good and a bad release.

use haldane_store::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::traffic::Traffic;
use crate::world::{World, until};

async fn releases(world: &World) {
    for (version, fails_each) in [("1.4.0", 200), ("1.5.0", 8)] {
        Traffic { service: "payment", version, minutes: 10, requests: 3_000, fails_each }.send(world).await;
    }
    until("all of it is visible", async || (world.number("SELECT count(*) FROM spans").await == 6_000).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn argo_polls_until_it_is_told_to_roll_back() {
    let world = World::start().await;
    releases(&world).await;
    let question = json!({
        "service": "payment", "environment": "shop",
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}
    });
    let ask = async || world.post("/integrations/argo/verdict", &question).await.unwrap();
    let answer = until("a decision", async || Some(ask().await).filter(|answer| answer["decision"] != "continue")).await;
    assert_eq!((&answer["decision"], &answer["final"], &answer["score"]), (&json!("rollback"), &json!(true), &json!(0)), "{answer:#}");
    assert_eq!(ask().await["rollout_id"], answer["rollout_id"], "who asks once more gets the same answer");
    assert_eq!(world.get("/v1/rollouts").await.unwrap()["rollouts"].as_array().unwrap().len(), 1);
    let metric = world.get("/api/v1/query?query=haldane_verdict_rollback%7Bservice%3D%22payment%22%7D").await.unwrap();
    assert_eq!(metric["data"]["result"][0]["value"][1], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_kayenta_gets_a_score() {
    let world = World::start().await;
    releases(&world).await;
    let now = SystemClock.now();
    let ago = |minutes: u64| now.minus(std::time::Duration::from_secs(minutes * 60)).to_rfc3339();
    let score = async |canary: &str, config: &str| -> Value {
        let side = |version: &str| json!({"scope": version, "location": "shop", "start": ago(12), "end": ago(0), "step": 60});
        let body = json!({
            "scopes": {"default": {"controlScope": side("1.4.0"), "experimentScope": side(canary)}}, "thresholds": {"pass": 95, "marginal": 75}
        });
        let id = world.post(&format!("/integrations/kayenta/canary/{config}?application=payment"), &body).await.unwrap();
        let path = format!("/integrations/kayenta/canary/{}", id["canaryExecutionId"].as_str().unwrap());
        until("the execution is complete", async || Some(world.get(&path).await.unwrap()).filter(|status| status["complete"] == true)).await
    };
    let bad = score("1.5.0", "haldane").await;
    let judged = &bad["result"]["judgeResult"];
    assert_eq!((&judged["score"]["score"], &judged["score"]["classification"]), (&json!(0.0), &json!("Fail")), "{bad:#}");
    assert!(judged["score"]["classificationReason"].as_str().unwrap().contains("errors on POST /pay"));
    let errors = judged["results"].as_array().unwrap().iter().find(|one| one["name"] == "error_rate").unwrap();
    assert_eq!((&errors["classification"], &errors["experimentMetadata"]["stats"]["events"]), (&json!("High"), &json!(375)));

    let own = json!({
        "name": "by-kayenta", "applications": ["payment"], "judge": {"name": "NetflixACAJudge-v1.0", "judgeConfigurations": {}}, "metrics": [],
        "classifier": {"groupWeights": {}}
    });
    let id = world.post("/integrations/kayenta/canaryConfig", &own).await.unwrap()["canaryConfigId"].as_str().unwrap().to_owned();
    let by_kayenta = score("1.5.0", &id).await;
    assert_eq!(by_kayenta["result"]["judgeResult"]["judgeName"], "NetflixACAJudge-v1.0");
    assert_eq!(by_kayenta["result"]["judgeResult"]["score"]["classification"], "Fail", "{by_kayenta:#}");
}
