//! Connections: how many, how old, how silent; and many calls on one.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::tests::world::PATIENCE;

fn empty() -> HttpRequest<Body> {
    post("/v1/traces", &[("content-type", "application/json")], "{}")
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_a_connection_waits_until_another_ends() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.connections_max = 2).await;
    let silent = [TcpStream::connect(served.http).await.unwrap(), TcpStream::connect(served.http).await.unwrap()];
    let waiting = tokio::spawn(http1(served.http, empty()));
    assert!(
        tokio::time::timeout(Duration::from_millis(300), async {
            while !waiting.is_finished() {
                tokio::task::yield_now().await
            }
        })
        .await
        .is_err()
    );
    drop(silent);
    assert_eq!(tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().status, StatusCode::OK);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_or_half_a_header_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.header_timeout_seconds = 1).await;
    for said in ["", "POST /v1/traces HTTP/1.1\r\nhost: "] {
        let mut connection = TcpStream::connect(served.http).await.unwrap();
        connection.write_all(said.as_bytes()).await.unwrap();
        let closed = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "{said:?}: still open");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_when_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.connection_age_max_seconds = 1).await;
    let io = TokioIo::new(TcpStream::connect(served.http).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    assert_eq!(answer(sender.send_request(empty()).await.unwrap()).await.status, StatusCode::OK);
    tokio::time::timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g14_no_call_of_many_on_one_connection_starves() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.admission_wait_ms = 30_000).await;
    let io = TokioIo::new(TcpStream::connect(served.grpc).await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut calls = tokio::task::JoinSet::new();
    let began = Instant::now();
    for number in 0..300_u64 {
        let spans = (0..200).map(|at| numbered_span(number * 200 + at)).collect();
        let body = frame(0, &protobuf(&Records::Traces(traces_of(spans))).body);
        let mut sender = sender.clone();
        calls.spawn(async move {
            let mut request = post(TRACES, &[("content-type", "application/grpc"), ("te", "trailers")], chunked(&body));
            request.headers_mut().remove("host");
            answer(sender.send_request(request).await.unwrap()).await.grpc()
        });
    }
    while let Some(answered) = calls.join_next().await {
        assert_eq!(answered.unwrap(), (0, String::new()));
    }
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(served.meter.read().traces.accepted, 60_000);
    connection.abort();
    served.stop().await;
}
