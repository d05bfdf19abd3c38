//! OTLP over HTTP.

use super::*;
use crate::request::Encoding;

#[tokio::test(flavor = "multi_thread")]
async fn h1_h2_h3_each_path_takes_both_encodings_and_answers_in_the_sender_s() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (path, _, records) in one_of_each() {
        for (media_type, request) in [(PROTOBUF, protobuf(&records)), (JSON, to_json::request(&records))] {
            for path in [path.to_owned(), format!("{path}/")] {
                let answer = http1(served.http, post(&path, &[media_type], request.body.clone())).await;
                assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (StatusCode::OK, media_type.1), "{path}");
                let expected: &[u8] = if request.encoding == Encoding::Json { b"{}" } else { b"" };
                assert_eq!(&answer.body[..], expected);
            }
        }
    }
    expect(&served.tables, "SELECT count(*) FROM spans", 4).await;
    expect(&served.tables, "SELECT count(*) FROM metrics", 4 * 5).await;
    expect(&served.tables, "SELECT count(*) FROM logs", 4).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h4_h5_a_media_type_may_have_parameters_and_any_case() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (media_type, answered) in [
        ("application/json; charset=utf-8", JSON.1),
        ("Application/JSON", JSON.1),
        ("application/json;charset=UTF-8", JSON.1),
        (" application/x-protobuf ; messageType=x", PROTOBUF.1),
        ("APPLICATION/X-PROTOBUF", PROTOBUF.1),
    ] {
        let answer = http1(served.http, post("/v1/traces", &[("content-type", media_type)], "")).await;
        assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (StatusCode::OK, answered), "{media_type}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_bodies_and_both_versions_of_http_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for _ in 0..2 {
        assert_eq!(http1(served.http, post("/v1/traces", &[PROTOBUF], chunked(&one_span()))).await.status, StatusCode::OK);
        assert_eq!(http1(served.http, post("/v1/traces", &[PROTOBUF], one_span())).await.status, StatusCode::OK);
        assert_eq!(http2(served.http, post("/v1/traces", &[PROTOBUF], chunked(&one_span()))).await.status, StatusCode::OK);
        assert_eq!(http2(served.http, post("/v1/traces", &[PROTOBUF], one_span())).await.status, StatusCode::OK);
    }
    expect(&served.tables, "SELECT count(*) FROM spans", 8).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_of_http_1_takes_one_request_after_another() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let request = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let mut stream = said(served.http, request.repeat(3).as_bytes()).await;
    for _ in 0..3 {
        assert!(read_until(&mut stream, "{}").await.starts_with("HTTP/1.1 200 OK"));
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_asks_for_leave_first_gets_it_or_its_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let head = |media_type: &str| {
        format!("POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {media_type}\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
    };
    let mut stream = said(served.http, head("application/json").as_bytes()).await;
    assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"{}").await.unwrap();
    assert!(read_until(&mut stream, "{}").await.starts_with("HTTP/1.1 200 OK"));
    let mut stream = said(served.http, head("text/plain").as_bytes()).await;
    assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 415"));
    served.stop().await;
}
