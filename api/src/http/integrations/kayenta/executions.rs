//! `/canary`: one judgement of two scopes, computed once their time is over and somebody asks.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use haldane_store::UnixNanos;
use haldane_store::ledger::DocumentRow;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::judging::{Answer, Question};
use super::request::{AccountParams, AdHoc, CanaryConfig, ExecutionRequest, ScopePair};
use super::{configs, fits, keep, ledger_problem, load, read, unknown};
use crate::error::Problem;
use crate::http::Doors;
use crate::http::extract::{InPath, JsonBody, Params};

const KIND: &str = "kayenta-execution";
/// A time that ends in the future is waited for at most so long.
const AHEAD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Executions on a page.
const PAGE_MAX: u32 = 200;

/// An execution as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Execution {
    config: CanaryConfig,
    config_id: Option<String>,
    request: ExecutionRequest,
    params: AccountParams,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    exception: Option<String>,
}

pub(super) async fn start(
    State(doors): State<Doors>,
    InPath(id): InPath,
    Params(params): Params<AccountParams>,
    JsonBody(request): JsonBody<ExecutionRequest>,
) -> Result<Json<Value>, Problem> {
    let config = configs::find(&doors, &id).await?.ok_or_else(|| unknown("canary configuration", &id))?;
    begin(&doors, Execution { config, config_id: Some(id), request, params, result: None, exception: None }).await
}

pub(super) async fn start_with_config(
    State(doors): State<Doors>,
    Params(params): Params<AccountParams>,
    JsonBody(body): JsonBody<AdHoc<ExecutionRequest>>,
) -> Result<Json<Value>, Problem> {
    let AdHoc { canary_config: config, execution_request: request } = body;
    config.check_metrics()?;
    begin(&doors, Execution { config, config_id: None, request, params, result: None, exception: None }).await
}

async fn begin(doors: &Doors, execution: Execution) -> Result<Json<Value>, Problem> {
    let now = doors.rollouts.now();
    let question = execution.question()?;
    question.check()?;
    if question.end()? > now.plus(AHEAD_MAX) {
        return Err(Problem::invalid("experimentScope.end: it lies more than a week ahead"));
    }
    fits(&execution)?;
    let id = doors.new_id();
    let row = DocumentRow::new(KIND, &id, &execution.params.application, now);
    keep(&doors.ledger, row, &execution).await?;
    Ok(Json(json!({ "canaryExecutionId": id })))
}

pub(super) async fn show(State(doors): State<Doors>, InPath(id): InPath) -> Result<Json<Value>, Problem> {
    let (row, execution) = load::<Execution>(&doors.ledger, KIND, &id).await?.ok_or_else(|| unknown("canary execution", &id))?;
    let execution = settled(&doors, &row, execution).await?;
    Ok(Json(status(&row, &execution)))
}

/// Which executions to list.
#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListParams {
    application: Option<String>,
    limit: u32,
    page: u32,
}

impl Default for ListParams {
    fn default() -> Self {
        Self { application: None, limit: 20, page: 1 }
    }
}

pub(super) async fn list(State(doors): State<Doors>, Params(params): Params<ListParams>) -> Result<Json<Value>, Problem> {
    if !(1..=PAGE_MAX).contains(&params.limit) || !(1..=10_000).contains(&params.page) {
        return Err(Problem::invalid(format!("limit has to lie between 1 and {PAGE_MAX}, page between 1 and 10,000")));
    }
    let skip = (params.page - 1) * params.limit;
    let rows = doors.ledger.documents(KIND, params.application.as_deref(), (params.limit, skip)).await;
    let rows = rows.map_err(|error| ledger_problem(&error))?;
    let all = rows.iter().map(|row| Ok(status(row, &read::<Execution>(row)?))).collect::<Result<Vec<_>, Problem>>()?;
    Ok(Json(all.into()))
}

/// Computed, if its time is over.
async fn settled(doors: &Doors, row: &DocumentRow, mut execution: Execution) -> Result<Execution, Problem> {
    let question = execution.question()?;
    if execution.result.is_some() || execution.exception.is_some() || question.end()? > doors.rollouts.now() {
        return Ok(execution);
    }
    match question.judge(doors).await {
        Ok(Answer::Judged(result)) => execution.result = Some(result),
        Ok(Answer::Later) => return Ok(execution),
        // What is away now may be back at the next question.
        Err(problem) if problem.status >= 500 || problem.status == 429 => return Err(problem),
        Err(problem) => execution.exception = Some(problem.detail),
    }
    keep(&doors.ledger, DocumentRow { updated_at: doors.rollouts.now(), ..row.clone() }, &execution).await?;
    Ok(execution)
}

impl Execution {
    fn question(&self) -> Result<Question<'_>, Problem> {
        let thresholds = self.config.thresholds(self.request.thresholds)?;
        Ok(Question { config: &self.config, thresholds, application: &self.params.application, scopes: pair(&self.request)? })
    }
}

/// The scope named `default`, else the only one.
fn pair(request: &ExecutionRequest) -> Result<&ScopePair, Problem> {
    let found = request.scopes.get("default").or_else(|| request.scopes.values().next().filter(|_| request.scopes.len() == 1));
    found.ok_or_else(|| Problem::invalid("scopes: give one, or one of several the name default"))
}

/// Kayenta's `CanaryExecutionStatusResponse`.
fn status(row: &DocumentRow, execution: &Execution) -> Value {
    let complete = execution.result.is_some() || execution.exception.is_some();
    let word = match (&execution.result, &execution.exception) {
        (Some(_), _) => "succeeded",
        (None, Some(_)) => "terminal",
        (None, None) => "running",
    };
    let ended = complete.then_some(row.updated_at);
    let seconds = |scope: &str| UnixNanos::parse_rfc3339(scope).map_or(0, UnixNanos::as_seconds);
    let lasted = pair(&execution.request).map_or(0, |pair| seconds(&pair.experiment_scope.end) - seconds(&pair.experiment_scope.start));
    let result =
        execution.result.as_ref().map(|judged| json!({ "judgeResult": judged, "canaryDuration": format!("PT{}S", lasted.max(0)) }));
    let AccountParams {
        application,
        parent_pipeline_execution_id,
        metrics_account_name,
        configuration_account_name,
        storage_account_name,
        ..
    } = &execution.params;
    json!({
        "application": application, "parentPipelineExecutionId": parent_pipeline_execution_id, "pipelineId": row.id,
        "stageStatus": { "judge": word }, "complete": complete, "status": word,
        "exception": execution.exception.as_ref().map(|detail| json!({ "message": detail })),
        "result": result, "config": execution.config, "canaryConfigId": execution.config_id, "canaryExecutionRequest": execution.request,
        "metricSetPairListId": null, "buildTimeMillis": millis(row.created_at), "buildTimeIso": row.created_at.to_rfc3339(),
        "startTimeMillis": millis(row.created_at), "startTimeIso": row.created_at.to_rfc3339(),
        "endTimeMillis": ended.map(millis), "endTimeIso": ended.map(UnixNanos::to_rfc3339),
        "storageAccountName": storage_account_name, "metricsAccountName": metrics_account_name, "configurationAccountName": configuration_account_name
    })
}

pub(super) fn millis(at: UnixNanos) -> i64 {
    at.as_nanos() / 1_000_000
}
