//! As much of Prometheus' query API as tools need that can ask nothing else, such as Flagger's metric templates: verdicts as numbers.
//!
//! Answered are numbers (`vector(1)`, `1+1`) and plain selectors over the series of [`SERIES`]; all else is refused in Prometheus' own form.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use haldane_analyzer::rollout::{Rollout, RolloutFilter};
use haldane_analyzer::verdict::{Verdict, VerdictDecision};
use promql_parser::label::{MatchOp, Matchers};
use promql_parser::parser::token::{T_ADD, T_DIV, T_MUL, T_SUB};
use promql_parser::parser::{Expr, VectorSelector};
use serde_json::{Value, json};

use super::foreign;
use crate::error::chain;
use crate::http::Doors;

/// The series, and what each one says of the newest rollout of a service in an environment.
const SERIES: [(&str, Read); 4] = [
    ("haldane_verdict_rollback", |verdict| f64::from(u8::from(verdict.decision == VerdictDecision::Rollback))),
    ("haldane_verdict_promote", |verdict| f64::from(u8::from(verdict.decision == VerdictDecision::Promote && verdict.is_final))),
    ("haldane_verdict_final", |verdict| f64::from(u8::from(verdict.is_final))),
    ("haldane_verdict_score", |verdict| f64::from(verdict.score)),
];
/// What a series says of a verdict.
type Read = fn(&Verdict) -> f64;
/// Rollouts that are looked through.
const ROLLOUTS_MAX: u32 = 500;
/// Longest query, in bytes.
const QUERY_BYTES_MAX: usize = 4_096;
/// Deepest expression.
const DEPTH_MAX: usize = 20;

/// `GET` and `POST /api/v1/query`.
pub(in crate::http) async fn query(State(doors): State<Doors>, RawQuery(parameters): RawQuery, body: String) -> Response {
    // A POST has the same parameters in its body, as a form.
    let of = |text: &str| url::form_urlencoded::parse(text.as_bytes()).find(|(key, _)| key == "query").map(|(_, value)| value.into_owned());
    let Some(text) = parameters.as_deref().and_then(of).or_else(|| of(&body)) else {
        return refused("there is no parameter query");
    };
    if text.len() > QUERY_BYTES_MAX {
        return refused("the query is over 4,096 bytes");
    }
    let expression = match promql_parser::parser::parse(&text) {
        Ok(expression) => expression,
        Err(error) => return refused(&error),
    };
    let now = doors.rollouts.now().as_nanos() as f64 / 1e9;
    let sample = |labels: Value, value: f64| json!({ "metric": labels, "value": [now, number(value)] });
    if let Some(value) = scalar(&expression, 0) {
        return answered("scalar", json!([now, number(value)]));
    }
    if let Expr::Call(call) = &expression
        && call.func.name == "vector"
        && let Some(value) = call.args.args.first().and_then(|argument| scalar(argument, 0))
    {
        return answered("vector", json!([sample(json!({}), value)]));
    }
    let Expr::VectorSelector(selector) = &expression else { return refused(ANSWERED) };
    match select(&doors, selector).await {
        Ok(found) => answered("vector", found.into_iter().map(|(labels, value)| sample(json!(labels), value)).collect()),
        Err(Refusal::Query) => refused(ANSWERED),
        Err(Refusal::Ledger(error)) => {
            tracing::warn!(error, "a query was not answered for now");
            let body = json!({ "status": "error", "errorType": "unavailable", "error": "the data cannot be read at the moment" });
            foreign((StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response())
        }
    }
}

const ANSWERED: &str = "Haldane answers numbers, vector(number) and plain selectors over haldane_verdict_rollback, haldane_verdict_promote, haldane_verdict_final and \
     haldane_verdict_score; for anything else ask a Prometheus";

fn scalar(expression: &Expr, depth: usize) -> Option<f64> {
    if depth > DEPTH_MAX {
        return None;
    }
    match expression {
        Expr::NumberLiteral(literal) => Some(literal.val),
        Expr::Paren(paren) => scalar(&paren.expr, depth + 1),
        Expr::Unary(unary) => scalar(&unary.expr, depth + 1).map(|value| -value),
        Expr::Binary(binary) => {
            let (left, right) = (scalar(&binary.lhs, depth + 1)?, scalar(&binary.rhs, depth + 1)?);
            match binary.op.id() {
                T_ADD => Some(left + right),
                T_SUB => Some(left - right),
                T_MUL => Some(left * right),
                T_DIV => Some(left / right),
                _ => None,
            }
        }
        Expr::Aggregate(_)
        | Expr::Subquery(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Call(_)
        | Expr::Extension(_) => None,
    }
}

/// Why a selector was not answered.
enum Refusal {
    Query,
    Ledger(String),
}

type Labels = BTreeMap<&'static str, String>;

async fn select(doors: &Doors, selector: &VectorSelector) -> Result<Vec<(Labels, f64)>, Refusal> {
    if selector.offset.is_some() || selector.at.is_some() || !selector.matchers.or_matchers.is_empty() {
        return Err(Refusal::Query);
    }
    let name = selector.name.clone().or_else(|| equal(&selector.matchers, "__name__"));
    let Some((name, value)) = SERIES.into_iter().find(|(series, _)| name.as_deref() == Some(series)) else {
        return Err(Refusal::Query);
    };
    let filter = RolloutFilter {
        service: equal(&selector.matchers, "service"),
        environment: equal(&selector.matchers, "environment"),
        limit: ROLLOUTS_MAX,
        ..RolloutFilter::default()
    };
    let page = doors.rollouts.list(&filter).await.map_err(|error| Refusal::Ledger(chain(&error)))?;
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for rollout in page.rollouts {
        if !seen.insert((rollout.service.clone(), rollout.environment.clone())) {
            continue;
        }
        let labels = labels_of(name, &rollout);
        if selector.matchers.matchers.iter().all(|matcher| matcher.is_match(labels.get(matcher.name.as_str()).map_or("", String::as_str))) {
            let verdict = doors.rollouts.verdict(&rollout.id).await.map_err(|error| Refusal::Ledger(chain(&error)))?;
            found.push((labels, value(&verdict)));
        }
    }
    // Who asks for one service and gets nothing takes that for a failure: before its first rollout nothing speaks against it, nor for it.
    if let (true, Some(service), Some(environment)) = (found.is_empty(), &filter.service, &filter.environment) {
        let labels = BTreeMap::from([("__name__", name.to_owned()), ("service", service.clone()), ("environment", environment.clone())]);
        if seen.is_empty() && selector.matchers.matchers.iter().all(|matcher| matches!(matcher.op, MatchOp::Equal)) {
            found.push((labels, if name == "haldane_verdict_score" { 50.0 } else { 0.0 }));
        }
    }
    Ok(found)
}

fn labels_of(name: &str, rollout: &Rollout) -> Labels {
    BTreeMap::from([
        ("__name__", name.to_owned()),
        ("service", rollout.service.to_string()),
        ("environment", rollout.environment.to_string()),
        ("rollout_id", rollout.id.to_string()),
        ("state", rollout.state.as_str().to_owned()),
    ])
}

fn equal(matchers: &Matchers, name: &str) -> Option<String> {
    matchers
        .matchers
        .iter()
        .find(|matcher| matcher.name == name && matches!(matcher.op, MatchOp::Equal))
        .map(|matcher| matcher.value.clone())
}

/// As Prometheus writes numbers.
fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        _ if value.is_infinite() => if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        _ => value.to_string(),
    }
}

fn answered(kind: &str, result: Value) -> Response {
    Json(json!({ "status": "success", "data": { "resultType": kind, "result": result } })).into_response()
}

fn refused(because: &str) -> Response {
    let body = json!({ "status": "error", "errorType": "bad_data", "error": because });
    foreign((StatusCode::BAD_REQUEST, Json(body)).into_response())
}
