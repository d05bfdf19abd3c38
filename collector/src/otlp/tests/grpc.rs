//! OTLP over gRPC.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn g1_g2_the_three_services_take_unary_exports() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (_, method, records) in one_of_each() {
        for coding in ["identity", "gzip", "zstd", "deflate", "snappy"] {
            let answer = call(&served, method, coding, &protobuf(&records).body).await;
            assert_eq!((answer.status, answer.grpc()), (StatusCode::OK, (0, String::new())), "{method} {coding}");
            assert_eq!(answer.headers["content-type"], "application/grpc");
        }
    }
    expect(&served.tables, "SELECT count(*) FROM spans", 5).await;
    expect(&served.tables, "SELECT count(*) FROM metrics", 5 * 5).await;
    expect(&served.tables, "SELECT count(*) FROM logs", 5).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_an_unknown_message_encoding_is_unimplemented_and_the_known_ones_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let answer = call_raw(&served, TRACES, "lz4", &frame(1, b"x")).await;
    let (code, message) = answer.grpc();
    assert!(code == 12 && message.contains("lz4"), "{code} {message}");
    assert_eq!(answer.trailer("grpc-accept-encoding"), Some("identity,gzip,zstd,deflate,snappy"));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_g6_what_cannot_be_decoded_is_an_invalid_argument() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (method, coding, body, says) in [
        (TRACES, "identity", frame(0, &[0x0a, 0xff]), "protobuf"),
        (METRICS, "identity", frame(0, &[0x0a, 0xff]), "protobuf"),
        (LOGS, "identity", frame(0, b"plain text"), "protobuf"),
        (TRACES, "gzip", frame(1, b"no gzip"), "not valid gzip"),
        (TRACES, "snappy", frame(1, b"\xff\xff\xff"), "not valid snappy"),
        (TRACES, "identity", frame(1, b""), "grpc-encoding"),
        (TRACES, "identity", frame(9, b""), "flag"),
        (TRACES, "identity", b"abc".to_vec(), "header"),
        (TRACES, "identity", [frame(0, b""), frame(0, b"")].concat(), "longer"),
    ] {
        let answer = call_raw(&served, method, coding, &body).await;
        let (code, message) = answer.grpc();
        assert!(code == 3 && message.contains(says), "{code} {message}");
        assert!(answer.trailer("google.rpc.retryinfo-bin").is_none(), "trying again would not help");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_an_unknown_method_is_unimplemented() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for path in ["/opentelemetry.proto.collector.trace.v1.TraceService/Import", "/grpc.health.v1.Health/Check", "/v1/traces"] {
        let (code, message) = call(&served, path, "identity", b"").await.grpc();
        assert!(code == 12 && message.contains("no method"), "{code} {message}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_grpc_is_told_the_port_for_http() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let answer = http2(served.grpc, post("/v1/traces", &[JSON], "{}")).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(String::from_utf8_lossy(&answer.body).contains("4318"));
    served.stop().await;
}
