//! Verdicts on the past, at once.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use haldane_analyzer::cohort::Selector;
use haldane_analyzer::judge::Pairing;
use haldane_analyzer::policy::PolicyOverrides;
use haldane_analyzer::rollout::{AnalysisError, AnalysisRequest, StartError};
use haldane_analyzer::verdict::{BaselineSource, Verdict};
use haldane_store::{Environment, ServiceName, UnixNanos};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Doors;
use super::described::{Name, SelectorMap};
use super::extract::JsonBody;
use super::rollouts::start_problem;
use crate::error::{Problem, ProblemKind};

/// A time of the past to be judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "service": "payment", "environment": "shop", "from": "2026-11-20T10:00:00Z", "until": "2026-11-20T10:30:00Z",
    "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}
}))]
pub struct AnalysisBody {
    /// `service.name`.
    #[schema(value_type = Name)]
    pub service: String,
    /// `deployment.environment.name`; `default` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Name>)]
    pub environment: Option<String>,
    /// Resource attributes that pick what is compared with; all must match.
    #[schema(value_type = SelectorMap)]
    pub baseline: BTreeMap<String, String>,
    /// Resource attributes that pick what is judged; all must match.
    #[schema(value_type = SelectorMap)]
    pub canary: BTreeMap<String, String>,
    /// RFC 3339. The canary is judged from here on.
    #[schema(format = DateTime)]
    pub from: String,
    /// RFC 3339. To here: at most 24 h later.
    #[schema(format = DateTime)]
    pub until: String,
    /// `concurrent` (if left out): the baseline in the same windows; `preceding`: what it did before, for as long, in which case both may pick the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_source: Option<BaselineSource>,
    /// What differs from the default policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyOverrides>,
}

/// Judges a time of the past at once, as if a rollout had ended with it. The verdict is not kept and has no rollout.
#[utoipa::path(
    post, path = "/v1/analyses", tag = "verdicts", operation_id = "analyse", request_body = AnalysisBody,
    responses(
        (status = 200, description = "The verdict, with an empty rollout_id", body = Verdict),
        (status = 400, description = "A field is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Fields contradict each other, and no requests of this service in this environment have come in", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Other plans and analyses are being made", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn analyse(State(doors): State<Doors>, JsonBody(body): JsonBody<AnalysisBody>) -> Result<Json<Verdict>, Problem> {
    let request = read(body)?;
    match doors.rollouts.analyse(&request).await {
        Ok(verdict) => Ok(Json(verdict)),
        // As where a rollout is started: what does not go together is told of a service that is known.
        Err(error) if error.is_contradiction() && !is_known(&doors, &request).await? => {
            let (service, environment) = (request.service.to_string(), request.environment.to_string());
            Err(start_problem(&StartError::UnknownService { service, environment }))
        }
        Err(error) => Err(problem(&error)),
    }
}

async fn is_known(doors: &Doors, request: &AnalysisRequest) -> Result<bool, Problem> {
    doors.rollouts.is_known(&request.service, &request.environment).await.map_err(|error| problem(&error.into()))
}

fn read(body: AnalysisBody) -> Result<AnalysisRequest, Problem> {
    let wrong = |field: &str, error: &dyn std::fmt::Display| Problem::invalid(format!("{field}: {error}"));
    Ok(AnalysisRequest {
        service: ServiceName::parse(&body.service).map_err(|error| wrong("service", &error))?,
        environment: match &body.environment {
            Some(name) => Environment::parse(name).map_err(|error| wrong("environment", &error))?,
            None => Environment::unnamed(),
        },
        baseline: Selector::try_new(body.baseline).map_err(|error| wrong("baseline", &error))?,
        canary: Selector::try_new(body.canary).map_err(|error| wrong("canary", &error))?,
        from: UnixNanos::parse_rfc3339(&body.from).map_err(|error| wrong("from", &error))?,
        until: UnixNanos::parse_rfc3339(&body.until).map_err(|error| wrong("until", &error))?,
        pairing: match body.baseline_source {
            Some(BaselineSource::Preceding) => Pairing::Preceding,
            Some(BaselineSource::Concurrent) | None => Pairing::Concurrent,
        },
        policy: body.policy.unwrap_or_default(),
    })
}

fn problem(error: &AnalysisError) -> Problem {
    Problem::from_error(error, ProblemKind::InvalidRequest)
}
