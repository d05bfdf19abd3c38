//! What a request says, or the problem with it. The extractors of axum answer in plain text; these answer in problem documents.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use haldane_analyzer::rollout::HALDANE;

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
        // Nobody but the server itself is called so.
        let fits = |said: &&str| !said.trim().is_empty() && said.len() <= 100 && !said.contains(char::is_control) && *said != HALDANE;
        match (said.filter(fits), &self.0) {
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

impl<T: DeserializeOwned + Serialize, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
        });
        if !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ProblemKind::UnsupportedMediaType,
                "send the body with the header Content-Type: application/json",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ProblemKind::BodyTooLarge, "the body may have at most 1 MiB")
            }
            _ => Problem::invalid(rejection.body_text()),
        })?;
        let refused = |rejection: JsonRejection| Problem::invalid(rejection.body_text());
        let Json(mut given) = Json::<Value>::from_bytes(&bytes).map_err(refused)?;
        if given.is_array() {
            return Err(Problem::invalid("the body is invalid: it is an array, and has to be an object"));
        }
        let body = match Json::<T>::from_bytes(&bytes) {
            Ok(Json(body)) => body,
            Err(rejection) if !make_whole(&mut given) => return Err(refused(rejection)),
            Err(_) => {
                serde_path_to_error::deserialize(&given).map_err(|error| Problem::invalid(format!("the body is invalid: {error}")))?
            }
        };
        match array_for_object(&given, &serde_json::to_value(&body).unwrap_or_default()) {
            Some(place) => Err(Problem::invalid(format!("the body is invalid: {place} is an array, and has to be an object"))),
            None => Ok(Self(body)),
        }
    }
}

/// `30.0` is as whole as `30`, which serde does not take it for: JSON has one kind of number. Says whether there was any.
fn make_whole(value: &mut Value) -> bool {
    match value {
        Value::Number(number) if number.is_f64() => {
            // Only a whole number is written without a point.
            let whole = number.as_f64().and_then(|float| float.to_string().parse::<i64>().ok());
            whole.map(|whole| *number = whole.into()).is_some()
        }
        Value::Array(values) => values.iter_mut().fold(false, |any, value| make_whole(value) | any),
        Value::Object(values) => values.values_mut().fold(false, |any, value| make_whole(value) | any),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Where an array was taken for the fields of an object, one by one, which nobody means: as a JSON pointer.
fn array_for_object(given: &Value, understood: &Value) -> Option<String> {
    let within = |(key, given, understood): (String, &Value, &Value)| Some(format!("/{key}{}", array_for_object(given, understood)?));
    match (given, understood) {
        (Value::Array(_), Value::Object(_)) => Some(String::new()),
        (Value::Array(given), Value::Array(understood)) => {
            let mut pairs = given.iter().zip(understood).enumerate();
            pairs.find_map(|(index, (given, understood))| within((index.to_string(), given, understood)))
        }
        (Value::Object(given), Value::Object(understood)) => {
            given.iter().find_map(|(key, given)| within((key.clone(), given, understood.get(key)?)))
        }
        _ => None,
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
        // What is no text names nothing.
        let refused = |rejection: PathRejection| Problem::new(StatusCode::NOT_FOUND, ProblemKind::UnknownPath, rejection.body_text());
        let Path(value) = Path::<String>::from_request_parts(parts, state).await.map_err(refused)?;
        Ok(Self(value))
    }
}
