//! Content codings.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn c1_c2_c4_both_encodings_are_taken_in_every_coding() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let records = Records::Traces(traces_of(vec![span()]));
    let codings = ["identity", "gzip", "zstd", "deflate", "zlib", "snappy", "x-snappy-framed"];
    for coding in codings {
        for (media_type, body) in [(PROTOBUF, one_span()), (JSON, to_json::request(&records).body.to_vec())] {
            let request = post("/v1/traces", &[media_type, ("content-encoding", coding)], pack(coding, &body));
            assert_eq!(http1(served.http, request).await.status, StatusCode::OK, "{coding} {media_type:?}");
        }
    }
    assert_eq!(http1(served.http, post("/v1/traces", &[PROTOBUF], one_span())).await.status, StatusCode::OK);
    expect(&served.tables, "SELECT count(*) FROM spans", i64::try_from(codings.len()).unwrap() * 2 + 1).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_an_unknown_coding_is_415_and_the_known_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for media_type in [PROTOBUF, JSON] {
        let answer = http1(served.http, post("/v1/logs", &[media_type, ("content-encoding", "br")], "x")).await;
        let (_, message) = answer.refusal();
        assert!(answer.status == StatusCode::UNSUPPORTED_MEDIA_TYPE && message.contains("gzip, zstd"), "{message}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_a_body_that_does_not_decompress_is_400() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for coding in ["gzip", "zstd", "deflate", "snappy"] {
        let whole = pack(coding, &one_span());
        for body in [b"no such thing".to_vec(), whole[..whole.len() / 2].to_vec()] {
            let answer = http1(served.http, post("/v1/traces", &[PROTOBUF, ("content-encoding", coding)], body)).await;
            let (code, message) = answer.refusal();
            assert_eq!((answer.status, code), (StatusCode::BAD_REQUEST, 3), "{coding}: {message}");
            assert!(message.contains(&format!("not valid {coding}")), "{message}");
        }
    }
    assert_eq!(served.meter.read().traces.accepted, 0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_an_answer_is_never_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for accepted in ["gzip", "identity;q=0, gzip"] {
        let answer = http1(served.http, post("/v1/traces", &[PROTOBUF, ("accept-encoding", accepted)], one_span())).await;
        assert!(answer.status == StatusCode::OK && !answer.headers.contains_key("content-encoding"));
    }
    served.stop().await;
}
