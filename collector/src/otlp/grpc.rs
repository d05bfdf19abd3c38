//! OTLP over gRPC, with tonic's words for statuses and metadata.
//!
//! The one message of a unary call is framed and decompressed here and not by tonic: it knows nothing of the bytes in flight before it has them,
//! answers before it has read a body that is too large (which ends in reset streams), and calls an oversize message
//! `OUT_OF_RANGE` and a broken one `INTERNAL`, where OTLP wants `RESOURCE_EXHAUSTED` and `INVALID_ARGUMENT`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use super::body::{self, Announced, BodyError, Coding, FRAME_BYTES, Raw};
use super::messages::{Any, BadRequest, RetryInfo, RpcStatus, response};
use super::sender::Sender;
use super::serve::Versions;
use super::status::Refused;
use super::{Asked, Door, RETRY_AFTER};
use crate::collector::ServeError;
use crate::decode::Rejected;
use crate::request::{Encoding, Signal};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,deflate,snappy");

/// Serves until told to stop, and then until what has been begun is answered.
pub(crate) async fn serve(listener: TcpListener, door: Door, stop: CancellationToken) -> Result<(), ServeError> {
    let connections = door.connections.clone();
    super::serve::serve(listener, connections, Versions::Http2, stop, move |sender, request| answer(door.clone(), sender, request)).await;
    Ok(())
}

async fn answer(door: Door, sender: Arc<Sender>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    if !parts.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(GRPC.as_bytes())) {
        body::drain(body, door.limits.bytes_max).await;
        return not_grpc();
    }
    match asked(parts.uri.path(), &parts.headers) {
        Ok(asked) => match door.take(&asked, &parts.headers, &sender, body).await {
            Ok(rejected) => success(asked.signal, rejected.as_ref()),
            Err(refused) => refusal(&refused),
        },
        Err(refused) => {
            body::drain(body, door.limits.bytes_max).await;
            refusal(&refused)
        }
    }
}

fn asked(path: &str, headers: &HeaderMap) -> Result<Asked, Refused> {
    let signal = match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Traces,
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Signal::Metrics,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Signal::Logs,
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export" => {
            return Err(unimplemented("profiles are not taken here: traces, metrics and logs are".to_owned()));
        }
        other => return Err(unimplemented(format!("there is no method {other} here"))),
    };
    let encoding = headers.get(GRPC_ENCODING).map_or("", |value| value.to_str().unwrap_or("?"));
    let coding = Coding::parse(encoding).ok_or_else(|| unimplemented(format!("the message encoding {encoding:?} is not known here")))?;
    Ok(Asked { signal, encoding: Encoding::Protobuf, coding, announced: Announced::ByFrame })
}

fn unimplemented(message: String) -> Refused {
    Refused::form(Code::Unimplemented, StatusCode::NOT_FOUND, message)
}

/// The message of a body that must hold just one, and how it is compressed.
pub(super) fn unframe(mut raw: Raw, coding: Coding) -> Result<(Raw, Coding), BodyError> {
    let [flag, length @ ..] = body::peek(&raw.chunks).ok_or(BodyError::Frame("it is shorter than a message's header"))?;
    raw.bytes -= FRAME_BYTES;
    if u32::try_from(raw.bytes) != Ok(u32::from_be_bytes(length)) {
        return Err(BodyError::Frame("it is shorter or longer than its header says"));
    }
    let mut header = FRAME_BYTES;
    while let Some(chunk) = raw.chunks.front_mut().filter(|_| header > 0) {
        let skipped = header.min(chunk.len());
        chunk.advance(skipped);
        header -= skipped;
        if chunk.is_empty() {
            raw.chunks.pop_front();
        }
    }
    match (flag, coding) {
        (0, _) => Ok((raw, Coding::Identity)),
        (1, Coding::Identity) => Err(BodyError::Frame("it says that it is compressed, but grpc-encoding does not say how")),
        (1, Coding::Gzip | Coding::Zstd | Coding::Deflate | Coding::Snappy) => Ok((raw, coding)),
        _ => Err(BodyError::Frame("its flag is neither 0 nor 1")),
    }
}

fn success(signal: Signal, rejected: Option<&Rejected>) -> Response {
    let message = response(signal, rejected);
    let mut frame = BytesMut::with_capacity(FRAME_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    let trailers = async { Some(Ok::<_, Infallible>(HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(0))]))) };
    let mut answer = Response::new(Body::new(Full::new(frame.freeze()).with_trailers(trailers)));
    answer.headers_mut().insert(CONTENT_TYPE, GRPC);
    answer
}

pub(super) fn refusal(refused: &Refused) -> Response {
    let mut metadata = MetadataMap::new();
    let mut details: Vec<Any> = refused.violation().map(|told| Any::of(BadRequest::TYPE_URL, &told)).into_iter().collect();
    if refused.retry {
        // The standard place for it is in the details; Python's exporter reads the trailer of its own.
        let retry = RetryInfo::after(RETRY_AFTER);
        metadata.insert_bin("google.rpc.retryinfo-bin", MetadataValue::from_bytes(&retry.encode_to_vec()));
        details.push(Any::of(RetryInfo::TYPE_URL, &retry));
    }
    let details = match &details[..] {
        [] => Bytes::new(),
        [..] => RpcStatus { code: i32::from(refused.grpc), message: refused.message.clone(), details }.encode_to_vec().into(),
    };
    let status = Status::with_details_and_metadata(refused.grpc, &refused.message, details, metadata);
    let mut answer: Response = status.into_http();
    if refused.grpc == Code::Unimplemented {
        answer.headers_mut().insert(GRPC_ACCEPT_ENCODING, ACCEPTED);
    }
    answer
}

fn not_grpc() -> Response {
    let mut answer =
        Response::new(Body::from("this port takes OTLP over gRPC only; OTLP over HTTP has a port of its own, 4318 by default\n"));
    *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    answer
}
