use axum::body::Body;
use axum::extract::Request;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::http::tests::{Shop, rollout};

#[tokio::test]
async fn what_happened_is_told_page_by_page_with_who_did_it() {
    let shop = Shop::open().await;
    let mut body = rollout("1.5.0");
    body["metadata"] = json!({"actor": "ann", "commit": "3f2a91c"});
    let id = shop.post("/v1/rollouts", &body).await.json()["id"].as_str().unwrap().to_owned();
    shop.post(&format!("/v1/rollouts/{id}/rollback"), &json!({"reason": "wrong totals", "actor": "bob"})).await;
    shop.post("/v1/rollouts", &rollout("1.6.0")).await;

    let all = shop.get("/v1/audit?order=asc").await.json();
    let told: Vec<_> =
        all["events"].as_array().unwrap().iter().map(|event| (event["kind"].as_str().unwrap(), event["actor"].as_str().unwrap())).collect();
    assert_eq!(told, [("rollout.started", "ann"), ("rollout.rolled_back", "bob"), ("rollout.started", "somebody")]);
    assert_eq!(all["events"][0]["details"]["metadata"]["commit"], "3f2a91c");
    assert_eq!(all["events"][1]["details"]["reason"], "rolled back by bob: wrong totals");
    assert_eq!(all["next"], Value::Null);
    let newest = shop.get("/v1/audit?limit=1").await.json();
    assert_eq!((&newest["events"][0]["sequence"], &newest["next"]), (&json!(3), &json!(3)));
    let older = shop.get("/v1/audit?limit=2&cursor=3").await.json();
    assert_eq!(older["events"][0]["sequence"], 2);
    assert_eq!(shop.get(&format!("/v1/audit?rollout={id}&kind=rollout.started")).await.json()["events"].as_array().unwrap().len(), 1);
    assert!(shop.get("/v1/audit?kind=odd").await.problem(400, "invalid-request").contains("rollout.rolled_back"));
    shop.get("/v1/audit?limit=0").await.problem(400, "invalid-request");

    let bodies: EventListBody = serde_json::from_str(&shop.get("/v1/audit?order=asc").await.text).unwrap();
    let rows: Vec<TrailRow> = bodies.events.iter().map(|body| body.to_row().unwrap()).collect();
    let (sequence, _) = haldane_store::ledger::trail::verify(&rows, haldane_store::ledger::trail::beginning()).unwrap();
    assert_eq!(sequence, 3, "the chain can be checked from outside");
}

#[tokio::test]
async fn a_stream_of_events_goes_on_where_it_was_cut() {
    let shop = Shop::open().await;
    let id = shop.started().await;
    let path = format!("/v1/rollouts/{id}/events");
    let follows = shop.get(&path);
    let ends = async {
        shop.judged(&id, 1).await;
        shop.post(&format!("/v1/rollouts/{id}/promote"), &json!({"reason": "it is fine"})).await;
    };
    let (whole, ()) = tokio::time::timeout(std::time::Duration::from_secs(30), async { tokio::join!(follows, ends) }).await.unwrap();
    assert_eq!(whole.header("content-type"), "text/event-stream");
    let names: Vec<&str> = whole.text.lines().filter_map(|line| line.strip_prefix("event: ")).filter(|name| *name != "verdict").collect();
    assert_eq!(names, ["rollout.started", "rollout.promoted"], "{}", whole.text);
    let verdicts: Vec<&str> = whole.text.split("\n\n").filter(|block| block.contains("event: verdict")).collect();
    assert!(verdicts.last().unwrap().contains("\"decision\":\"promote\""), "{}", whole.text);
    assert!(!verdicts.iter().any(|block| block.contains("\nid:") || block.starts_with("id:")), "{}", whole.text);

    let rest = shop.send("GET", &path, &[("last-event-id", "1")], Body::empty()).await;
    assert!(rest.text.contains("id: 2") && !rest.text.contains("id: 1\n"), "{}", rest.text);
    assert_eq!(shop.send("GET", &path, &[("last-event-id", "2")], Body::empty()).await.status, 204, "an EventSource stops");
    assert_eq!(shop.get(&format!("{path}?after=999999")).await.status, 204, "nothing can come after the end");
    for wrong in [format!("{path}?after=9223372036854775808"), "/v1/audit?cursor=9223372036854775808".to_owned()] {
        assert!(shop.get(&wrong).await.problem(400, "invalid-request").contains("is no sequence number"), "{wrong}");
    }
    shop.send("GET", &path, &[("last-event-id", "x")], Body::empty()).await.problem(400, "invalid-request");
    shop.get("/v1/rollouts/none/events").await.problem(404, "unknown-rollout");
    shop.post("/v1/rollouts", &rollout("1.6.0")).await;
    let request = Request::builder().uri("/v1/events?after=2").body(Body::empty()).unwrap();
    let mut stream = shop.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    let place = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(place.contains("id: 2\n") && !place.contains("data:"), "who is cut off now goes on from there: {place}");
    let first = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.contains("id: 3\n") && first.contains("event: rollout.started\n"), "{first}");
    shop.stop.cancel();
    assert!(stream.next().await.is_none(), "a server that stops lets go of those who follow");
}
