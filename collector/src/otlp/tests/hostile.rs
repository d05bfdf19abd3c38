//! Bodies made to hurt: each gets an answer, soon, and the server goes on.

use std::time::{Duration, Instant};

use super::*;

/// No request may take longer; it is far more than any needs here, as other tests run beside it.
const SOON: Duration = Duration::from_secs(15);

fn nested(tag: u8, depth: usize) -> Vec<u8> {
    let mut inner = Vec::new();
    for _ in 0..depth {
        let mut outer = vec![tag];
        prost::encoding::encode_varint(inner.len().try_into().unwrap(), &mut outer);
        outer.append(&mut inner);
        inner = outer;
    }
    inner
}

async fn survives(served: &Served, media_type: (&str, &str), body: Vec<u8>) {
    let began = Instant::now();
    let answer = http1(served.http, post("/v1/traces", &[media_type], body)).await;
    assert!([200, 400, 413].contains(&answer.status.as_u16()), "{}", answer.status);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let after = http1(served.http, post("/v1/traces", &[PROTOBUF], one_span())).await;
    assert_eq!(after.status, StatusCode::OK, "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_nesting_without_end_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    // ResourceSpans, ScopeSpans, spans, attributes, values in values: by their field numbers, one after another and all alike.
    for tag in [0x0a, 0x12, 0x2a, 0x32] {
        survives(&served, PROTOBUF, nested(tag, 10_000)).await;
    }
    survives(&served, JSON, "[".repeat(500_000).into_bytes()).await;
    survives(&served, JSON, r#"{"resourceSpans":["#.repeat(50_000).into_bytes()).await;
    let deep_value = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(10_000), "]}}".repeat(10_000));
    let body = format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{deep_value}}}]}}}}]}}"#);
    survives(&served, JSON, body.into_bytes()).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_very_many_keys_or_envelopes_take_no_quadratic_time() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let id = r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174""#;
    let distinct: Vec<_> = (0..25_000).map(|n| format!(r#"{{"key":"k{n}","value":{{}}}}"#)).collect();
    let alike = vec![r#"{"key":"k","value":{}}"#; 30_000];
    for attributes in [distinct.join(","), alike.join(",")] {
        let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{id},"attributes":[{attributes}]}}]}}]}}]}}"#);
        assert!(body.len() < 1 << 20);
        survives(&served, JSON, body.into_bytes()).await;
    }
    // Resources and scopes of two bytes each, and then the same one over and over with a span in between.
    survives(&served, PROTOBUF, [0x0a, 0].repeat(400_000)).await;
    let services =
        (0..10_000).map(|n| format!(r#"{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{n}"}}}}]}}}}"#));
    let body = format!(r#"{{"resourceSpans":[{}]}}"#, services.collect::<Vec<_>>().join(","));
    assert!(body.len() < 1 << 20);
    survives(&served, JSON, body.into_bytes()).await;
    survives(&served, PROTOBUF, one_span().repeat(500)).await;
    expect(
        &served.tables,
        "SELECT count(DISTINCT key) FROM (SELECT unnest(map_keys(attributes)) AS key FROM spans) WHERE key LIKE 'k%'",
        25_001,
    )
    .await;
    served.stop().await;
}
