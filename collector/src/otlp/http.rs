//! OTLP over HTTP/1.1 and HTTP/2 without TLS: `POST /v1/traces`, `/v1/metrics`, `/v1/logs`, in protobuf and JSON.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, RETRY_AFTER as RETRY_AFTER_HEADER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::body::{self, Coding};
use super::messages::{RpcStatus, response};
use super::status::Refused;
use super::{Door, RETRY_AFTER, json};
use crate::collector::ServeError;
use crate::decode::Rejected;
use crate::request::{Encoding, Request, Signal};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Serves until told to stop, and then until what has been begun is answered.
pub(crate) async fn serve(listener: TcpListener, door: Door, stop: CancellationToken) -> Result<(), ServeError> {
    let router = Router::new().fallback(answer).with_state(door);
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    serving.await.map_err(|source| ServeError::Listener { protocol: "OTLP/HTTP", source })
}

/// What a request asks for, by its path, method and headers.
struct Asked {
    signal: Signal,
    encoding: Encoding,
    coding: Coding,
}

async fn answer(State(door): State<Door>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    let encoding = encoding_of(&parts.headers);
    let asked = match asked(parts.uri.path(), &parts.method, &parts.headers) {
        Ok(asked) => asked,
        Err(refused) => {
            // A sender that waits for leave to send its body gets its answer instead.
            if !parts.headers.contains_key(EXPECT) {
                body::drain(body, door.limits.bytes_max).await;
            }
            return refusal(&refused, encoding.unwrap_or(Encoding::Json));
        }
    };
    match take(&door, &asked, body).await {
        Ok(rejected) => success(&asked, rejected.as_ref()),
        Err(refused) => {
            door.count(asked.signal, &refused);
            tracing::debug!(signal = ?asked.signal, status = refused.http.as_u16(), message = refused.message, "refused a request");
            refusal(&refused, asked.encoding)
        }
    }
}

async fn take(door: &Door, asked: &Asked, body: Body) -> Result<Option<Rejected>, Refused> {
    let raw = body::read(body, door.limits, &door.intake.admission).await?;
    door.take(raw, asked.coding, |body| Request { signal: asked.signal, encoding: asked.encoding, body }).await
}

fn asked(path: &str, method: &Method, headers: &HeaderMap) -> Result<Asked, Refused> {
    let signal = match path.trim_end_matches('/') {
        "/v1/traces" => Signal::Traces,
        "/v1/metrics" => Signal::Metrics,
        "/v1/logs" => Signal::Logs,
        other => {
            let message = format!("there is nothing at {other}: OTLP is taken at /v1/traces, /v1/metrics and /v1/logs");
            return Err(Refused::form(Code::NotFound, StatusCode::NOT_FOUND, message));
        }
    };
    if method != Method::POST {
        return Err(Refused::form(Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not taken here: use POST")));
    }
    let encoding = encoding_of(headers).ok_or_else(|| {
        let message = format!("the content type must be {PROTOBUF} or {JSON}");
        Refused::form(Code::InvalidArgument, StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })?;
    let coding = text(headers, &CONTENT_ENCODING).map_or(Some(Coding::Identity), Coding::parse).ok_or_else(|| {
        let message = "the content encoding must be gzip, zstd, deflate or identity";
        Refused::form(Code::InvalidArgument, StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })?;
    Ok(Asked { signal, encoding, coding })
}

/// The encoding that the media type names; its parameters and case do not matter.
pub(super) fn encoding_of(headers: &HeaderMap) -> Option<Encoding> {
    let media_type = text(headers, &CONTENT_TYPE)?.split(';').next()?.trim().to_ascii_lowercase();
    match media_type.as_str() {
        PROTOBUF | "application/protobuf" => Some(Encoding::Protobuf),
        JSON => Some(Encoding::Json),
        _ => None,
    }
}

/// A header's text; one that is not text is as good as unknown.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn success(asked: &Asked, rejected: Option<&Rejected>) -> Response {
    let body = match asked.encoding {
        Encoding::Protobuf => response(asked.signal, rejected),
        Encoding::Json => json::partial_success(asked.signal, rejected).to_string().into_bytes(),
    };
    build(StatusCode::OK, asked.encoding, body)
}

pub(super) fn refusal(refused: &Refused, encoding: Encoding) -> Response {
    let code = i32::from(refused.grpc);
    let body = match encoding {
        Encoding::Protobuf => RpcStatus { code, message: refused.message.clone(), details: Vec::new() }.encode_to_vec(),
        Encoding::Json => json::status(code, &refused.message).to_string().into_bytes(),
    };
    let mut answer = build(refused.http, encoding, body);
    if refused.retry {
        answer.headers_mut().insert(RETRY_AFTER_HEADER, HeaderValue::from(RETRY_AFTER.as_secs()));
    }
    if refused.http == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    answer
}

fn build(status: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response {
    let media_type = match encoding {
        Encoding::Protobuf => PROTOBUF,
        Encoding::Json => JSON,
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}
