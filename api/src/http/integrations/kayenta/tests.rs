use serde_json::{Value, json};

use crate::http::tests::Shop;

const BASE: &str = "/integrations/kayenta";

fn config(name: &str) -> Value {
    json!({
        "name": name, "applications": ["payment"], "configVersion": "1", "judge": {"name": "haldane-v1.0", "judgeConfigurations": {}},
        "metrics": [
            {"name": "errors", "query": {"type": "haldane", "check": "error_rate"}, "groups": ["users"], "scopeName": "default"},
            {"name": "cpu", "query": {"type": "prometheus", "customInlineTemplate": "x"}, "groups": ["machines"], "scopeName": "default"}
        ],
        "templates": {"a": "b"}, "classifier": {"groupWeights": {"users": 100}}
    })
}

fn scopes(start: &str, end: &str) -> Value {
    let side =
        |version: &str| json!({"scope": version, "location": "shop", "start": start, "end": end, "step": 60, "extendedScopeParams": {}});
    json!({"default": {"controlScope": side("1.4.0"), "experimentScope": side("service.version=1.5.0")}})
}

#[tokio::test]
async fn configurations_are_kept_listed_and_given_back_as_they_were() {
    let shop = Shop::open().await;
    let first = shop.get(&format!("{BASE}/canaryConfig?application=payment")).await.json();
    assert_eq!(
        (&first[0]["id"], &first[0]["name"], &first[0]["applications"]),
        (&json!("haldane"), &json!("haldane"), &json!(["payment"]))
    );
    let id = shop.post(&format!("{BASE}/canaryConfig"), &config("mine")).await.json()["canaryConfigId"].as_str().unwrap().to_owned();
    let kept = shop.get(&format!("{BASE}/canaryConfig/{id}")).await.json();
    assert_eq!((&kept["templates"], &kept["metrics"][0]["scopeName"], &kept["id"]), (&json!({"a": "b"}), &json!("default"), &json!(id)));
    assert_eq!(shop.get(&format!("{BASE}/canaryConfig?application=payment")).await.json().as_array().unwrap().len(), 2);
    assert_eq!(shop.get(&format!("{BASE}/canaryConfig?application=other")).await.json().as_array().unwrap().len(), 1);
    let mut again = config("mine");
    again["id"] = json!(id);
    assert!(shop.post(&format!("{BASE}/canaryConfig"), &again).await.problem(400, "invalid-request").contains("exists already"));
    again["name"] = json!("renamed");
    let json = [("content-type", "application/json")];
    assert_eq!(shop.send("PUT", &format!("{BASE}/canaryConfig/{id}"), &json, again.to_string()).await.json()["canaryConfigId"], json!(id));
    assert_eq!(shop.get(&format!("{BASE}/canaryConfig/{id}")).await.json()["name"], "renamed");
    assert_eq!(shop.send("DELETE", &format!("{BASE}/canaryConfig/{id}"), &[], "").await.status, 204);
    shop.get(&format!("{BASE}/canaryConfig/{id}")).await.problem(404, "unknown-document");
    for (key, value) in [("name", json!("a b")), ("applications", json!([]))] {
        let mut wrong = config("mine");
        wrong[key] = value;
        assert!(shop.post(&format!("{BASE}/canaryConfig"), &wrong).await.problem(400, "invalid-request").starts_with(key));
    }
    let mut twice = config("mine");
    twice["metrics"][1]["name"] = json!("errors");
    assert!(shop.post(&format!("{BASE}/canaryConfig"), &twice).await.problem(400, "invalid-request").contains("two of the name"));
}

#[tokio::test]
async fn an_execution_is_judged_once_its_time_is_over() {
    let shop = Shop::open().await;
    let thresholds = json!({"pass": 95, "marginal": 75});
    let ask = async |body: Value| shop.post(&format!("{BASE}/canary/haldane?application=payment"), &body).await;
    let past = ask(json!({"scopes": scopes("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z"), "thresholds": thresholds})).await.json();
    let id = past["canaryExecutionId"].as_str().unwrap().to_owned();
    let status = shop.get(&format!("{BASE}/canary/{id}")).await.json();
    assert_eq!((&status["complete"], &status["status"]), (&json!(true), &json!("succeeded")), "{status:#}");
    let judged = &status["result"]["judgeResult"];
    assert_eq!(
        (&judged["score"]["score"], &judged["score"]["classification"]),
        (&json!(85.0), &json!("Marginal")),
        "no data is no pass and no failure"
    );
    assert_eq!((&status["application"], &status["result"]["canaryDuration"]), (&json!("payment"), &json!("PT600S")));
    let future = ask(json!({"scopes": scopes("2026-01-01T00:00:00Z", &ahead(&shop)), "thresholds": thresholds})).await.json();
    let later = shop.get(&format!("{BASE}/canary/{}", future["canaryExecutionId"].as_str().unwrap())).await.json();
    assert_eq!((&later["complete"], &later["status"], &later["result"]), (&json!(false), &json!("running"), &Value::Null));
    let listed = shop.get(&format!("{BASE}/canary/executions?application=payment&limit=1&page=2")).await.json();
    assert_eq!(listed[0]["pipelineId"], json!(id));

    let ad_hoc = json!({
        "canaryConfig": config("x"), "executionRequest": {"scopes": scopes("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z"), "thresholds": thresholds}
    });
    let id =
        shop.post(&format!("{BASE}/canary?application=payment"), &ad_hoc).await.json()["canaryExecutionId"].as_str().unwrap().to_owned();
    let results = shop.get(&format!("{BASE}/canary/{id}")).await.json()["result"]["judgeResult"]["results"].clone();
    let named: Vec<(&str, &str)> =
        results.as_array().unwrap().iter().map(|one| (one["name"].as_str().unwrap(), one["classification"].as_str().unwrap())).collect();
    assert_eq!(named, [("errors", "Nodata"), ("cpu", "Nodata")]);
    assert!(results[1]["classificationReason"].as_str().unwrap().contains("prometheus"));

    let no_thresholds = ask(json!({"scopes": scopes("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z")})).await;
    assert!(no_thresholds.problem(400, "invalid-request").starts_with("thresholds"));
    let no_time = ask(json!({"scopes": scopes("2026-01-01T00:00:00Z", "soon"), "thresholds": thresholds})).await;
    assert!(no_time.problem(400, "invalid-request").starts_with("experimentScope.end"));
    shop.post(&format!("{BASE}/canary/none"), &json!({"scopes": {}})).await.problem(404, "unknown-document");
    shop.get(&format!("{BASE}/canary/none")).await.problem(404, "unknown-document");
}

fn ahead(shop: &Shop) -> String {
    shop.now().plus(std::time::Duration::from_secs(600)).to_rfc3339()
}

#[tokio::test]
async fn a_standalone_analysis_judges_at_its_intervals() {
    let shop = Shop::open().await;
    let scope = json!({
        "scopeName": "default", "controlScope": "1.4.0", "controlLocation": "shop", "experimentScope": "1.5.0", "experimentLocation": "shop",
        "startTimeIso": "2026-01-01T00:00:00Z", "endTimeIso": "2026-01-01T00:30:00Z", "step": 60
    });
    let request = json!({"scopes": [scope], "thresholds": {"pass": 95, "marginal": 75}, "analysisIntervalMins": 10});
    let path = format!("{BASE}/standalone_canary_analysis");
    let id = shop.post(&format!("{path}/haldane?application=payment&user=ann"), &request).await.json();
    let id = id["canaryAnalysisExecutionId"].as_str().unwrap().to_owned();
    let status = shop.get(&format!("{path}/{id}")).await.json();
    assert_eq!(
        (&status["complete"], &status["executionStatus"], &status["user"]),
        (&json!(true), &json!("TERMINAL"), &json!("ann")),
        "{status:#}"
    );
    let result = &status["canaryAnalysisExecutionResult"];
    assert_eq!((&result["didPassThresholds"], &result["canaryScores"]), (&json!(false), &json!([85.0, 85.0, 85.0])));
    assert_eq!(result["canaryExecutionResults"][1]["judgementEndTimeIso"], "2026-01-01T00:20:00Z");
    let mut endless = request.clone();
    endless["scopes"][0]["endTimeIso"] = Value::Null;
    assert!(
        shop.post(&format!("{path}/haldane?application=payment"), &endless)
            .await
            .problem(400, "invalid-request")
            .contains("lifetimeDurationMins")
    );
    endless["lifetimeDurationMins"] = json!(30);
    endless["scopes"][0]["startTimeIso"] = Value::Null;
    let id = shop.post(&format!("{path}/haldane?application=payment"), &endless).await.json();
    let running = shop.get(&format!("{path}/{}", id["canaryAnalysisExecutionId"].as_str().unwrap())).await.json();
    assert_eq!((&running["complete"], &running["status"]), (&json!(false), &json!("running")));
}

#[tokio::test]
async fn a_kayenta_can_have_its_samples_judged() {
    let shop = Shop::open().await;
    let mut config = config("x");
    config["metrics"][0]["analysisConfigurations"] = json!({"canary": {"direction": "increase", "critical": false, "label": "mine"}});
    let low: Vec<f64> = (0..60).map(|index| 10.0 + f64::from(index % 5)).collect();
    let high: Vec<f64> = low.iter().map(|value| value * 2.0).collect();
    let judge = async |experiment: &[f64]| {
        let pair = json!({"name": "errors", "id": "1", "tags": {}, "values": {"control": low, "experiment": experiment}});
        let body = json!({"canaryConfig": config, "scoreThresholds": {"pass": 95, "marginal": 75}, "metricSetPairList": [pair]});
        shop.post(&format!("{BASE}/judge"), &body).await.json()
    };
    let same = judge(&low).await;
    assert_eq!((&same["score"]["score"], &same["score"]["classification"]), (&json!(100.0), &json!("Pass")), "{same:#}");
    let worse = judge(&high).await;
    assert_eq!((&worse["results"][0]["classification"], &worse["score"]["classification"]), (&json!("High"), &json!("Fail")));
    assert_eq!(worse["results"][0]["controlMetadata"]["stats"]["count"], 60);
    assert_eq!(shop.get(&format!("{BASE}/judges")).await.json()[1]["name"], "NetflixACAJudge-v1.0");
}
