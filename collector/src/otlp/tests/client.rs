//! Senders made by hand, so that each byte of a request is the test's own.

use std::io::Write as _;
use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request as HttpRequest, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::otlp::messages::RpcStatus;
use crate::tests::world::{PATIENCE, Served};

pub(super) const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
pub(super) const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
pub(super) const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

pub(super) const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
pub(super) const JSON: (&str, &str) = ("content-type", "application/json");

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    trailers: HeaderMap,
}

impl Answer {
    async fn of(response: hyper::Response<hyper::body::Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Self { status: parts.status, headers: parts.headers, body: collected.to_bytes(), trailers }
    }

    /// A gRPC header or trailer, wherever it stands.
    pub(super) fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.get(name).or_else(|| self.headers.get(name)).map(|value| value.to_str().unwrap())
    }

    /// The code and message of a gRPC answer.
    pub(super) fn grpc(&self) -> (i32, String) {
        let message = self.trailer("grpc-message").unwrap_or_default().replace("%20", " ").replace("%22", "\"");
        (self.trailer("grpc-status").unwrap().parse().unwrap(), message)
    }

    /// The message in a gRPC answer's only frame.
    pub(super) fn message(&self) -> Bytes {
        assert_eq!(self.body[0], 0, "not compressed");
        assert_eq!(usize::try_from(u32::from_be_bytes(self.body[1..5].try_into().unwrap())).unwrap(), self.body.len() - 5);
        self.body.slice(5..)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `google.rpc.Status` of a refusal over HTTP, in either encoding: its code and message.
    pub(super) fn refusal(&self) -> (i32, String) {
        if self.headers["content-type"] == JSON.1 {
            let told = self.json();
            return (told["code"].as_i64().unwrap().try_into().unwrap(), told["message"].as_str().unwrap().to_owned());
        }
        assert_eq!(self.headers["content-type"], PROTOBUF.1);
        let told = RpcStatus::decode(self.body.clone()).unwrap();
        (told.code, told.message)
    }
}

pub(super) async fn http1(address: SocketAddr, request: HttpRequest<Body>) -> Answer {
    send_on(TokioIo::new(TcpStream::connect(address).await.unwrap()), false, request).await.unwrap()
}

pub(super) async fn http2(address: SocketAddr, request: HttpRequest<Body>) -> Answer {
    send_on(TokioIo::new(TcpStream::connect(address).await.unwrap()), true, request).await.unwrap()
}

/// Sends one request on a connection of its own.
pub(super) async fn send_on<S>(io: TokioIo<S>, http2: bool, request: HttpRequest<Body>) -> Result<Answer, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if http2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        let connection = tokio::spawn(connection);
        let answer = Answer::of(sender.send_request(request).await?).await;
        connection.abort();
        return Ok(answer);
    }
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let connection = tokio::spawn(connection);
    let answer = Answer::of(sender.send_request(request).await?).await;
    connection.abort();
    Ok(answer)
}

/// One HTTP/2 connection for many calls.
pub(super) struct Connection {
    sender: SendRequest<Body>,
    pub(super) task: JoinHandle<Result<(), hyper::Error>>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        Self { sender, task: tokio::spawn(connection) }
    }

    pub(super) fn send(&self, request: HttpRequest<Body>) -> impl Future<Output = Answer> + Send + 'static {
        let mut sender = self.sender.clone();
        async move { Answer::of(sender.send_request(request).await.unwrap()).await }
    }
}

/// What a connection answers, byte by byte, until it says this or ends.
pub(super) async fn read_until(stream: &mut TcpStream, said: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&read).contains(said) {
            match stream.read(&mut piece).await.unwrap() {
                0 => break,
                bytes => read.extend_from_slice(&piece[..bytes]),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    String::from_utf8(read).unwrap()
}

/// A connection on which these bytes have been sent.
pub(super) async fn said(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

pub(super) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> HttpRequest<Body> {
    let builder = HttpRequest::builder().method(method).uri(format!("http://localhost{path}")).header("host", "localhost");
    headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(body.into()).unwrap()
}

pub(super) fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> HttpRequest<Body> {
    request(Method::POST, path, headers, body)
}

/// A body in pieces whose length nobody says.
pub(super) fn chunked(bytes: &[u8]) -> Body {
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

fn framed_snappy(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.into_inner().unwrap()
}

pub(super) fn snappy_block(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// The bytes in a coding of this name.
pub(super) fn pack(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "identity" => bytes.to_vec(),
        "gzip" => gzip(bytes),
        "zstd" => zstd::encode_all(bytes, 1).unwrap(),
        "deflate" | "zlib" => zlib(bytes),
        "x-snappy-framed" => framed_snappy(bytes),
        "snappy" => snappy_block(bytes),
        other => panic!("no test packs {other}"),
    }
}

/// A gRPC message with what stands before it.
pub(super) fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

/// A gRPC call as a client library would make it.
pub(super) fn grpc_request(path: &str, coding: &str, body: &[u8]) -> HttpRequest<Body> {
    let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-encoding", coding)];
    let mut request = post(path, &headers, chunked(body));
    request.headers_mut().remove("host");
    request
}

pub(super) async fn call(served: &Served, path: &str, coding: &str, message: &[u8]) -> Answer {
    let flag = u8::from(coding != "identity");
    call_raw(served, path, coding, &frame(flag, &pack(coding, message))).await
}

pub(super) async fn call_raw(served: &Served, path: &str, coding: &str, body: &[u8]) -> Answer {
    http2(served.grpc, grpc_request(path, coding, body)).await
}
