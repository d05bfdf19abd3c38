//! Refusals: their details, what is not taken here, who may send, and web pages.

use super::*;
use crate::config::{TokenConfig, TokenDigest};
use crate::otlp::messages::BadRequest;
use crate::stats::Reason;

#[tokio::test(flavor = "multi_thread")]
async fn e1_an_invalid_body_is_answered_with_bad_request_details() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let answer = http1(served.http, post("/v1/traces", &[("content-type", "application/json")], "[")).await;
    let (status, told) = (answer.status, answer.json());
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(told["details"][0]["@type"], BadRequest::TYPE_URL);
    assert_eq!(told["details"][0]["fieldViolations"][0]["description"], told["message"]);
    let answer = http1(served.http, post("/v1/traces", &[("content-type", MEDIA_TYPES[0])], vec![0x0a, 0xff])).await;
    let details = RpcStatus::decode(answer.body).unwrap().details;
    assert_eq!(BadRequest::decode(&details[0].value[..]).unwrap().field_violations[0].field, "body");
    let answer = call(&served, TRACES, "identity", &[0x0a, 0xff]).await;
    let details = crate::base64::decode(answer.headers["grpc-status-details-bin"].to_str().unwrap()).unwrap();
    let details = RpcStatus::decode(&details[..]).unwrap();
    assert_eq!((details.code, details.details[0].type_url.as_str()), (3, BadRequest::TYPE_URL));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_profiles_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let answer = call(&served, "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", "identity", b"").await;
    let (code, message) = answer.grpc();
    assert!(code == 12 && message.contains("profiles"), "{code} {message}");
    let answer = http1(served.http, post("/v1development/profiles", &[("content-type", MEDIA_TYPES[0])], "x")).await;
    let message = RpcStatus::decode(answer.body).unwrap().message;
    assert!(answer.status == StatusCode::NOT_FOUND && message.contains("profiles"), "{message}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tokens_only_those_who_show_one_may_send() {
    let dir = tempfile::tempdir().unwrap();
    let token = |name: &str| TokenConfig { name: name.to_owned(), sha256: TokenDigest::of(&format!("secret of {name}")) };
    let served = Served::start_with(dir.path(), |config| config.tokens = vec![token("shop"), token("bank")]).await;
    let records = Records::Traces(traces_of(vec![span()]));
    let (json_body, body) = (to_json::request(&records).body, protobuf(&records).body);
    for shown in ["", "Bearer ", "Bearer wrong", "Basic secret of shop", "secret of shop"] {
        let answer =
            http1(served.http, post("/v1/traces", &[("content-type", MEDIA_TYPES[1]), ("authorization", shown)], json_body.clone())).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["www-authenticate"]),
            (401, &"Bearer".parse::<axum::http::HeaderValue>().unwrap())
        );
        assert_eq!(answer.json()["code"], 16);
        assert!(!answer.headers.contains_key("retry-after"));
    }
    assert_eq!(call(&served, TRACES, "gzip", &body).await.grpc().0, 16);
    for shown in ["Bearer secret of shop", "bearer secret of bank"] {
        let answer =
            http1(served.http, post("/v1/traces", &[("content-type", MEDIA_TYPES[0]), ("authorization", shown)], body.clone())).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let broken = post("/v1/traces", &[("content-type", MEDIA_TYPES[0]), ("authorization", "Bearer secret of bank")], vec![0x0a, 0xff]);
    assert_eq!(http1(served.http, broken).await.status, StatusCode::BAD_REQUEST);
    let stats = served.meter.read();
    let refusals: Vec<_> = stats.refusals.iter().map(|told| (&*told.token, told.reason, told.requests)).collect();
    assert_eq!((stats.traces.accepted, refusals), (2, vec![("none", Reason::Unauthenticated, 6), ("bank", Reason::Invalid, 1)]));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x1_web_pages_may_send_from_allowed_origins_only() {
    let preflight = |origin: &str| {
        let headers =
            [("origin", origin), ("access-control-request-method", "POST"), ("access-control-request-headers", "content-type,x-y")];
        let mut request = post("/v1/traces", &headers, "");
        *request.method_mut() = Method::OPTIONS;
        request
    };
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let answer = http1(served.http, preflight("https://shop.example")).await;
    assert!(answer.status == StatusCode::METHOD_NOT_ALLOWED && !answer.headers.contains_key("access-control-allow-origin"));
    served.stop().await;

    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.cors_allowed_origins = vec!["https://shop.example".to_owned()]).await;
    let answer = http1(served.http, preflight("https://shop.example")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://shop.example");
    assert_eq!(answer.headers["access-control-allow-headers"], "content-type,x-y");
    assert!(!http1(served.http, preflight("https://other.example")).await.headers.contains_key("access-control-allow-origin"));
    for (body, status) in [("{}", 200), ("[", 400)] {
        let headers = [("content-type", "application/json"), ("origin", "https://shop.example")];
        let answer = http1(served.http, post("/v1/traces", &headers, body)).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.headers["access-control-allow-origin"], "https://shop.example");
    }
    served.stop().await;
}
