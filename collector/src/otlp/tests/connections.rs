//! Connections: how many, how old, how silent, how slow; and many calls on one.

use std::time::{Duration, Instant};

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::*;
use crate::tests::fixture::numbered_span;
use crate::tests::world::PATIENCE;

fn empty() -> axum::http::Request<axum::body::Body> {
    post("/v1/traces", &[JSON], "{}")
}

/// Waits until the server has closed a connection.
async fn closed(mut stream: TcpStream) {
    // A reset is an end as good as any.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_a_connection_waits_until_another_ends() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.connections_max = 2).await;
    let silent = [TcpStream::connect(served.http).await.unwrap(), TcpStream::connect(served.http).await.unwrap()];
    let mut waiting = tokio::spawn(http1(served.http, empty()));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut waiting).await.is_err());
    drop(silent);
    assert_eq!(tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().status, StatusCode::OK);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_or_half_a_header_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.header_timeout_seconds = 1).await;
    for begun in ["", "POST /v1/traces HTTP/1.1\r\nhost: "] {
        closed(said(served.http, begun.as_bytes()).await).await;
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_slow_is_refused_for_now_and_holds_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.body_timeout_seconds = 1).await;
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{";
    let mut stream = said(served.http, head.as_bytes()).await;
    let answer = read_until(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    assert!(answer.contains("did not arrive within 1 s"), "{answer}");
    assert_eq!(served.meter.read().bytes_in_flight, 0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_goes_away_in_the_middle_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{";
    for _ in 0..20 {
        drop(said(served.http, head.as_bytes()).await);
    }
    let deadline = Instant::now() + PATIENCE;
    while served.meter.read().logs.invalid < 20 || served.meter.read().bytes_in_flight > 0 {
        assert!(Instant::now() < deadline, "{:?}", served.meter.read().logs);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(served.meter.read().logs.accepted, 0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_when_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.connection_age_max_seconds = 1).await;
    let connection = Connection::open(served.http).await;
    assert_eq!(connection.send(empty()).await.status, StatusCode::OK);
    tokio::time::timeout(PATIENCE, connection.task).await.unwrap().unwrap().unwrap();
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keepalive_pings_of_a_sender_are_answered_however_many() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let io = TokioIo::new(TcpStream::connect(served.grpc).await.unwrap());
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_millis(5)).keep_alive_while_idle(true).keep_alive_timeout(PATIENCE);
    let (mut sender, connection) = builder.handshake::<_, axum::body::Body>(io).await.unwrap();
    let mut connection = tokio::spawn(connection);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut connection).await.is_err(), "it ended by itself");
    let answer = sender.send_request(grpc_request(TRACES, "identity", &frame(0, &one_span()))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    connection.abort();
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g14_no_call_of_many_on_one_connection_starves() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.admission_wait_ms = 30_000).await;
    let connection = Connection::open(served.grpc).await;
    let mut calls = tokio::task::JoinSet::new();
    let began = Instant::now();
    for number in 0..300_u64 {
        let spans = (0..200).map(|at| numbered_span(number * 200 + at)).collect();
        let body = frame(0, &protobuf(&Records::Traces(traces_of(spans))).body);
        calls.spawn(connection.send(grpc_request(TRACES, "identity", &body)));
    }
    while let Some(answered) = calls.join_next().await {
        assert_eq!(answered.unwrap().grpc(), (0, String::new()));
    }
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(served.meter.read().traces.accepted, 60_000);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g14_idle_connections_cost_those_that_send_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        let connection = Connection::open(served.grpc).await;
        assert_eq!(connection.send(grpc_request(TRACES, "identity", &frame(0, b""))).await.grpc().0, 0);
        idle.push((connection, TcpStream::connect(served.http).await.unwrap()));
    }
    assert_eq!(http1(served.http, post("/v1/traces", &[PROTOBUF], one_span())).await.status, StatusCode::OK);
    assert_eq!(call(&served, TRACES, "gzip", &one_span()).await.grpc().0, 0);
    for (connection, _) in &idle {
        assert_eq!(connection.send(grpc_request(TRACES, "identity", &frame(0, &one_span()))).await.grpc().0, 0);
    }
    expect(&served.tables, "SELECT count(*) FROM spans", 102).await;
    drop(idle);
    served.stop().await;
}
