//! What a request says, or the problem with it. The extractors of axum answer in plain text; these answer in problem documents.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::{Problem, ProblemKind};

/// A JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// The parameters behind the question mark.
pub(crate) struct Params<T>(pub(crate) T);

/// The variable part of the path.
pub(crate) struct InPath(pub(crate) String);

/// Who asks: the name of the token that was shown, if one was asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(pub(crate) Option<String>);

impl Caller {
    /// The name for the trail: who the request says it is, and by which token.
    pub(crate) fn named(&self, said: Option<&str>) -> String {
        match (said.filter(|said| !said.trim().is_empty() && said.len() <= 100 && !said.contains(char::is_control)), &self.0) {
            (Some(said), Some(token)) => format!("{said} (token {token})"),
            (Some(said), None) => said.to_owned(),
            (None, Some(token)) => format!("token {token}"),
            (None, None) => "somebody".to_owned(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(body) = Json::<T>::from_request(request, state).await.map_err(|rejection| body_problem(&rejection))?;
        Ok(Self(body))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |rejection: QueryRejection| Problem::invalid(rejection.body_text());
        let Query(params) = Query::<T>::from_request_parts(parts, state).await.map_err(refused)?;
        Ok(Self(params))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |rejection: PathRejection| Problem::invalid(rejection.body_text());
        let Path(value) = Path::<String>::from_request_parts(parts, state).await.map_err(refused)?;
        Ok(Self(value))
    }
}

fn body_problem(rejection: &JsonRejection) -> Problem {
    let detail = rejection.body_text();
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ProblemKind::BodyTooLarge, "the body may have at most 1 MiB")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ProblemKind::UnsupportedMediaType,
            "send the body with the header Content-Type: application/json",
        ),
        _ => Problem::invalid(detail),
    }
}
