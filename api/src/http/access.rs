//! Who may ask what: reading needs a token with `read`, changing anything one with `operate`, once there is any such token.
//!
//! Open to everybody are only whether the server lives, its description, and what problems mean.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use haldane_store::access::{Admitted, Scope, TokenDigest};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Response as Described};

use super::Doors;
use super::extract::Caller;
use crate::error::{Problem, ProblemKind};

/// The name of the scheme in the description.
const SCHEME: &str = "token";

/// What a request needs; nothing where everybody may.
fn needed(method: &Method, path: &str) -> Option<Scope> {
    let open = matches!(path, "/healthz" | "/readyz" | "/openapi.json" | "/docs" | "/assets/live.js")
        || path.starts_with("/docs/")
        || path.starts_with("/problems/");
    // These compute something from what is there, and keep nothing.
    let asks_only = matches!(
        path,
        "/v1/query" | "/v1/plans" | "/v1/analyses" | "/api/v1/query" | "/integrations/flagger/api/v1/query" | "/integrations/kayenta/judge"
    );
    // Asking starts a rollout there.
    let starts = path == "/integrations/argo/verdict";
    match *method {
        _ if open => None,
        Method::GET | Method::HEAD if !starts => Some(Scope::Read),
        _ if asks_only => Some(Scope::Read),
        _ => Some(Scope::Operate),
    }
}

/// Lets in who may, and notes who it is.
pub(super) async fn check(State(doors): State<Doors>, mut request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(TokenDigest::shown);
    let Some(needed) = needed(request.method(), request.uri().path()) else { return next.run(request).await };
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let for_people = accepts.contains("text/html");
    // A browser shows the name and password that it remembers whoever's page asks it to.
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    if needed == Scope::Operate && matches!(site, Some(b"cross-site" | b"same-site")) {
        let detail = "the page of another site asked the browser for this, which would change something: ask for it by yourself";
        return Problem::new(StatusCode::FORBIDDEN, ProblemKind::Forbidden, detail).into_response();
    }
    match doors.access.admit(shown.as_ref(), needed) {
        Admitted::Yes(name) => {
            request.extensions_mut().insert(Caller(name.map(|name| name.to_string())));
            next.run(request).await
        }
        Admitted::Unknown => {
            let detail = "show a token as `Authorization: Bearer …`; the command line takes it from HALDANE_TOKEN";
            let mut answer = Problem::new(StatusCode::UNAUTHORIZED, ProblemKind::Unauthorized, detail).into_response();
            // A browser asks its user for name and password: the token is the password.
            let challenge = if for_people { "Basic realm=\"Haldane: the token is the password\"" } else { "Bearer" };
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            answer
        }
        Admitted::NotFor(name) => {
            let detail = format!("the token {name} does not have the scope {}, which this needs", needed.as_str());
            Problem::new(StatusCode::FORBIDDEN, ProblemKind::Forbidden, detail).into_response()
        }
    }
}

/// Says in the description what each request needs.
pub(super) fn describe(document: &mut OpenApi) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("Asked for once there is a token with the scope read or operate"))
        .build();
    document.components.get_or_insert_default().add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    for (path, item) in &mut document.paths.paths {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::PUT, &mut item.put),
            (Method::DELETE, &mut item.delete),
        ];
        for (method, operation) in operations {
            let (Some(operation), Some(scope)) = (operation, needed(&method, path)) else { continue };
            operation.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new(SCHEME, [scope.as_str()])]);
            let refused = [("401", "No token that is known"), ("403", "The token does not have the scope that this needs")];
            for (status, what) in refused {
                let schema = utoipa::openapi::Ref::from_schema_name("Problem");
                let content = utoipa::openapi::ContentBuilder::new().schema(Some(schema)).build();
                let described =
                    utoipa::openapi::ResponseBuilder::new().description(what).content(crate::error::PROBLEM_JSON, content).build();
                operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::<Described>::T(described));
            }
        }
    }
}
