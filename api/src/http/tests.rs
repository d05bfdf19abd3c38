use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use haldane_analyzer::query::QueryLimits;
use haldane_analyzer::verdict::Verdict;
use haldane_store::clock::{Clock as _, SystemClock};
use haldane_store::ledger::{Ledger, VerdictRow};
use haldane_store::table::{Access, HotRows, TablesConfig};
use haldane_store::{TableName, Tables, UnixNanos};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::ServiceExt as _;

use super::*;
use crate::metrics::{Family, Kind, Sample, TEXT};

/// The API over real tables and a real ledger, with a service `payment` in `shop` that has sent requests.
pub(super) struct Shop {
    pub(super) router: Router,
    api: Api,
    ledger: Ledger,
    ready: watch::Sender<Readiness>,
    pub(super) stop: CancellationToken,
    _folder: TempDir,
}

pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// That this is a problem of this kind; gives its detail.
    pub(super) fn problem(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.header("content-type"), PROBLEM_JSON, "{}", self.text);
        let json = self.json();
        assert_eq!((self.status, json["type"].as_str()), (status, Some(format!("/problems/{kind}").as_str())), "{json}");
        assert_eq!(json["status"], status);
        json["detail"].as_str().unwrap().to_owned()
    }
}

impl Shop {
    pub(super) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = TablesConfig { dir: folder.path().join("tables"), access: Access::ReadWrite };
        let tables = Tables::open(&config).await.unwrap();
        tables.publish(HotRows { through: 1, batches: vec![(TableName::Red, red_row())] });
        let ledger = Ledger::open(&folder.path().join("ledger.db")).await.unwrap();
        let engine = Engine::new(&tables, QueryLimits::default()).unwrap();
        let rollouts = Rollouts::new(ledger.clone(), engine.clone(), Arc::new(SystemClock));
        let ready = watch::Sender::new(Readiness::Ready);
        let one = || vec![Family { name: "haldane_x", help: "One.", kind: Kind::Gauge, samples: vec![Sample::new(&[], 1.0)] }];
        let config = crate::notify::NotifyConfig::default();
        let notifications = Notifications::try_new(&config, ledger.clone(), Arc::new(SystemClock), "http://localhost").unwrap();
        let api = Api {
            rollouts,
            engine,
            ready: ready.subscribe(),
            metrics: Metrics::new(one),
            notifications,
            public_url: "http://localhost".to_owned(),
            ledger: ledger.clone(),
            access: AccessList::default(),
            tls: None,
        };
        let stop = CancellationToken::new();
        Self { router: api.clone().router(stop.clone()), api, ledger, ready, stop, _folder: folder }
    }

    pub(super) fn now(&self) -> UnixNanos {
        self.api.rollouts.now()
    }

    pub(super) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(super) async fn started(&self) -> String {
        let answer = self.post("/v1/rollouts", &rollout("1.5.0")).await;
        answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
    }

    pub(super) async fn judged(&self, id: &str, sequence: u64) {
        let mut verdict: Verdict = serde_json::from_str(&self.get(&format!("/v1/rollouts/{id}/verdict")).await.text).unwrap();
        verdict.sequence = sequence;
        let row = VerdictRow {
            rollout_id: id.to_owned(),
            sequence,
            decided_at: UnixNanos::from_seconds(1),
            decision: "continue".to_owned(),
            is_final: false,
            document: serde_json::to_string(&verdict).unwrap(),
        };
        assert!(self.ledger.append_verdict((&row, 0), None, &[]).await.unwrap());
    }
}

fn red_row() -> RecordBatch {
    let schema = TableName::Red.schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "service_name" => Arc::new(StringArray::from(vec!["payment"])),
            "deployment_environment_name" => Arc::new(StringArray::from(vec!["shop"])),
            "service_version" => Arc::new(StringArray::from(vec!["1.4.0"])),
            "span_kind" => Arc::new(StringArray::from(vec!["SERVER"])),
            "requests" => Arc::new(Int64Array::from(vec![7])),
            "time" => Arc::new(TimestampMicrosecondArray::from(vec![SystemClock.now().as_micros()]).with_timezone("UTC")),
            _ => new_null_array(field.data_type(), 1),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

pub(super) fn rollout(canary: &str) -> Value {
    json!({
        "service": "payment", "environment": "shop",
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": canary}
    })
}

#[tokio::test]
async fn a_rollout_is_started_once_found_again_and_cancelled() {
    let shop = Shop::open().await;
    let first = shop.post("/v1/rollouts", &rollout("1.5.0")).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(first.header("location"), format!("/v1/rollouts/{id}"));
    assert_eq!(first.json()["canary"], json!({"service.version": "1.5.0"}));

    let again = shop.post("/v1/rollouts", &rollout("1.5.0")).await;
    assert_eq!((again.status, again.json()["id"].as_str()), (200, Some(id.as_str())));
    let other = shop.post("/v1/rollouts", &rollout("1.6.0")).await;
    assert!(other.problem(409, "rollout-conflict").contains(&id));
    assert_eq!(other.json()["rollout_id"], id.as_str());

    assert_eq!(shop.get(&format!("/v1/rollouts/{id}")).await.json()["state"], "pending");
    let cancelled = shop.send("DELETE", &format!("/v1/rollouts/{id}?reason=wrong%20build"), &[], Body::empty()).await;
    assert_eq!(
        (cancelled.status, &cancelled.json()["state"], &cancelled.json()["state_reason"]),
        (200, &json!("cancelled"), &json!("wrong build"))
    );
    shop.send("DELETE", &format!("/v1/rollouts/{id}"), &[], Body::empty()).await.problem(409, "rollout-ended");
    assert_eq!(shop.post("/v1/rollouts", &rollout("1.6.0")).await.status, 201);
}

#[tokio::test]
async fn an_idempotency_key_finds_a_rollout_that_has_ended() {
    let shop = Shop::open().await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "job-17")];
    let body = || rollout("1.5.0").to_string();
    let id = shop.send("POST", "/v1/rollouts", &headers, body()).await.json()["id"].clone();
    shop.send("DELETE", &format!("/v1/rollouts/{}", id.as_str().unwrap()), &[], Body::empty()).await;
    let again = shop.send("POST", "/v1/rollouts", &headers, body()).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &id));
    let empty = [("content-type", "application/json"), ("idempotency-key", "")];
    assert!(shop.send("POST", "/v1/rollouts", &empty, body()).await.problem(400, "invalid-request").starts_with("Idempotency-Key"));
}

#[tokio::test]
async fn a_bad_start_says_what_to_do() {
    let shop = Shop::open().await;
    let with = |key: &str, value: Value| {
        let mut body = rollout("1.5.0");
        body[key] = value;
        body
    };
    let steps = |first: f64, second: f64| json!([{"traffic": first}, {"traffic": second}]);
    // Of a service that nobody knows, what is wrong by itself comes first, what does not go together after.
    for (mut body, status, kind) in [
        (with("policy", json!({"min_requests": 1e15})), 400, "invalid-request"),
        (with("policy", json!({"gates": [{"kind": "probe", "url": "http://x", "status": 9}]})), 400, "invalid-request"),
        (with("stages", steps(0.0, 0.5)), 400, "invalid-request"),
        (with("stages", steps(0.5, 0.1)), 404, "unknown-service"),
        (with("canary", json!({"service.version": "1.4.0"})), 404, "unknown-service"),
        (with("policy", json!({"min_duration_seconds": 600.0, "max_duration_seconds": 60})), 404, "unknown-service"),
    ] {
        body["service"] = "ghost".into();
        shop.post("/v1/rollouts", &body).await.problem(status, kind);
    }
    let unknown = shop.post("/v1/rollouts", &with("service", "ghost".into())).await;
    assert!(unknown.problem(404, "unknown-service").contains("/v1/services"));
    for (body, hint) in [
        (with("canary", json!({})), "at least one attribute"),
        (with("canary", json!({"service.version": "1.4.0"})), "must differ"),
        (with("canary", json!({"selector": {"service.version": "1.5.0"}})), "canary.selector"),
        (with("cannary", json!({})), "unknown field `cannary`"),
        (with("policy", json!({"alpha": 7})), "alpha"),
        (with("policy", json!({"min_duration_seconds": 600.0, "max_duration_seconds": 60})), "max_duration_seconds is 60"),
        (with("policy", json!({"max_duration_seconds": 60.5})), "policy.max_duration_seconds: invalid type: floating point"),
        (with("policy", json!([])), "/policy is an array"),
        (with("policy", json!({"gates": [[]]})), "/policy/gates/0 is an array"),
        (with("stages", steps(0.5, 0.1)), "more from step to step"),
        (with("started_at", "2926-11-20T21:31:05Z".into()), "more than a day from now"),
        (with("stages", json!([{"traffic": 0.1, "max_duration_seconds": 1e12}])), "max_duration_seconds"),
        (with("started_at", "soon".into()), "2026-11-20T21:31:05Z"),
        (json!({}), "missing field `service`"),
        (json!([]), "has to be an object"),
    ] {
        let detail = shop.post("/v1/rollouts", &body).await.problem(400, "invalid-request");
        assert!(detail.contains(hint), "{hint}: {detail}");
    }
    let json = [("content-type", "application/json")];
    let twice = r#"{"service": "payment", "service": "cart", "baseline": {"a": "1"}, "canary": {"a": "2"}}"#;
    assert!(shop.send("POST", "/v1/rollouts", &json, twice).await.problem(400, "invalid-request").contains("duplicate field"));
    shop.send("POST", "/v1/rollouts", &json, "{").await.problem(400, "invalid-request");
    shop.send("POST", "/v1/rollouts", &json, vec![0xff, 0xfe]).await.problem(400, "invalid-request");
    shop.send("POST", "/v1/rollouts", &json, "").await.problem(400, "invalid-request");
    shop.send("POST", "/v1/rollouts", &json, vec![b' '; BODY_BYTES_MAX + 1]).await.problem(413, "body-too-large");
    let form = shop.send("POST", "/v1/rollouts", &[], rollout("1.5.0").to_string()).await;
    assert!(form.problem(415, "unsupported-media-type").contains("Content-Type: application/json"));
}

#[tokio::test]
async fn rollouts_come_in_pages() {
    let shop = Shop::open().await;
    for version in ["1.5.0", "1.6.0", "1.7.0"] {
        let id = shop.post("/v1/rollouts", &rollout(version)).await.json()["id"].as_str().unwrap().to_owned();
        shop.send("DELETE", &format!("/v1/rollouts/{id}"), &[], Body::empty()).await;
    }
    let first = shop.get("/v1/rollouts?service=payment&environment=shop&state=cancelled&limit=2").await.json();
    let versions = |page: &Value| -> Vec<String> {
        page["rollouts"].as_array().unwrap().iter().map(|one| one["canary"]["service.version"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(versions(&first), ["1.7.0", "1.6.0"]);
    let second = shop.get(&format!("/v1/rollouts?limit=2&cursor={}", first["next"].as_str().unwrap())).await.json();
    assert_eq!((versions(&second), &second["next"]), (vec!["1.5.0".to_owned()], &Value::Null));
    assert_eq!(shop.get("/v1/rollouts?service=ghost").await.json(), json!({"rollouts": [], "next": null}));
    for query in ["limit=0", "limit=501", "limit=many", "state=odd", "cursor=odd", "stat=running", "service=%ff"] {
        let answer = shop.get(&format!("/v1/rollouts?{query}")).await;
        assert!(query == "service=%ff" || !answer.problem(400, "invalid-request").is_empty(), "{query}");
    }
}

#[tokio::test]
async fn a_verdict_has_a_tag_and_is_waited_for() {
    let shop = Shop::open().await;
    let id = shop.started().await;
    let path = format!("/v1/rollouts/{id}/verdict");
    let now = shop.get(&path).await;
    assert_eq!((now.status, now.json()["decision"].as_str(), now.json()["final"].as_bool()), (200, Some("continue"), Some(false)));
    assert_eq!((now.header("etag"), now.header("retry-after")), ("\"0\"", "5"));

    let same = shop.send("GET", &path, &[("if-none-match", "\"0\"")], Body::empty()).await;
    assert_eq!((same.status, same.header("etag"), same.text.as_str()), (304, "\"0\"", ""));
    let waited = shop.send("GET", &format!("{path}?wait=50ms"), &[("if-none-match", "\"0\"")], Body::empty()).await;
    assert_eq!(waited.status, 304);

    shop.judged(&id, 1).await;
    let start = std::time::Instant::now();
    let changed = shop.get(&format!("{path}?wait=20s&after=0")).await;
    assert_eq!((changed.status, changed.json()["sequence"].as_u64()), (200, Some(1)));
    // A client that is ahead, as after a restore, is not kept waiting either.
    assert_eq!(shop.get(&format!("{path}?wait=20s&after=9")).await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(10));

    let cancel = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        shop.send("DELETE", &format!("/v1/rollouts/{id}"), &[], Body::empty()).await
    };
    let wait = format!("{path}?wait=1m");
    let (last, _) = tokio::join!(shop.get(&wait), cancel);
    assert_eq!((last.json()["final"].as_bool(), last.header("retry-after")), (Some(true), ""));
    assert_eq!(shop.get(&format!("{path}?wait=1m")).await.header("etag"), last.header("etag"));

    for query in ["wait=soon", "wait=-1s", "after=x", "wiat=30s"] {
        shop.get(&format!("{path}?{query}")).await.problem(400, "invalid-request");
    }
    assert!(shop.get(&path.replace("/verdict", "/evidence")).await.problem(404, "no-evidence").contains("no verdict"));
    for id in ["01936f5e-7d3a-7c1e-8f52-0a6a3c1d9b11", "odd", "%2e%2e", "%ff"] {
        for tail in ["", "/verdict", "/report.md", "/evidence"] {
            let answer = shop.get(&format!("/v1/rollouts/{id}{tail}")).await;
            let kind = if id == "%ff" { "unknown-path" } else { "unknown-rollout" };
            assert!(!answer.problem(404, kind).is_empty(), "{id}{tail}");
        }
    }
    let report = shop.get(&format!("/v1/rollouts/{id}/report.md")).await;
    assert_eq!((report.status, report.header("content-type")), (200, "text/markdown; charset=utf-8"));
    assert!(report.text.starts_with("# payment in shop: inconclusive"), "{}", report.text);
}

#[tokio::test]
async fn who_waits_is_answered_when_the_server_stops() {
    let shop = Shop::open().await;
    let id = shop.started().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(shop.api.clone().serve(listener, shop.stop.clone()));
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /v1/rollouts/{id}/verdict?wait=60s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    shop.stop.cancel();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(10), client.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn sql_reads_and_never_writes() {
    let shop = Shop::open().await;
    let sql = "SELECT service_name, requests FROM red";
    let rows = shop.post("/v1/query", &json!({"sql": sql})).await;
    let expected = json!({
        "columns": [{"name": "service_name", "type": "Utf8"}, {"name": "requests", "type": "Int64"}],
        "rows": [["payment", 7]], "truncated": false
    });
    assert_eq!((rows.status, rows.json(), rows.header("haldane-truncated")), (200, expected, "false"));
    for (accept, text) in [("text/csv", "service_name,requests\npayment,7\n"), ("text/plain", "| payment      | 7        |")] {
        let headers = [("content-type", "application/json"), ("accept", accept)];
        let answer = shop.send("POST", "/v1/query", &headers, json!({"sql": sql}).to_string()).await;
        assert!(answer.text.contains(text), "{}", answer.text);
    }
    let cut = shop.post("/v1/query", &json!({"sql": "SELECT * FROM (VALUES (1), (2), (3))", "limit": 2})).await.json();
    assert_eq!((cut["rows"].as_array().unwrap().len(), &cut["truncated"]), (2, &json!(true)));
    for sql in [
        "SELEKT 1",
        "",
        "SELECT nothing FROM red",
        "SELECT * FROM '/etc/passwd'",
        "DROP TABLE red",
        "INSERT INTO red SELECT * FROM red",
        "DELETE FROM red",
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY red TO '/tmp/x.csv'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; SELECT 2",
    ] {
        assert!(!shop.post("/v1/query", &json!({"sql": sql})).await.problem(400, "invalid-query").is_empty(), "{sql}");
    }
    shop.post("/v1/query", &json!({"sql": sql, "limit": 0})).await.problem(400, "invalid-request");
    shop.post("/v1/query", &json!({"query": sql})).await.problem(400, "invalid-request");
}

#[tokio::test]
async fn the_services_that_sent_something_are_known() {
    let shop = Shop::open().await;
    let services = shop.get("/v1/services").await.json();
    let payment = &services["services"][0];
    assert_eq!((&payment["service"], &payment["environment"]), (&json!("payment"), &json!("shop")));
    assert_eq!((&payment["versions"][0]["version"], &payment["versions"][0]["requests"]), (&json!("1.4.0"), &json!(7)));
}

#[tokio::test]
async fn every_wrong_turn_is_a_problem_document_that_can_be_looked_up() {
    let shop = Shop::open().await;
    assert!(shop.get("/v1/rollout").await.problem(404, "unknown-path").contains("/docs"));
    shop.get("/nothing").await.problem(404, "unknown-path");
    shop.get("/docs/no-such-file.js").await.problem(404, "unknown-path");
    let put = shop.send("PUT", "/v1/rollouts", &[], Body::empty()).await;
    put.problem(405, "method-not-allowed");
    assert!(put.header("allow").contains("POST"), "{:?}", put.headers);
    for kind in ProblemKind::ALL {
        assert!(shop.get(&format!("/problems/{}", kind.name())).await.text.starts_with(kind.title()));
    }
    assert!(shop.get("/problems/odd").await.problem(404, "unknown-path").contains("unknown-rollout"));
}

#[tokio::test]
async fn the_page_of_another_site_changes_nothing() {
    let shop = Shop::open().await;
    let start = rollout("1.5.0").to_string();
    let from = async |site: &str, method: &str, path: &str, body: &str| {
        shop.send(method, path, &[("content-type", "application/json"), ("sec-fetch-site", site)], body.to_owned()).await
    };
    for site in ["cross-site", "same-site"] {
        assert!(from(site, "POST", "/v1/rollouts", &start).await.problem(403, "forbidden").contains("the page of another site"));
        assert_eq!(from(site, "GET", "/v1/rollouts", "").await.status, 200, "reading is for CORS to say");
    }
    assert_eq!(shop.get("/v1/rollouts").await.json()["rollouts"].as_array().unwrap().len(), 0);
    for site in ["same-origin", "none"] {
        assert!(from(site, "POST", "/v1/rollouts", &start).await.status < 300, "{site}");
    }
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let router = Router::new().route("/", axum::routing::get(|| async { [0_u8][std::hint::black_box(1)].to_string() }));
    let router = router.layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panicked(panic.as_ref())));
    let response = router.oneshot(Request::builder().uri("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
}

#[tokio::test]
async fn readiness_says_why_not() {
    let shop = Shop::open().await;
    assert_eq!((shop.get("/healthz").await.status, shop.get("/readyz").await.status), (200, 200));
    shop.ready.send_replace(Readiness::NotReady { because: "replaying the log".to_owned() });
    let not = shop.get("/readyz").await;
    assert_eq!((not.problem(503, "unavailable").as_str(), not.header("retry-after")), ("not ready: replaying the log", "2"));
    assert_eq!(shop.get("/v1/services").await.status, 200);
    shop.ready.send_replace(Readiness::Starting { because: "replaying the log".to_owned() });
    assert_eq!((shop.get("/healthz").await.status, shop.get("/readyz").await.status), (200, 503));
    assert!(shop.get("/v1/services").await.problem(503, "unavailable").contains("replaying the log"));
    shop.ready.send_replace(Readiness::Ready);
    shop.stop.cancel();
    assert!(shop.get("/readyz").await.problem(503, "unavailable").contains("stopping"));
    assert_eq!(shop.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_description_is_served_with_a_page_to_read_it() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json").await.json();
    assert_eq!(document, serde_json::from_str::<Value>(&openapi_json()).unwrap());
    let page = shop.get("/docs/").await;
    assert!(page.status == 200 && page.text.contains("swagger-ui"), "{}", page.text);
    assert_eq!(shop.get("/docs/swagger-ui-bundle.js").await.status, 200);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let fails = path != "/healthz" && path != "/metrics";
            assert!(operation["responses"].as_object().unwrap().len() > usize::from(fails), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    insta::assert_snapshot!("openapi", openapi_json());
}

#[tokio::test]
async fn metrics_are_text_for_prometheus() {
    let shop = Shop::open().await;
    let answer = shop.get("/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, TEXT));
    assert_eq!(answer.text, "# HELP haldane_x One.\n# TYPE haldane_x gauge\nhaldane_x 1\n");
}
