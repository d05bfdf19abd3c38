//! Too much at once: senders are held for a moment, then asked to come again, and one does not cost another its place.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::*;
use crate::otlp::messages::{RetryInfo, RpcStatus};
use crate::tests::world::PATIENCE;

/// Sends from another address of this machine.
async fn from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// Begins a body of a megabyte and never ends it.
async fn stall(served: &Served) -> TcpStream {
    let mut stream = from([127, 0, 0, 2], served.http).await;
    stall_on(&mut stream).await;
    stream
}

async fn stall_on(stream: &mut TcpStream) {
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
}

/// Sends a span of a service, and waits until it is taken.
async fn speak_for(stream: &mut TcpStream, service: &str) {
    let body = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},
        "scopeSpans":[{{"spans":[{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"a"}}]}}]}}]}}"#
    );
    let head = format!("POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let answer = read_until(stream, "\r\n\r\n{}").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{service}: {answer}");
}

/// Waits until so much is in flight.
async fn until_in_flight(served: &Served, bytes: u64) {
    let deadline = Instant::now() + PATIENCE;
    while served.meter.read().bytes_in_flight < bytes {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_without_room_a_sender_is_asked_to_try_again_in_words_that_each_sdk_reads() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let hog = served.intake.admission.exhaust();
    for media_type in [PROTOBUF, JSON] {
        let answer = http1(served.http, post("/v1/traces", &[media_type], one_span())).await;
        assert_eq!((answer.status.as_u16(), answer.refusal().0), (503, 14));
        // Whole seconds and at least one: some SDKs read nothing else.
        assert_eq!(answer.headers["retry-after"].to_str().unwrap(), "1");
    }
    for (_, method, records) in one_of_each() {
        let answer = call(&served, method, "identity", &protobuf(&records).body).await;
        assert_eq!(answer.grpc().0, 14);
        let retry = RetryInfo::after(Duration::from_secs(1));
        let decode = |name: &str| crate::base64::decode(answer.trailer(name).unwrap()).unwrap();
        assert_eq!(RetryInfo::decode(&decode("google.rpc.retryinfo-bin")[..]).unwrap(), retry, "for Python");
        let status = RpcStatus::decode(&decode("grpc-status-details-bin")[..]).unwrap();
        assert_eq!((status.code, status.details[0].type_url.as_str()), (14, RetryInfo::TYPE_URL));
        assert_eq!(RetryInfo::decode(&status.details[0].value[..]).unwrap(), retry, "for everybody else");
    }
    assert_eq!(served.meter.read().traces.refused, 3);
    drop(hog);
    assert_eq!(call(&served, TRACES, "identity", &one_span()).await.grpc().0, 0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_sender_is_held_before_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.admission_wait_ms = 30_000).await;
    let hog = served.intake.admission.exhaust();
    let mut held = tokio::spawn(http1(served.http, post("/v1/traces", &[PROTOBUF], one_span())));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut held).await.is_err(), "answered at once");
    drop(hog);
    assert_eq!(tokio::time::timeout(PATIENCE, held).await.unwrap().unwrap().status, StatusCode::OK);
    served.stop().await;
}

/// An HTTP/2 library gives a connection up after 1,024 streams that the other side reset: refusals must not be resets.
#[tokio::test(flavor = "multi_thread")]
async fn g13_a_connection_outlives_thousands_of_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.admission_wait_ms = 1).await;
    let hog = served.intake.admission.exhaust();
    let (connection, http) = (Connection::open(served.grpc).await, Connection::open(served.http).await);
    let large = frame(0, &vec![0; 100_000]);
    for _ in 0..30 {
        let calls = (0..50).map(|_| connection.send(grpc_request(TRACES, "identity", &large)));
        assert!(futures::future::join_all(calls).await.iter().all(|answer| answer.grpc().0 == 14));
        let posts = (0..50).map(|_| http.send(post("/v1/traces", &[PROTOBUF], chunked(&large))));
        assert!(futures::future::join_all(posts).await.iter().all(|answer| answer.status == 503));
    }
    drop(hog);
    assert_eq!(connection.send(grpc_request(TRACES, "identity", &frame(0, &one_span()))).await.grpc().0, 0);
    assert_eq!(http.send(post("/v1/traces", &[PROTOBUF], one_span())).await.status, StatusCode::OK);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_flood_from_one_peer_does_not_refuse_another() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(stall(&served).await);
    }
    until_in_flight(&served, 900_000).await;
    for _ in 0..50 {
        assert_eq!(http1(served.http, post("/v1/traces", &[PROTOBUF], one_span())).await.status, StatusCode::OK);
        assert_eq!(call(&served, TRACES, "gzip", &one_span()).await.grpc().0, 0);
    }
    let stats = served.meter.read();
    assert_eq!((stats.traces.accepted, stats.traces.refused), (100, 0));
    assert!(stats.bytes_in_flight >= 900_000, "the flood is still there");
    drop(stalled);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_flood_of_one_service_does_not_refuse_another_at_the_same_address() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let mut quiet = from([127, 0, 0, 2], served.http).await;
    speak_for(&mut quiet, "pay").await;
    let mut flood = Vec::new();
    for _ in 0..20 {
        let mut stream = from([127, 0, 0, 2], served.http).await;
        speak_for(&mut stream, "cart").await;
        stall_on(&mut stream).await;
        flood.push(stream);
    }
    until_in_flight(&served, 900_000).await;
    for _ in 0..50 {
        speak_for(&mut quiet, "pay").await;
    }
    let mut newcomer = from([127, 0, 0, 2], served.http).await;
    speak_for(&mut newcomer, "stock").await;
    let stats = served.meter.read();
    assert_eq!((stats.traces.accepted, stats.traces.refused), (72, 0));
    assert!(stats.bytes_in_flight >= 900_000, "the flood is still there");
    drop(flood);
    served.stop().await;
}
