//! OTLP over gRPC, on tonic's server.
//!
//! The one message of a unary call is framed and decompressed here and not by tonic's `Grpc::unary`: that one knows nothing of the bytes in flight
//! before it has them, answers before it has read a body that is too large (which ends in reset streams), and calls an oversize message
//! `OUT_OF_RANGE` and a broken one `INTERNAL`, where OTLP wants `RESOURCE_EXHAUSTED` and `INVALID_ARGUMENT`.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};

use super::body::{self, BodyError, Coding, Limits, Raw};
use super::messages::{Any, RetryInfo, RpcStatus, response};
use super::status::Refused;
use super::{Door, RETRY_AFTER};
use crate::collector::ServeError;
use crate::decode::Rejected;
use crate::request::{Encoding, Request, Signal};

/// A flag and a length stand before a message.
const FRAME_BYTES: usize = 5;
/// What a connection may send ahead of what has been read, for one call and for all.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// A connection that says nothing is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,deflate");

/// Serves until told to stop, and then until what has been begun is answered.
pub(crate) async fn serve(listener: TcpListener, door: Door, stop: CancellationToken) -> Result<(), ServeError> {
    let router = Router::new().fallback(answer).with_state(door);
    tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .serve_with_incoming_shutdown(
            tonic::service::Routes::from(router).prepare(),
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.cancelled_owned(),
        )
        .await
        .map_err(|cause| ServeError::Listener { protocol: "OTLP/gRPC", source: std::io::Error::other(cause) })
}

async fn answer(State(door): State<Door>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    if !parts.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(GRPC.as_bytes())) {
        return not_grpc();
    }
    let (signal, coding) = match asked(parts.uri.path(), &parts.headers) {
        Ok(asked) => asked,
        Err(refused) => {
            body::drain(body, door.limits.bytes_max).await;
            return refusal(&refused);
        }
    };
    match take(&door, signal, coding, body).await {
        Ok(rejected) => success(signal, rejected.as_ref()),
        Err(refused) => {
            door.count(signal, &refused);
            tracing::debug!(?signal, code = ?refused.grpc, message = refused.message, "refused a request");
            refusal(&refused)
        }
    }
}

fn asked(path: &str, headers: &HeaderMap) -> Result<(Signal, Coding), Refused> {
    let signal = match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Traces,
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Signal::Metrics,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Signal::Logs,
        other => return Err(unimplemented(format!("there is no method {other} here"))),
    };
    let encoding = headers.get(GRPC_ENCODING).map_or("", |value| value.to_str().unwrap_or("?"));
    let coding = Coding::parse(encoding).ok_or_else(|| unimplemented(format!("the message encoding {encoding:?} is not known here")))?;
    Ok((signal, coding))
}

fn unimplemented(message: String) -> Refused {
    Refused::form(Code::Unimplemented, StatusCode::NOT_FOUND, message)
}

async fn take(door: &Door, signal: Signal, coding: Coding, body: Body) -> Result<Option<Rejected>, Refused> {
    let limits = Limits { bytes_max: door.limits.bytes_max.saturating_add(FRAME_BYTES), ..door.limits };
    let Raw { bytes, admitted } = body::read(body, limits, &door.intake.admission).await?;
    let (message, compressed) = unframe(&bytes)?;
    let coding = match (compressed, coding) {
        (false, _) => Coding::Identity,
        (true, Coding::Identity) => {
            return Err(BodyError::Frame("it says that it is compressed, but grpc-encoding does not say how").into());
        }
        (true, Coding::Gzip | Coding::Zstd | Coding::Deflate) => coding,
    };
    let raw = Raw { bytes: message, admitted };
    door.take(raw, coding, |body| Request { signal, encoding: Encoding::Protobuf, body }).await
}

/// The message in a body that must hold just one, and whether it is compressed.
fn unframe(body: &Bytes) -> Result<(Bytes, bool), BodyError> {
    let [flag, length @ ..]: &[u8; FRAME_BYTES] = body.first_chunk().ok_or(BodyError::Frame("it is shorter than a message's header"))?;
    let message = body.slice(FRAME_BYTES..);
    if u32::try_from(message.len()) != Ok(u32::from_be_bytes(*length)) {
        return Err(BodyError::Frame("it is shorter or longer than its header says"));
    }
    match flag {
        0 => Ok((message, false)),
        1 => Ok((message, true)),
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
    let mut details = Bytes::new();
    if refused.retry {
        // The standard place for it is in the details; Python's exporter reads the trailer of its own.
        let retry = RetryInfo::after(RETRY_AFTER).encode_to_vec();
        metadata.insert_bin("google.rpc.retryinfo-bin", MetadataValue::from_bytes(&retry));
        let any = Any { type_url: RetryInfo::TYPE_URL.to_owned(), value: retry };
        let status = RpcStatus { code: i32::from(refused.grpc), message: refused.message.clone(), details: vec![any] };
        details = status.encode_to_vec().into();
    }
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
