use serde_json::{Value, json};

use crate::http::tests::Shop;

const ARGO: &str = "/integrations/argo/verdict";

fn argo(canary: &str) -> Value {
    json!({
        "service": "payment", "environment": "shop",
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": canary}
    })
}

fn flagger(phase: &str, checksum: &str) -> Value {
    json!({
        "name": "payment", "namespace": "shop", "phase": phase, "checksum": checksum,
        "metadata": {"baseline": "service.version=1.4.0", "canary": "service.version=1.5.0"}
    })
}

async fn decide(shop: &Shop, id: &str, word: &str) {
    let answer = shop.post(&format!("/v1/rollouts/{id}/{word}"), &json!({"reason": "told so"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn argo_starts_a_rollout_by_asking_and_gets_the_decision_with_200() {
    let shop = Shop::open().await;
    let unknown = shop.post(ARGO, &json!({"service": "ghost", "baseline": {"a": "1"}, "canary": {"a": "2"}})).await;
    assert_eq!((unknown.status, &unknown.json()["decision"], &unknown.json()["final"]), (200, &json!("continue"), &json!(false)));
    assert!(unknown.json()["reason"].as_str().unwrap().contains("no telemetry of service ghost"));

    let first = shop.post(ARGO, &argo("1.5.0")).await.json();
    let id = first["rollout_id"].as_str().unwrap().to_owned();
    assert_eq!((&first["decision"], &first["url"]), (&json!("continue"), &json!(format!("http://localhost/v1/rollouts/{id}/report"))));
    let query = format!("{ARGO}?service=payment&environment=shop&canary=service.version%3D1.5.0&baseline=service.version%3D1.4.0");
    assert_eq!(shop.get(&query).await.json()["rollout_id"], json!(id), "asked by GET it is the same one");
    decide(&shop, &id, "rollback").await;
    let ended = shop.post(ARGO, &argo("1.5.0")).await.json();
    assert_eq!((&ended["decision"], &ended["final"], &ended["rollout_id"]), (&json!("rollback"), &json!(true), &json!(id)));

    let second = shop.post(ARGO, &argo("1.6.0")).await.json()["rollout_id"].as_str().unwrap().to_owned();
    assert_eq!(shop.post(ARGO, &argo("1.5.0")).await.json()["decision"], "rollback", "a verdict stays, whatever came after it");
    let third = shop.post(ARGO, &argo("1.7.0")).await.json();
    assert_eq!(third["decision"], "continue");
    assert!(third["reason"].as_str().unwrap().contains(&second), "two who ask in turn do not take each other's rollout away: {third}");
    shop.send("DELETE", &format!("/v1/rollouts/{second}"), &[], "").await;
    let third = shop.post(ARGO, &argo("1.7.0")).await.json()["rollout_id"].as_str().unwrap().to_owned();
    shop.send("DELETE", &format!("/v1/rollouts/{third}"), &[], "").await;
    let mut wrong = argo("1.5.0");
    wrong["policy"] = json!({"alpha": 99});
    assert!(shop.post(ARGO, &wrong).await.problem(400, "invalid-request").contains("alpha"), "also where nothing is started");
    let asked = shop.started().await;
    let other = shop.post(ARGO, &argo("1.8.0")).await.json();
    assert!(other["reason"].as_str().unwrap().contains(&asked), "one that somebody asked for is not taken away: {other}");
    assert!(shop.post(ARGO, &json!({"service": "payment"})).await.problem(400, "invalid-request").contains("baseline"));
    assert!(shop.get(&format!("{ARGO}?service=payment&canary=x&baseline=y")).await.problem(400, "invalid-request").contains("baseline: "));
}

#[tokio::test]
async fn the_gates_of_flagger_open_and_close_with_the_verdict() {
    let shop = Shop::open().await;
    let ask = async |gate: &str, body: &Value| shop.post(&format!("/integrations/flagger/{gate}"), body).await;
    let open = async |gate: &str, checksum: &str| ask(gate, &flagger("Progressing", checksum)).await.status == 200;
    let gates =
        ["confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "rollback", "post-rollout", "event"];
    let all = async |checksum: &str| {
        let mut found = Vec::new();
        for gate in gates.into_iter().filter(|gate| *gate != "post-rollout") {
            found.extend(open(gate, checksum).await.then_some(gate));
        }
        found
    };
    let ghost = json!({"name": "ghost", "namespace": "shop", "phase": "Progressing", "checksum": "a"});
    assert_eq!(ask("rollout", &ghost).await.status, 200);
    assert!(ask("confirm-promotion", &ghost).await.problem(403, "gate-closed").contains("no telemetry of service ghost"));

    assert_eq!(all("a").await, ["confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "event"]);
    let id = ask("rollout", &flagger("Progressing", "a")).await.json()["rollout_id"].as_str().unwrap().to_owned();
    let rollout = shop.get(&format!("/v1/rollouts/{id}")).await.json();
    assert_eq!((&rollout["metadata"]["checksum"], &rollout["metadata"]["orchestrator"]), (&json!("a"), &json!("flagger")));
    decide(&shop, &id, "rollback").await;
    assert_eq!(all("a").await, ["confirm-rollout", "pre-rollout", "rollback", "event"]);
    assert!(ask("rollout", &flagger("Progressing", "a")).await.problem(403, "gate-closed").contains("told so"));

    let next = ask("pre-rollout", &flagger("Progressing", "b")).await.json()["rollout_id"].as_str().unwrap().to_owned();
    assert_ne!(next, id);
    decide(&shop, &next, "promote").await;
    assert_eq!(all("b").await, ["confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "event"]);
    let replaced = ask("rollout", &flagger("Progressing", "c")).await.json()["rollout_id"].as_str().unwrap().to_owned();
    let third = ask("rollout", &flagger("Progressing", "d")).await.json()["rollout_id"].as_str().unwrap().to_owned();
    assert_ne!(replaced, third, "another revision is another rollout, though its pods are picked in the same way");
    let left = shop.get(&format!("/v1/rollouts/{replaced}")).await.json();
    assert_eq!((&left["state"], &left["state_reason"]), (&json!("cancelled"), &json!("flagger went on to service.version=1.5.0")));
    assert_eq!(ask("post-rollout", &flagger("Failed", "d")).await.status, 200);
    assert_eq!(shop.get(&format!("/v1/rollouts/{third}")).await.json()["state_reason"], "Flagger ended with Failed");
    assert_eq!(ask("post-rollout", &flagger("Succeeded", "never-seen")).await.status, 200);
    assert_eq!(shop.get("/v1/rollouts?state=pending").await.json()["rollouts"], json!([]), "the last webhook begins nothing");
    assert!(ask("gate", &flagger("Progressing", "a")).await.problem(404, "unknown-path").contains("confirm-promotion"));
    shop.post("/integrations/flagger/rollout", &json!({"name": "x"})).await.problem(400, "invalid-request");
}

#[tokio::test]
async fn what_asks_as_of_a_prometheus_gets_verdicts_as_numbers() {
    let shop = Shop::open().await;
    let ask = async |query: &str| {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        shop.get(&format!("/integrations/flagger/api/v1/query?query={encoded}&time=1")).await
    };
    let value = async |query: &str| ask(query).await.json()["data"]["result"][0]["value"][1].clone();
    assert_eq!(value("vector(1)").await, "1");
    let sum = ask("1+1*2").await.json();
    assert_eq!((&sum["status"], &sum["data"]["resultType"], &sum["data"]["result"][1]), (&json!("success"), &json!("scalar"), &json!("3")));
    let selector = "haldane_verdict_rollback{service=\"payment\",environment=~\"sh.*\"}";
    assert_eq!(ask(selector).await.json()["data"]["result"], json!([]), "there is no rollout yet");
    assert_eq!(
        value("haldane_verdict_rollback{service=\"payment\",environment=\"shop\"}").await,
        "0",
        "Flagger takes no value for a failure"
    );
    let id = shop.started().await;
    assert_eq!(value(selector).await, "0");
    decide(&shop, &id, "rollback").await;
    assert_eq!(value(selector).await, "1");
    assert_eq!(value("haldane_verdict_score{service=\"payment\"}").await, "0");
    assert_eq!(value("{__name__=\"haldane_verdict_final\",service!=\"x\"}").await, "1");
    assert_eq!(ask("haldane_verdict_promote{environment!~\"shop\"}").await.json()["data"]["result"], json!([]));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(shop.send("POST", "/api/v1/query", &form, "query=vector(2)").await.json()["data"]["result"][0]["value"][1], "2");
    for wrong in [
        "rate(haldane_verdict_score[5m])",
        "up",
        "sum(haldane_verdict_score)",
        "1 +",
        "haldane_verdict_score offset 5m",
        "vector(time())",
        "",
    ] {
        let refused = ask(wrong).await;
        assert_eq!((refused.status, &refused.json()["errorType"]), (400, &json!("bad_data")), "{wrong}: {}", refused.text);
    }
    assert_eq!(shop.get("/api/v1/query").await.status, 400);
}
