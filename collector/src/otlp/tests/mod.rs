//! Both doors over real sockets, with clients made by hand. Which test holds which row of the conformance table:
//!
//! | rows | test |
//! | --- | --- |
//! | gzip, zstd, J5–J9, C1–C4, H1–H5, G1, chunked bodies, HTTP/2 with prior knowledge | `http_takes_every_signal_encoding_and_coding_and_they_become_rows` |
//! | G1, G2 | `grpc_takes_every_signal_and_coding` |
//! | C4 (snappy, zlib), C8 | `compression` |
//! | C6, C7, E1–E7, J3 | `http_says_what_is_wrong_in_the_sender_s_encoding`, `errors` |
//! | G4, G5, G6, G9, G10, G11 | `grpc_refuses_with_the_codes_that_otlp_wants` |
//! | S1–S5 | `a_body_over_the_limit_gets_its_413_before_and_after_decompression` |
//! | partial success | `what_is_left_out_is_told_in_either_encoding` |
//! | G12, X1, tokens | `errors` |
//! | G13 | `a_sender_is_asked_to_wait_when_there_is_no_room`, `overload` |
//! | G14, connections | `limits` |
//! | R1, P1 | `fuzz` |
//! | J1–J11 (the mapping itself) | `otlp::json::tests` |

mod compression;
mod errors;
mod fuzz;
mod limits;
mod overload;

use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request as HttpRequest, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpStream;

use super::messages::{RetryInfo, RpcStatus};
use crate::request::{Encoding, Request};
use crate::tests::fixture::{log, logs_of, metrics, metrics_of, numbered_span, protobuf, span, traces_of};
use crate::tests::oracle::Records;
use crate::tests::to_json;
use crate::tests::world::{Served, expect};

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

impl Answer {
    /// The code and message of a gRPC answer, wherever they stand.
    fn grpc(&self) -> (i32, String) {
        let from = if self.headers.contains_key("grpc-status") { &self.headers } else { &self.trailers };
        let text = |name: &str| from.get(name).map_or("", |value| value.to_str().unwrap());
        (text("grpc-status").parse().unwrap(), text("grpc-message").replace("%20", " ").replace("%22", "\""))
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn answer(response: hyper::Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Answer { status: parts.status, headers: parts.headers, body: collected.to_bytes(), trailers }
}

async fn http1(address: std::net::SocketAddr, request: HttpRequest<Body>) -> Answer {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = answer(sender.send_request(request).await.unwrap()).await;
    connection.abort();
    answer
}

async fn http2(address: std::net::SocketAddr, request: HttpRequest<Body>) -> Answer {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = answer(sender.send_request(request).await.unwrap()).await;
    connection.abort();
    answer
}

fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> HttpRequest<Body> {
    let builder = HttpRequest::builder().method(Method::POST).uri(format!("http://localhost{path}")).header("host", "localhost");
    headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(body.into()).unwrap()
}

/// A body in pieces whose length nobody says.
fn chunked(bytes: &[u8]) -> Body {
    let pieces: Vec<_> = bytes.chunks(1000).map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    Body::new(StreamBody::new(futures::stream::iter(pieces)))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn pack(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => gzip(bytes),
        "zstd" => zstd(bytes),
        "deflate" => zlib(bytes),
        _ => bytes.to_vec(),
    }
}

fn one_of_each() -> [(&'static str, Records); 3] {
    [
        ("/v1/traces", Records::Traces(traces_of(vec![span()]))),
        ("/v1/metrics", Records::Metrics(metrics_of(metrics()))),
        ("/v1/logs", Records::Logs(logs_of(vec![log()]))),
    ]
}

const MEDIA_TYPES: [&str; 2] = ["application/x-protobuf", "Application/JSON; charset=utf-8"];

#[tokio::test(flavor = "multi_thread")]
async fn http_takes_every_signal_encoding_and_coding_and_they_become_rows() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let mut sent = 0;
    for (path, records) in one_of_each() {
        for (media_type, Request { body, encoding, .. }) in MEDIA_TYPES.into_iter().zip([protobuf(&records), to_json::request(&records)]) {
            for coding in ["identity", "gzip", "zstd", "deflate"] {
                let packed = pack(coding, &body);
                let headers = [("content-type", media_type), ("content-encoding", coding)];
                let answers = [
                    http1(served.http, post(path, &headers, chunked(&packed))).await,
                    http2(served.http, post(path, &headers, packed)).await,
                ];
                for answer in answers {
                    let expected: &[u8] = if encoding == Encoding::Json { b"{}" } else { b"" };
                    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, expected), "{path} {media_type} {coding}");
                    let answered_in = answer.headers["content-type"].to_str().unwrap().to_owned();
                    assert!(media_type.to_lowercase().starts_with(&answered_in));
                }
                sent += 2;
            }
        }
    }
    expect(&served.tables, "SELECT count(*) FROM spans", sent / 3).await;
    expect(&served.tables, "SELECT count(*) FROM metrics", sent / 3 * 5).await;
    expect(&served.tables, "SELECT count(*) FROM logs", sent / 3).await;
    for body in ["", "{}"] {
        let answer = http1(served.http, post("/v1/traces", &[("content-type", "application/json")], body)).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{}"[..]));
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_says_what_is_wrong_in_the_sender_s_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let (json_type, protobuf_type) = (("content-type", "application/json"), ("content-type", "application/x-protobuf"));
    for (request, status, says) in [
        (post("/v1/traces", &[json_type], r#"{"resourceSpans":[7]}"#), 400, "resourceSpans[0] must be an object"),
        (post("/v1/logs", &[json_type], "{"), 400, "not valid JSON"),
        (post("/v1/logs", &[json_type, ("content-encoding", "gzip")], "no gzip"), 400, "not valid gzip"),
        (post("/v1/logs", &[json_type, ("content-encoding", "br")], "x"), 415, "gzip, zstd"),
        (post("/v1/logs", &[("content-type", "text/plain")], "x"), 415, "application/x-protobuf"),
        (post("/v1/logs", &[], "x"), 415, "application/x-protobuf"),
        (post("/v1/nothing", &[json_type], "x"), 404, "/v1/traces"),
    ] {
        let path = request.uri().path().to_owned();
        let answer = http1(served.http, request).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {:?}", answer.body);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(says), "{message}");
    }
    let answer = http1(served.http, post("/v1/traces", &[protobuf_type], vec![0x0a, 0xff])).await;
    assert_eq!((answer.status.as_u16(), answer.headers["content-type"].to_str().unwrap()), (400, "application/x-protobuf"));
    let status = RpcStatus::decode(answer.body).unwrap();
    assert_eq!(status.code, 3);
    assert!(status.message.contains("protobuf"), "{}", status.message);
    let mut get = post("/v1/traces", &[], "");
    *get.method_mut() = Method::GET;
    let answer = http1(served.http, get).await;
    assert_eq!((answer.status.as_u16(), answer.headers["allow"].to_str().unwrap()), (405, "POST"));
    assert_eq!(served.meter.read().logs.invalid, 2);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_gets_its_413_before_and_after_decompression() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let large = vec![b' '; 5 << 20];
    let json_type = ("content-type", "application/json");
    let mut requests = vec![post("/v1/logs", &[json_type], large.clone()), post("/v1/logs", &[json_type], chunked(&large))];
    for coding in ["gzip", "zstd", "deflate"] {
        requests.push(post("/v1/logs", &[json_type, ("content-encoding", coding)], pack(coding, &large)));
    }
    for request in requests {
        let answer = http1(served.http, request).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(answer.json()["message"].as_str().unwrap().contains("limit of 1048576 bytes"));
    }
    let fits = format!("{{}}{}", " ".repeat((1 << 20) - 2));
    let answer = http1(served.http, post("/v1/logs", &[json_type, ("content-encoding", "gzip")], gzip(fits.as_bytes()))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(served.meter.read().bytes_in_flight, 0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_told_in_either_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let bad = Span { trace_id: vec![1], ..span() };
    let records = Records::Traces(traces_of(vec![bad.clone(), numbered_span(1), bad]));
    let answer = http1(served.http, post("/v1/traces", &[("content-type", MEDIA_TYPES[1])], to_json::request(&records).body)).await;
    let message = "2 spans can never be stored and were left out; the first: trace_id must have 16 bytes, not 1";
    assert_eq!(answer.json(), json!({"partialSuccess": {"rejectedSpans": "2", "errorMessage": message}}));
    let answer = http1(served.http, post("/v1/traces", &[("content-type", MEDIA_TYPES[0])], protobuf(&records).body)).await;
    let partial = ExportTraceServiceResponse::decode(answer.body).unwrap().partial_success.unwrap();
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (2, message));
    let answer = call(&served, TRACES, "identity", &protobuf(&records).body).await;
    assert_eq!(answer.grpc().0, 0);
    let partial = ExportTraceServiceResponse::decode(answer.body.slice(5..)).unwrap().partial_success.unwrap();
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (2, message));
    let stats = served.meter.read().traces;
    assert_eq!((stats.requests, stats.accepted, stats.rejected), (3, 3, 6));
    served.stop().await;
}

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

async fn call(served: &Served, path: &str, coding: &str, message: &[u8]) -> Answer {
    let flag = u8::from(coding != "identity");
    call_raw(served, path, coding, frame(flag, &pack(coding, message))).await
}

async fn call_raw(served: &Served, path: &str, coding: &str, body: Vec<u8>) -> Answer {
    let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-encoding", coding)];
    let mut request = post(path, &headers, chunked(&body));
    request.headers_mut().remove("host");
    http2(served.grpc, request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_takes_every_signal_and_coding() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (path, (_, records)) in [TRACES, METRICS, LOGS].into_iter().zip(one_of_each()) {
        for coding in ["identity", "gzip", "zstd"] {
            let answer = call(&served, path, coding, &protobuf(&records).body).await;
            assert_eq!((answer.status, answer.grpc(), &answer.body[..]), (StatusCode::OK, (0, String::new()), &[0, 0, 0, 0, 0][..]));
            assert_eq!(answer.headers["content-type"], "application/grpc");
        }
        assert_eq!(call(&served, path, "identity", b"").await.grpc().0, 0, "an empty request is no mistake");
    }
    expect(&served.tables, "SELECT count(*) FROM spans", 3).await;
    expect(&served.tables, "SELECT count(*) FROM metrics", 15).await;
    expect(&served.tables, "SELECT count(*) FROM logs", 3).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_refuses_with_the_codes_that_otlp_wants() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let large = vec![0; 3 << 20];
    for (answer, code, says) in [
        (call(&served, TRACES, "identity", &[0x0a, 0xff]).await, 3, "protobuf"),
        (call_raw(&served, TRACES, "gzip", frame(1, b"no gzip")).await, 3, "not valid gzip"),
        (call_raw(&served, TRACES, "identity", frame(1, b"")).await, 3, "grpc-encoding"),
        (call_raw(&served, TRACES, "identity", frame(9, b"")).await, 3, "flag"),
        (call_raw(&served, TRACES, "identity", b"abc".to_vec()).await, 3, "header"),
        (call_raw(&served, TRACES, "identity", [frame(0, b""), frame(0, b"")].concat()).await, 3, "longer"),
        (call(&served, TRACES, "identity", &large).await, 8, "limit"),
        (call(&served, LOGS, "gzip", &large).await, 8, "limit"),
        (call(&served, METRICS, "zstd", &large).await, 8, "limit"),
        (call(&served, TRACES, "lz4", b"").await, 12, "lz4"),
        (call(&served, "/opentelemetry.proto.collector.trace.v1.TraceService/Import", "identity", b"").await, 12, "no method"),
    ] {
        let (found, message) = answer.grpc();
        assert_eq!(found, code, "{message}");
        assert!(message.contains(says), "{message}");
        assert!(!answer.headers.contains_key("google.rpc.retryinfo-bin"), "trying again would not help");
        assert_eq!(answer.headers.contains_key("grpc-accept-encoding"), code == 12);
    }
    let answer = http1_or_2(&served).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    served.stop().await;
}

/// Something that is not gRPC, sent to the gRPC port.
async fn http1_or_2(served: &Served) -> Answer {
    http2(served.grpc, post("/v1/traces", &[("content-type", "application/json")], "{}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_asked_to_wait_when_there_is_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let hog = served.intake.admission.exhaust();
    let body = protobuf(&Records::Traces(traces_of(vec![span()]))).body;
    let answer = http1(served.http, post("/v1/traces", &[("content-type", MEDIA_TYPES[0])], body.clone())).await;
    assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].to_str().unwrap()), (503, "1"));
    let answer = call(&served, TRACES, "identity", &body).await;
    assert_eq!(answer.grpc().0, 14);
    let retry = RetryInfo::after(super::RETRY_AFTER);
    let decode = |name: &str| crate::base64::decode(answer.headers[name].to_str().unwrap()).unwrap();
    assert_eq!(RetryInfo::decode(&decode("google.rpc.retryinfo-bin")[..]).unwrap(), retry);
    let status = RpcStatus::decode(&decode("grpc-status-details-bin")[..]).unwrap();
    assert_eq!((status.code, status.details[0].type_url.as_str()), (14, RetryInfo::TYPE_URL));
    assert_eq!(RetryInfo::decode(&status.details[0].value[..]).unwrap(), retry);
    assert_eq!(served.meter.read().traces.refused, 2);
    drop(hog);
    assert_eq!(call(&served, TRACES, "identity", &body).await.grpc().0, 0);
    served.stop().await;
}
