//! Too much at once: what a flood of one sender means for another.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use super::*;

/// Sends from another address of this machine.
async fn from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// Begins a body of a megabyte and never ends it.
async fn stall(served: &Served) -> TcpStream {
    let mut stream = from([127, 0, 0, 2], served.http).await;
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_flood_from_one_peer_does_not_refuse_another() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(stall(&served).await);
    }
    let deadline = std::time::Instant::now() + crate::tests::world::PATIENCE;
    while served.meter.read().bytes_in_flight < 900_000 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let body = protobuf(&Records::Traces(traces_of(vec![span()]))).body;
    for _ in 0..50 {
        let answer = http1(served.http, post("/v1/traces", &[("content-type", MEDIA_TYPES[0])], body.clone())).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(call(&served, TRACES, "gzip", &body).await.grpc().0, 0);
    }
    let stats = served.meter.read();
    assert_eq!((stats.traces.accepted, stats.traces.refused), (100, 0));
    assert!(stats.bytes_in_flight >= 900_000, "the flood is still there");
    drop(stalled);
    served.stop().await;
}
