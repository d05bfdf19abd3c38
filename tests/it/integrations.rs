//! Deploy tools by their own contracts, on real telemetry of a good and a bad release.

use std::process::Command;

use haldane_store::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::clients::installed;
use crate::traffic::Traffic;
use crate::world::{World, repository, until};

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

/// Runs a program made of a tool's own code; each line that it prints is a document.
fn tool(program: &str, words: &[&str]) -> Vec<Value> {
    let output = Command::new(installed(&format!("go/bin/{program}"))).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One measurement of Argo's own metric provider, by a committed template.
fn argo(world: &World, template: &str, service: &str) -> Value {
    let template = repository("deploy/argo").join(template);
    let service = format!("service={service}");
    let mut words = vec!["-age", "12m", &world.api, template.to_str().unwrap(), &service];
    words.extend(["environment=shop", "attribute=service.version", "canary=1.5.0", "baseline=1.4.0"]);
    tool("argo", &words).remove(0)
}

/// What Flagger takes the answers of its hooks for, by type.
fn hooks(world: &World, service: &str, phase: &str, types: &str) -> Vec<(String, bool, String)> {
    let canary = repository("deploy/flagger/canary-example.yaml");
    let service = format!("service={service}");
    let mut words = vec!["hooks", "-phase", phase, "-revision", "1", "-types", types, &world.api, canary.to_str().unwrap(), &service];
    words.extend(["environment=shop", "baseline=service.version=1.4.0", "canary=service.version=1.5.0"]);
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    tool("flagger", &words).iter().map(|line| (text(line, "type"), line["passed"] == true, text(line, "said"))).collect()
}

fn flagger_metric(world: &World, service: &str) -> Value {
    let template = repository("deploy/flagger/metric-template.yaml");
    tool("flagger", &["metric", &world.api, template.to_str().unwrap(), &format!("service={service}"), "environment=shop"]).remove(0)
}

/// A service whose new version is bad, one whose new version is as good, one that has too few requests to say.
async fn three_services(world: &World) {
    for (service, requests, fails_each) in [("payment", 3_000, 8), ("checkout", 3_000, 0), ("quiet", 40, 0)] {
        Traffic { service, version: "1.4.0", minutes: 10, requests, fails_each: 0 }.send(world).await;
        Traffic { service, version: "1.5.0", minutes: 10, requests, fails_each }.send(world).await;
    }
    until("all of it is visible", async || (world.number("SELECT count(*) FROM spans").await == 12_080).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn argos_own_provider_measures_by_the_templates() {
    let world = World::start().await;
    three_services(&world).await;
    let said = |measured: &Value| -> Value { serde_json::from_str(measured["value"].as_str().unwrap()).unwrap() };
    for (service, phase, decision) in [("checkout", "Successful", "promote"), ("payment", "Failed", "rollback")] {
        let decided = async || Some(argo(&world, "analysis-template.yaml", service)).filter(|one| one["phase"] != "Inconclusive");
        let measured = until("a decision", decided).await;
        assert_eq!(measured["phase"], phase, "{measured:#}");
        assert_eq!((&said(&measured)["decision"], &said(&measured)["final"]), (&json!(decision), &json!(true)));
        let again = argo(&world, "cluster-analysis-template.yaml", service);
        assert_eq!(said(&again)["rollout_id"], said(&measured)["rollout_id"], "a later step finds the same verdict");
    }
    // Too few requests; a service that nobody has heard of.
    for service in ["quiet", "nobody"] {
        let measured = argo(&world, "analysis-template.yaml", service);
        assert_eq!(measured["phase"], "Inconclusive", "{measured:#}");
        let value = said(&measured);
        assert_eq!((&value["decision"], &value["final"], &value["status"]), (&json!("continue"), &json!(false), &json!("running")));
    }
    let wrong = argo(&world, "analysis-template.yaml", "");
    assert_eq!((&wrong["phase"], &wrong["message"]), (&json!("Error"), &json!("received non 2xx response code: 400")));
    for (service, phase) in [("payment", "Failed"), ("checkout", "Successful")] {
        let measured = argo(&world, "kayenta-analysis-template.yaml", service);
        assert_eq!(measured["phase"], phase, "by Kayenta's provider, {service}: {measured:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flaggers_own_code_opens_and_closes_its_gates() {
    const ALL: &str = "confirm-rollout,pre-rollout,rollout,confirm-traffic-increase,confirm-promotion,rollback,event";
    let world = World::start().await;
    three_services(&world).await;
    let passed = |service: &str, phase: &str, gate: &str| hooks(&world, service, phase, gate).remove(0).1;
    let open = |service: &str| -> Vec<String> {
        hooks(&world, service, "Progressing", ALL).into_iter().filter(|(_, passed, _)| *passed).map(|(kind, ..)| kind).collect()
    };
    let undecided = ["confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "event"];
    for service in ["nobody", "quiet"] {
        assert_eq!(open(service), undecided, "{service}");
        let metric = flagger_metric(&world, service);
        assert_eq!((&metric["online"], &metric["value"]), (&json!(true), &json!(0)), "{metric}");
    }
    assert!(passed("payment", "Progressing", "pre-rollout"));
    until("a reason to roll back", async || (flagger_metric(&world, "payment")["value"] == 1).then_some(())).await;
    assert_eq!(open("payment"), ["confirm-rollout", "pre-rollout", "rollback", "event"]);
    let refused = hooks(&world, "payment", "Progressing", "rollout").remove(0).2;
    assert!(refused.contains("rollback: ") && refused.contains("375"), "people read it in Flagger's events: {refused}");

    assert!(passed("checkout", "Progressing", "pre-rollout"));
    until("a promotion", async || passed("checkout", "Progressing", "confirm-promotion").then_some(())).await;
    let all_but_rollback = ["confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "event"];
    assert_eq!(open("checkout"), all_but_rollback);
    assert_eq!(flagger_metric(&world, "checkout")["value"], 0);

    for (service, phase) in [("payment", "Failed"), ("checkout", "Succeeded"), ("quiet", "Failed")] {
        assert!(passed(service, phase, "post-rollout"), "{service}");
    }
    let rollouts = world.get("/v1/rollouts").await.unwrap();
    let state = |service: &str| {
        let all = rollouts["rollouts"].as_array().unwrap();
        all.iter().find(|one| one["service"] == service).map(|one| one["state"].as_str().unwrap().to_owned())
    };
    let states = ["payment", "checkout", "quiet"].map(|service| state(service).unwrap());
    assert_eq!(states, ["rolled_back", "promoted", "cancelled"], "Flagger's end ends what is undecided");

    // The same version once more. Flagger asks whether to roll back before it asks the first gate.
    assert!(!passed("payment", "Progressing", "rollback"), "what was said of the attempt before is not said of this one");
    assert!(passed("payment", "Progressing", "pre-rollout"));
    let listed = world.get("/v1/rollouts?service=payment").await.unwrap();
    assert_eq!(listed["rollouts"].as_array().unwrap().len(), 2, "{listed:#}");
}
