use serde_json::{Value, json};

use crate::http::tests::{Shop, rollout};

#[tokio::test]
async fn once_there_are_tokens_each_request_needs_one_with_its_scope() {
    let shop = Shop::open().await;
    let first = shop.post("/v1/tokens", &json!({"name": "viewer", "scopes": ["read"]})).await;
    assert!(first.problem(400, "invalid-request").contains("needs operate"), "nobody is locked out");
    let made = async |shown: Option<&str>, name: &str, scopes: Value| {
        let headers: Vec<(&str, &str)> =
            [("content-type", "application/json")].into_iter().chain(shown.map(|shown| ("authorization", shown))).collect();
        shop.send("POST", "/v1/tokens", &headers, json!({"name": name, "scopes": scopes}).to_string()).await
    };
    let admin = made(None, "admin", json!(["operate"])).await;
    assert_eq!((admin.status, admin.header("cache-control")), (201, "no-store"), "{}", admin.text);
    let admin = format!("Bearer {}", admin.json()["token"].as_str().unwrap());
    let viewer = format!("Bearer {}", made(Some(&admin), "viewer", json!(["read", "ingest"])).await.json()["token"].as_str().unwrap());
    made(Some(&admin), "viewer", json!(["read"])).await.problem(409, "token-exists");
    made(Some(&admin), "a b", json!(["read"])).await.problem(400, "invalid-request");
    made(Some(&viewer), "more", json!(["read"])).await.problem(403, "forbidden");

    let as_ = async |shown: &str, method: &str, path: &str, body: &str| {
        let headers = [("content-type", "application/json"), ("authorization", shown)];
        shop.send(method, path, &headers, body.to_owned()).await
    };
    let stranger = shop.get("/v1/services").await;
    assert!(stranger.problem(401, "unauthorized").contains("HALDANE_TOKEN"));
    assert_eq!(stranger.header("www-authenticate"), "Bearer");
    as_("Bearer wrong", "GET", "/v1/services", "").await.problem(401, "unauthorized");
    for path in ["/healthz", "/readyz", "/openapi.json", "/docs/", "/problems/unauthorized"] {
        assert_eq!(shop.get(path).await.status, 200, "{path}");
    }
    shop.get("/metrics").await.problem(401, "unauthorized");
    shop.get("/no-such-path").await.problem(401, "unauthorized");
    assert_eq!(as_(&viewer, "GET", "/v1/services", "").await.status, 200);
    assert_eq!(as_(&viewer, "POST", "/v1/query", "{\"sql\": \"SELECT 1\"}").await.status, 200, "a query changes nothing");
    let start = rollout("1.5.0").to_string();
    assert!(as_(&viewer, "POST", "/v1/rollouts", &start).await.problem(403, "forbidden").contains("viewer"));
    as_(&viewer, "GET", "/integrations/argo/verdict?service=a&canary=b%3D1&baseline=b%3D2", "").await.problem(403, "forbidden");
    let id = as_(&admin, "POST", "/v1/rollouts", &start).await.json()["id"].as_str().unwrap().to_owned();
    as_(&admin, "POST", &format!("/v1/rollouts/{id}/promote"), "{\"reason\": \"fine\", \"actor\": \"ann\"}").await;
    let audit = as_(&viewer, "GET", "/v1/audit?order=asc", "").await.json();
    let told: Vec<(&str, &str)> = audit["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["kind"].as_str().unwrap(), event["actor"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("token.created", "somebody"),
            ("token.created", "token admin"),
            ("rollout.started", "token admin"),
            ("rollout.promoted", "ann (token admin)")
        ]
    );
    let listed = as_(&viewer, "GET", "/v1/tokens", "").await;
    assert_eq!(listed.json()["tokens"][1]["scopes"], json!(["ingest", "read"]));
    assert!(!listed.text.contains("sha256") && !listed.text.contains(viewer.trim_start_matches("Bearer ")));
    assert_eq!(as_(&admin, "DELETE", "/v1/tokens/viewer", "").await.status, 204);
    as_(&viewer, "GET", "/v1/services", "").await.problem(401, "unauthorized");
    as_(&admin, "DELETE", "/v1/tokens/viewer", "").await.problem(404, "unknown-token");
    assert!(as_(&admin, "DELETE", "/v1/tokens/admin", "").await.problem(409, "last-token").contains("make another one first"));
    assert_eq!(made(Some(&admin), "viewer", json!(["read"])).await.status, 201, "the name of a revoked one is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_tokens_that_are_revoked_at_the_same_moment_one_that_may_operate_stays() {
    for _ in 0..10 {
        let shop = Shop::open().await;
        let mut shown: Vec<(String, String)> = Vec::new();
        for name in ["a", "b", "c", "d"] {
            let mut headers = vec![("content-type", "application/json")];
            let first = shown.first().map(|(_, token)| token.clone());
            headers.extend(first.iter().map(|token| ("authorization", token.as_str())));
            let made = shop.send("POST", "/v1/tokens", &headers, json!({"name": name, "scopes": ["operate"]}).to_string()).await;
            shown.push((name.to_owned(), format!("Bearer {}", made.json()["token"].as_str().unwrap())));
        }
        // Each revokes itself.
        let revoke = async |(name, token): &(String, String)| {
            shop.send("DELETE", &format!("/v1/tokens/{name}"), &[("authorization", token)], String::new()).await.status
        };
        let mut answers: [u16; 4] = tokio::join!(revoke(&shown[0]), revoke(&shown[1]), revoke(&shown[2]), revoke(&shown[3])).into();
        answers.sort_unstable();
        assert_eq!(answers, [204, 204, 204, 409]);
        let mut lets_in = Vec::new();
        for (_, token) in &shown {
            lets_in.push(shop.send("GET", "/v1/tokens", &[("authorization", token)], String::new()).await.status);
        }
        lets_in.sort_unstable();
        assert_eq!(lets_in, [200, 401, 401, 401]);
    }
}
