//! Refusals: their codes, their bodies, and whether trying again is asked for.

use axum::http::Method;
use haldane_store::Fault;

use super::*;
use crate::otlp::body::BodyError;
use crate::otlp::messages::BadRequest;
use crate::otlp::status::{Refused, codes};

#[tokio::test(flavor = "multi_thread")]
async fn e1_e2_e3_an_invalid_request_is_400_with_a_status_that_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (body, says) in
        [("{", "not valid JSON"), (r#"{"resourceSpans":[7]}"#, "resourceSpans[0] must be an object"), ("[]", "the body must be an object")]
    {
        let answer = http1(served.http, post("/v1/traces", &[JSON], body)).await;
        let (code, message) = answer.refusal();
        assert_eq!((answer.status, code), (StatusCode::BAD_REQUEST, 3));
        assert!(message.contains(says), "{message}");
        let told = answer.json();
        assert_eq!(told["details"][0]["@type"], BadRequest::TYPE_URL);
        assert_eq!(told["details"][0]["fieldViolations"][0]["description"], told["message"]);
        assert!(!answer.headers.contains_key("retry-after"));
    }
    let answer = http1(served.http, post("/v1/traces", &[PROTOBUF], vec![0x0a, 0xff])).await;
    let (code, message) = answer.refusal();
    assert_eq!((answer.status, code), (StatusCode::BAD_REQUEST, 3));
    assert!(message.contains("protobuf"), "{message}");
    let details = crate::otlp::messages::RpcStatus::decode(answer.body).unwrap().details;
    assert_eq!(BadRequest::decode(&details[0].value[..]).unwrap().field_violations[0].field, "body");
    let answer = call(&served, TRACES, "identity", &[0x0a, 0xff]).await;
    let details = crate::base64::decode(answer.trailer("grpc-status-details-bin").unwrap()).unwrap();
    let details = crate::otlp::messages::RpcStatus::decode(&details[..]).unwrap();
    assert_eq!((details.code, details.details[0].type_url.as_str()), (3, BadRequest::TYPE_URL));
    assert_eq!(served.meter.read().traces.invalid, 5);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_e5_e6_e7_a_request_of_another_form_is_told_the_right_one() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (request, status, says) in [
        (post("/v1/logs", &[("content-type", "text/plain")], "x"), 415, "application/x-protobuf"),
        (post("/v1/logs", &[], "x"), 415, "application/x-protobuf"),
        (post("/v1/nothing", &[JSON], "x"), 404, "/v1/traces"),
        (post("/v1/traces/more", &[PROTOBUF], "x"), 404, "/v1/traces"),
        (post("/", &[JSON], "x"), 404, "/v1/traces"),
        (request(Method::GET, "/v1/traces", &[], ""), 405, "use POST"),
        (request(Method::PUT, "/v1/logs", &[JSON], "{}"), 405, "use POST"),
    ] {
        let told = format!("{} {}", request.method(), request.uri());
        let answer = http1(served.http, request).await;
        let (_, message) = answer.refusal();
        assert_eq!(answer.status.as_u16(), status, "{told}: {message}");
        assert!(message.contains(says), "{told}: {message}");
        assert_eq!(answer.headers.get("allow").map(|allow| allow.to_str().unwrap()), (status == 405).then_some("POST"));
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g12_profiles_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let answer = call(&served, "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", "identity", b"").await;
    let (code, message) = answer.grpc();
    assert!(code == 12 && message.contains("profiles"), "{code} {message}");
    let answer = http1(served.http, post("/v1development/profiles", &[PROTOBUF], "x")).await;
    let (_, message) = answer.refusal();
    assert!(answer.status == StatusCode::NOT_FOUND && message.contains("profiles"), "{message}");
    served.stop().await;
}

/// What clients try again by OTLP's table; they drop the data on everything else. `RESOURCE_EXHAUSTED` only joins them with a RetryInfo.
#[test]
fn only_a_refusal_that_may_pass_has_a_code_that_clients_try_again() {
    const GRPC: [i32; 6] = [1, 4, 10, 11, 14, 15];
    const HTTP: [u16; 4] = [429, 502, 503, 504];
    let too_slow = BodyError::Slow { timeout: std::time::Duration::from_secs(1) };
    let corrupt = BodyError::Corrupt { coding: "gzip", source: std::io::Error::other("x") };
    for (refused, passes) in [
        (Refused::from(BodyError::TooLarge { max: 1 }), false),
        (Refused::from(corrupt), false),
        (Refused::from(BodyError::Frame("x")), false),
        (Refused::from(too_slow), true),
        (Refused::unauthenticated(), false),
        (Refused::forbidden(), false),
    ] {
        let tried_again = (GRPC.contains(&i32::from(refused.grpc)), HTTP.contains(&refused.http.as_u16()), refused.retry);
        assert_eq!(tried_again, (passes, passes, passes), "{refused:?}");
    }
    for (fault, passes) in [
        (Fault::Invalid, false),
        (Fault::Missing, false),
        (Fault::Conflict, false),
        (Fault::Busy, true),
        (Fault::Unavailable, true),
        (Fault::Bug, false),
    ] {
        let (grpc, http) = codes(fault);
        assert_eq!((GRPC.contains(&i32::from(grpc)), HTTP.contains(&http.as_u16())), (passes, passes), "{fault:?}");
    }
}
