//! Argo Rollouts, by its web metric: the decision in JSON, always with 200, for another status is an error to Argo.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use haldane_analyzer::cohort::Selector;
use haldane_analyzer::verdict::{VerdictDecision, VerdictStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Asked, Memory, Standing, standing};
use crate::error::Problem;
use crate::http::Doors;
use crate::http::described::{Name, SelectorText};
use crate::http::extract::{Caller, JsonBody, Params};
use crate::http::rollouts::StartRolloutBody;

/// The name in a rollout's metadata.
const TOOL: &str = "argo-rollouts";
/// An analysis run ends with the verdict, and a later step of the same rollout may ask once more. What comes later still is another attempt; so is at once
/// what has another `checksum` in its metadata.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// What Argo's conditions look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArgoBody {
    /// What to do.
    pub decision: VerdictDecision,
    /// Whether that is the last word.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The decision in one word.
    pub status: VerdictStatus,
    /// 0 (roll back) to 100 (promote).
    pub score: u8,
    /// Why.
    pub reason: String,
    /// The rollout; absent before there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_id: Option<String>,
    /// The report for people; absent before there is a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What is rolled out, where no body can be sent.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ArgoParams {
    /// `service.name`.
    #[param(value_type = Name, inline)]
    service: String,
    /// `deployment.environment.name`; `default` if left out.
    #[param(value_type = Option<Name>, inline)]
    environment: Option<String>,
    /// What picks the version that is judged, such as `service.version=1.5.0`.
    #[param(value_type = SelectorText, inline)]
    canary: String,
    /// What picks the version that is known.
    #[param(value_type = SelectorText, inline)]
    baseline: String,
}

/// The verdict on what Argo rolls out; the first question starts the rollout.
#[utoipa::path(
    post, path = "/integrations/argo/verdict", tag = "integrations", operation_id = "argoVerdict", request_body = StartRolloutBody,
    responses(
        (status = 200, description = "The decision, also while there is none", body = ArgoBody),
        (status = 400, description = "A field is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn post(
    State(doors): State<Doors>,
    caller: Caller,
    JsonBody(body): JsonBody<StartRolloutBody>,
) -> Result<Json<ArgoBody>, Problem> {
    answer(&doors, &caller, body).await
}

/// The verdict on what Argo rolls out, as [`post`] gives it.
#[utoipa::path(
    get, path = "/integrations/argo/verdict", tag = "integrations", operation_id = "argoVerdictByQuery", params(ArgoParams),
    responses(
        (status = 200, description = "The decision, also while there is none", body = ArgoBody),
        (status = 400, description = "A parameter is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn get(
    State(doors): State<Doors>,
    caller: Caller,
    Params(params): Params<ArgoParams>,
) -> Result<Json<ArgoBody>, Problem> {
    let picked = |name: &str, text: &str| {
        Selector::parse(text).map(|selector| selector.matchers().clone()).map_err(|error| Problem::invalid(format!("{name}: {error}")))
    };
    let body = StartRolloutBody {
        stages: Vec::new(),
        baseline: picked("baseline", &params.baseline)?,
        canary: picked("canary", &params.canary)?,
        service: params.service,
        environment: params.environment,
        strategy: None,
        started_at: None,
        metadata: std::collections::BTreeMap::new(),
        policy: None,
    };
    answer(&doors, &caller, body).await
}

async fn answer(doors: &Doors, caller: &Caller, body: StartRolloutBody) -> Result<Json<ArgoBody>, Problem> {
    let mut request = body.parse(None, caller)?;
    if caller.0.is_none() && !request.metadata.contains_key("actor") {
        TOOL.clone_into(&mut request.actor);
    }
    let answer = match standing(doors, request, TOOL, (Memory { long: REMEMBERED, closed_at: None }, Asked::FindOrStart)).await? {
        Standing::Known { rollout, verdict } => ArgoBody {
            // Of a stage that is not the last: the rollout is not promoted by it.
            decision: if verdict.decision == VerdictDecision::Promote && !verdict.is_final {
                VerdictDecision::Continue
            } else {
                verdict.decision
            },
            is_final: verdict.is_final,
            status: verdict.status,
            score: verdict.score,
            reason: verdict.reason,
            url: Some(doors.report_url(&rollout.id)),
            rollout_id: Some(rollout.id.to_string()),
        },
        Standing::NotYet { reason } => ArgoBody {
            decision: VerdictDecision::Continue,
            is_final: false,
            status: VerdictStatus::Running,
            score: 50,
            reason,
            rollout_id: None,
            url: None,
        },
    };
    Ok(Json(answer))
}
