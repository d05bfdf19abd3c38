//! The pages that the `type` of a problem points to.

use std::fmt::Write as _;

use axum::http::StatusCode;

use super::extract::InPath;
use crate::error::{Problem, ProblemKind};

/// Explains a problem.
#[utoipa::path(
    get, path = "/problems/{name}", tag = "operation", operation_id = "explainProblem",
    params(("name" = String, Path, description = "The last segment of the problem's `type`")),
    responses(
        (status = 200, description = "What it means and what to do", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn explain(InPath(name): InPath) -> Result<String, Problem> {
    match ProblemKind::ALL.into_iter().find(|kind| kind.name() == name) {
        Some(kind) => Ok(format!("{}\n\n{}\n", kind.title(), kind.advice())),
        None => {
            let mut known = String::new();
            for kind in ProblemKind::ALL {
                let _ = write!(known, " {}", kind.name());
            }
            let detail = format!("there is no problem of this name; those that exist are{known}");
            Err(Problem::new(StatusCode::NOT_FOUND, ProblemKind::UnknownPath, detail))
        }
    }
}
