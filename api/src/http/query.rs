//! SQL over the tables, read only.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Doors;
use super::extract::JsonBody;
use crate::error::{Problem, ProblemKind};
use crate::rows::{Rows, RowsError};

/// Rows in an answer, if the request does not say.
pub const ROWS_DEFAULT: usize = 1_000;
/// Most rows in an answer.
pub const ROWS_MAX: usize = 10_000;
/// Says that there were more rows than the answer has; in JSON it is also in the body.
pub const TRUNCATED: HeaderName = HeaderName::from_static("haldane-truncated");

/// A query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"sql": "SELECT service_name, count(*) AS spans FROM spans GROUP BY 1 ORDER BY 2 DESC"}))]
pub struct QueryBody {
    /// One statement that reads; the tables are `spans`, `logs`, `metrics`, `red` and `errors`, the views `metric_deltas` and `calibrations`.
    pub sql: String,
    /// At most so many rows; 1 to 10,000, 1,000 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub limit: Option<usize>,
}

/// Rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RowsBody {
    /// The columns, in the order of the values in a row.
    pub columns: Vec<ColumnBody>,
    /// The rows: a list of values each.
    pub rows: Vec<Vec<serde_json::Value>>,
    /// Whether there are more rows than these.
    pub truncated: bool,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ColumnBody {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Runs SQL over the tables. It only reads.
///
/// With `Accept: text/csv` the answer is CSV, with `Accept: text/plain` a table to read, else JSON.
#[utoipa::path(
    post, path = "/v1/query", tag = "data", operation_id = "query", request_body = QueryBody,
    responses(
        (status = 200, description = "The rows", content(
            (RowsBody = "application/json"), (String = "text/csv"), (String = "text/plain")
        ), headers(("haldane-truncated" = bool, description = "Whether there are more rows than these"))),
        (status = 400, description = "The SQL cannot be run, or would write", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too much at once", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment, or it took too long", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn query(
    State(doors): State<Doors>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<QueryBody>,
) -> Result<Response, Problem> {
    let limit = body.limit.unwrap_or(ROWS_DEFAULT);
    if !(1..=ROWS_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("limit: {limit} does not lie between 1 and {ROWS_MAX}")));
    }
    let result = doors.engine.sql(&body.sql).await.map_err(|error| Problem::from_error(&error, ProblemKind::InvalidQuery))?;
    let rows = Rows::new(result.schema, result.batches, result.truncated, limit);
    write(&rows, Form::asked(&headers)).map_err(|error| Problem::from_error(&error, ProblemKind::InvalidQuery))
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
    Table,
}

impl Form {
    /// The first one in `Accept` that there is; JSON otherwise.
    fn asked(headers: &HeaderMap) -> Self {
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        let mut forms = accept.filter_map(|part| match part.split(';').next().map(str::trim) {
            Some("application/json" | "*/*") => Some(Self::Json),
            Some("text/csv") => Some(Self::Csv),
            Some("text/plain" | "text/*") => Some(Self::Table),
            _ => None,
        });
        forms.next().unwrap_or(Self::Json)
    }
}

fn write(rows: &Rows, form: Form) -> Result<Response, RowsError> {
    let (kind, body) = match form {
        Form::Json => ("application/json", rows.json()?),
        Form::Csv => ("text/csv; charset=utf-8; header=present", rows.csv()?.into_bytes()),
        Form::Table => ("text/plain; charset=utf-8", rows.table()?.into_bytes()),
    };
    let truncated = HeaderValue::from_static(if rows.truncated() { "true" } else { "false" });
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (TRUNCATED, truncated)], body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_accept() {
        let form = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            Form::asked(&headers)
        };
        assert_eq!(Form::asked(&HeaderMap::new()), Form::Json);
        assert_eq!(form("text/html, text/csv;q=0.9"), Form::Csv);
        assert_eq!(form("text/plain"), Form::Table);
        assert_eq!(form("*/*"), Form::Json);
    }
}
