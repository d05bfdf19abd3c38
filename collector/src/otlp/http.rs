//! OTLP over HTTP/1.1 and HTTP/2: `POST /v1/traces`, `/v1/metrics`, `/v1/logs`, in protobuf and JSON.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, RETRY_AFTER as RETRY_AFTER_HEADER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::body::{self, Announced, Coding};
use super::messages::{Any, BadRequest, RpcStatus, response};
use super::sender::Sender;
use super::serve::Versions;
use super::status::Refused;
use super::{Asked, Door, RETRY_AFTER, json};
use crate::collector::ServeError;
use crate::decode::Rejected;
use crate::request::{Encoding, Signal};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Serves until told to stop, and then until what has been begun is answered.
pub(crate) async fn serve(listener: TcpListener, door: Door, stop: CancellationToken) -> Result<(), ServeError> {
    let connections = door.connections.clone();
    super::serve::serve(listener, connections, Versions::Both, stop, move |sender, request| answer(door.clone(), sender, request)).await;
    Ok(())
}

async fn answer(door: Door, sender: Arc<Sender>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(answer) = door.origins.preflight(&parts.method, &parts.headers) {
        return answer;
    }
    let mut answer = match asked(parts.uri.path(), &parts.method, &parts.headers) {
        Ok(asked) => match door.take(&asked, &parts.headers, &sender, body).await {
            Ok(rejected) => success(&asked, rejected.as_ref()),
            Err(refused) => refusal(&refused, asked.encoding),
        },
        Err(refused) => {
            // A sender that waits for leave to send its body gets its answer instead.
            if !parts.headers.contains_key(EXPECT) {
                body::drain(body, door.limits.bytes_max).await;
            }
            refusal(&refused, encoding_of(&parts.headers).unwrap_or(Encoding::Json))
        }
    };
    door.origins.mark(&parts.headers, &mut answer);
    answer
}

fn asked(path: &str, method: &Method, headers: &HeaderMap) -> Result<Asked, Refused> {
    let signal = match path.trim_end_matches('/') {
        "/v1/traces" => Signal::Traces,
        "/v1/metrics" => Signal::Metrics,
        "/v1/logs" => Signal::Logs,
        "/v1development/profiles" => {
            return Err(Refused::form(
                Code::Unimplemented,
                StatusCode::NOT_FOUND,
                "profiles are not taken here: traces, metrics and logs are",
            ));
        }
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
        let message = "the content encoding must be gzip, zstd, deflate, snappy or identity";
        Refused::form(Code::InvalidArgument, StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })?;
    Ok(Asked { signal, encoding, coding, announced: Announced::ByHeader })
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
        Encoding::Protobuf => {
            let details = refused.violation().map(|told| Any::of(BadRequest::TYPE_URL, &told)).into_iter().collect();
            RpcStatus { code, message: refused.message.clone(), details }.encode_to_vec()
        }
        Encoding::Json => json::status(code, &refused.message, refused.violation().as_ref()).to_string().into_bytes(),
    };
    let mut answer = build(refused.http, encoding, body);
    if refused.retry {
        answer.headers_mut().insert(RETRY_AFTER_HEADER, HeaderValue::from(RETRY_AFTER.as_secs()));
    }
    if refused.http == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
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
