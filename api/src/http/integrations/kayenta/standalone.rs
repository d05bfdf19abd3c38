//! `/standalone_canary_analysis`: judgements at intervals over a lifetime, the first failure ends it. Each is made once its time is over and somebody asks.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use haldane_store::UnixNanos;
use haldane_store::ledger::DocumentRow;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::executions::millis;
use super::judging::{Answer, Question, time};
use super::request::{AccountParams, AdHoc, CanaryConfig, Scope, ScopePair, Thresholds};
use super::{configs, fits, keep, load, unknown};
use crate::error::Problem;
use crate::http::Doors;
use crate::http::extract::{InPath, JsonBody, Params};

const KIND: &str = "kayenta-analysis";
/// Judgements of one analysis.
const INTERVALS_MAX: u64 = 500;
/// Longest lifetime, in minutes.
const LIFETIME_MAX: u64 = 7 * 24 * 60;
/// Judgements made for one question; the next question makes more.
const AT_ONCE: usize = 3;

/// What is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnalysisRequest {
    scopes: Vec<AnalysisScope>,
    #[serde(default)]
    thresholds: Option<Thresholds>,
    #[serde(default)]
    lifetime_duration_mins: Option<u64>,
    #[serde(default)]
    begin_after_mins: u64,
    #[serde(default)]
    lookback_mins: u64,
    #[serde(default)]
    analysis_interval_mins: Option<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AnalysisScope {
    control_scope: String,
    control_location: String,
    control_offset_in_minutes: u64,
    experiment_scope: String,
    experiment_location: String,
    start_time_iso: Option<String>,
    end_time_iso: Option<String>,
    extended_scope_params: std::collections::BTreeMap<String, String>,
}

/// An analysis as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Analysis {
    config: CanaryConfig,
    config_id: Option<String>,
    request: AnalysisRequest,
    params: AccountParams,
    /// When the canary's time begins, in nanoseconds.
    from: i64,
    /// The ends of the judgements.
    ends: Vec<i64>,
    /// Their results, as far as they are made.
    results: Vec<Value>,
    /// Why no more can be made.
    #[serde(default)]
    exception: Option<String>,
}

pub(super) async fn start(
    State(doors): State<Doors>,
    InPath(id): InPath,
    Params(params): Params<AccountParams>,
    JsonBody(request): JsonBody<AnalysisRequest>,
) -> Result<Json<Value>, Problem> {
    let config = configs::find(&doors, &id).await?.ok_or_else(|| unknown("canary configuration", &id))?;
    begin(&doors, config, Some(id), params, request).await
}

pub(super) async fn start_with_config(
    State(doors): State<Doors>,
    Params(params): Params<AccountParams>,
    JsonBody(body): JsonBody<AdHoc<AnalysisRequest>>,
) -> Result<Json<Value>, Problem> {
    body.canary_config.check_metrics()?;
    begin(&doors, body.canary_config, None, params, body.execution_request).await
}

async fn begin(
    doors: &Doors,
    config: CanaryConfig,
    config_id: Option<String>,
    params: AccountParams,
    request: AnalysisRequest,
) -> Result<Json<Value>, Problem> {
    let now = doors.rollouts.now();
    let (from, ends) = times(&request, now)?;
    let ends: Vec<i64> = ends.into_iter().map(UnixNanos::as_nanos).collect();
    let analysis = Analysis { config, config_id, request, params, from: from.as_nanos(), ends, results: Vec::new(), exception: None };
    analysis.question(&analysis.scopes(0)?)?.check()?;
    fits(&analysis)?;
    let id = doors.new_id();
    let row = DocumentRow::new(KIND, &id, &analysis.params.application, now);
    keep(&doors.ledger, row, &analysis).await?;
    Ok(Json(json!({ "canaryAnalysisExecutionId": id })))
}

/// From when on is judged, and until when each time.
fn times(request: &AnalysisRequest, now: UnixNanos) -> Result<(UnixNanos, Vec<UnixNanos>), Problem> {
    let minutes = |count: u64| Duration::from_secs(count.min(LIFETIME_MAX) * 60);
    let scope = request.scopes.first().ok_or_else(|| Problem::invalid("scopes: give one at least"))?;
    let from = match &scope.start_time_iso {
        Some(text) => time("scopes[0].startTimeIso", text)?,
        None => now.plus(minutes(request.begin_after_mins)),
    };
    let lifetime = match (&scope.end_time_iso, request.lifetime_duration_mins) {
        (Some(text), _) => time("scopes[0].endTimeIso", text)?.since(from),
        (None, Some(count)) => minutes(count),
        (None, None) => return Err(Problem::invalid("lifetimeDurationMins: give it, or scopes[0].endTimeIso")),
    };
    if lifetime.is_zero() || lifetime > minutes(LIFETIME_MAX) {
        return Err(Problem::invalid("the lifetime has to be longer than nothing and at most a week"));
    }
    let interval = request.analysis_interval_mins.filter(|count| *count > 0).map_or(lifetime, minutes).min(lifetime);
    let count = u64::try_from(lifetime.as_nanos() / interval.as_nanos()).unwrap_or(u64::MAX);
    if count > INTERVALS_MAX {
        return Err(Problem::invalid(format!("analysisIntervalMins: there would be {count} judgements, {INTERVALS_MAX} at most")));
    }
    let ends = (1..=count).map(|index| from.plus(interval.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX))));
    Ok((from, ends.collect()))
}

pub(super) async fn show(State(doors): State<Doors>, InPath(id): InPath) -> Result<Json<Value>, Problem> {
    let (row, mut analysis) =
        load::<Analysis>(&doors.ledger, KIND, &id).await?.ok_or_else(|| unknown("standalone canary analysis", &id))?;
    let before = analysis.results.len();
    while analysis.results.len() < before + AT_ONCE && analysis.is_due(doors.rollouts.now()) {
        let index = analysis.results.len();
        match analysis.question(&analysis.scopes(index)?)?.judge(&doors).await {
            Ok(Answer::Judged(result)) => analysis.results.push(result),
            Ok(Answer::Later) => break,
            // What is away now may be back at the next question.
            Err(problem) if problem.status >= 500 || problem.status == 429 => return Err(problem),
            Err(problem) => analysis.exception = Some(problem.detail),
        }
    }
    let row = if analysis.results.len() > before || analysis.exception.is_some() {
        let row = DocumentRow { updated_at: doors.rollouts.now(), ..row };
        keep(&doors.ledger, row.clone(), &analysis).await?;
        row
    } else {
        row
    };
    Ok(Json(analysis.status(&row)?))
}

impl Analysis {
    fn thresholds(&self) -> Result<Thresholds, Problem> {
        self.config.thresholds(self.request.thresholds)
    }

    /// Whether the next judgement can be made.
    fn is_due(&self, now: UnixNanos) -> bool {
        self.exception.is_none() && !self.has_failed() && self.ends.get(self.results.len()).is_some_and(|end| UnixNanos::new(*end) <= now)
    }

    fn scores(&self) -> Vec<f64> {
        self.results.iter().filter_map(|result| result["score"]["score"].as_f64()).collect()
    }

    fn has_failed(&self) -> bool {
        let Ok(thresholds) = self.thresholds() else { return true };
        self.scores().last().is_some_and(|score| *score < thresholds.marginal)
    }

    fn scopes(&self, index: usize) -> Result<ScopePair, Problem> {
        let scope = self.request.scopes.first().ok_or_else(|| Problem::invalid("scopes: give one at least"))?;
        let end = UnixNanos::new(self.ends.get(index).copied().unwrap_or(self.from));
        let lookback = Duration::from_secs(self.request.lookback_mins.min(LIFETIME_MAX) * 60);
        let start = match lookback.is_zero() {
            true => UnixNanos::new(self.from),
            false => end.minus(lookback).max(UnixNanos::new(self.from)),
        };
        let offset = Duration::from_secs(scope.control_offset_in_minutes.min(LIFETIME_MAX) * 60);
        let side = |text: &str, location: &str, offset: Duration| Scope {
            scope: text.to_owned(),
            location: location.to_owned(),
            start: start.minus(offset).to_rfc3339(),
            end: end.minus(offset).to_rfc3339(),
            step: Value::Null,
            extended_scope_params: scope.extended_scope_params.clone(),
        };
        Ok(ScopePair {
            control_scope: side(&scope.control_scope, &scope.control_location, offset),
            experiment_scope: side(&scope.experiment_scope, &scope.experiment_location, Duration::ZERO),
        })
    }

    fn question<'a>(&'a self, scopes: &'a ScopePair) -> Result<Question<'a>, Problem> {
        Ok(Question { config: &self.config, thresholds: self.thresholds()?, application: &self.params.application, scopes })
    }

    /// Kayenta's `CanaryAnalysisExecutionStatusResponse`.
    fn status(&self, row: &DocumentRow) -> Result<Value, Problem> {
        let Thresholds { pass, marginal } = self.thresholds()?;
        let scores = self.scores();
        let complete = self.exception.is_some() || self.has_failed() || self.results.len() == self.ends.len();
        let last = scores.last().copied();
        let passed = complete && last.is_some_and(|score| score >= pass);
        let word = match (complete, passed) {
            (false, _) => "running",
            (true, true) => "succeeded",
            (true, false) => "terminal",
        };
        let message = match (complete, passed, last) {
            (true, true, _) => "Final canary score met the pass score threshold.".to_owned(),
            (true, false, Some(score)) if score < marginal => "Final canary score is below the marginal score threshold.".to_owned(),
            (true, false, _) => "Final canary score is below the pass score threshold.".to_owned(),
            (false, ..) => format!("{} of {} judgements are made.", self.results.len(), self.ends.len()),
        };
        let results: Vec<Value> = self.results.iter().enumerate().map(|(index, result)| self.result(row, index, result)).collect();
        let ended = complete.then_some(row.updated_at);
        let AccountParams { application, user, parent_pipeline_execution_id, metrics_account_name, storage_account_name, .. } =
            &self.params;
        Ok(json!({
            "application": application, "user": user, "parentPipelineExecutionId": parent_pipeline_execution_id, "pipelineId": row.id,
            "stageStatus": [{ "type": "runCanary", "name": "Run Canary", "status": word, "executionId": row.id }],
            "complete": complete, "executionStatus": word.to_uppercase(), "status": word,
            "exception": self.exception.as_ref().map(|detail| json!({ "message": detail })),
            "canaryAnalysisExecutionResult": {
                "didPassThresholds": passed, "hasWarnings": false, "canaryScoreMessage": message, "canaryScores": scores,
                "canaryExecutionResults": results, "buildTimeIso": row.created_at.to_rfc3339(), "startTimeIso": row.created_at.to_rfc3339(),
                "endTimeIso": ended.map(UnixNanos::to_rfc3339)
            },
            "canaryAnalysisExecutionRequest": self.request, "canaryConfig": self.config, "canaryConfigId": self.config_id,
            "buildTimeMillis": millis(row.created_at), "buildTimeIso": row.created_at.to_rfc3339(),
            "startTimeMillis": millis(row.created_at), "startTimeIso": row.created_at.to_rfc3339(),
            "endTimeMillis": ended.map(millis), "endTimeIso": ended.map(UnixNanos::to_rfc3339),
            "metricsAccountName": metrics_account_name, "storageAccountName": storage_account_name
        }))
    }

    fn result(&self, row: &DocumentRow, index: usize, result: &Value) -> Value {
        let end = UnixNanos::new(self.ends.get(index).copied().unwrap_or(self.from));
        let start = UnixNanos::new(self.from);
        json!({
            "executionId": format!("{}-{}", row.id, index + 1), "executionStatus": "SUCCEEDED", "warnings": [], "metricSetPairListId": null,
            "result": { "judgeResult": result },
            "judgementStartTimeIso": start.to_rfc3339(), "judgementStartTimeMillis": millis(start),
            "judgementEndTimeIso": end.to_rfc3339(), "judgementEndTimeMillis": millis(end)
        })
    }
}
