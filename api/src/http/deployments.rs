//! Figures on deployments, as DORA has them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use haldane_analyzer::rollout::DeploymentFigures;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Doors;
use super::extract::Params;
use super::rollouts::read_problem;
use crate::error::Problem;

const DAYS_DEFAULT: u32 = 30;
const DAYS_MAX: u32 = 366;

/// Which deployments to count.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeploymentParams {
    /// Only of this service.
    service: Option<String>,
    /// Only in this environment.
    environment: Option<String>,
    /// Over so many days; 1 to 366, 30 if left out.
    #[param(minimum = 1, maximum = 366)]
    days: Option<u32>,
}

/// Figures on deployments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentListBody {
    /// The days that are counted.
    pub days: u32,
    /// By service, then environment.
    pub deployments: Vec<DeploymentBody>,
}

/// The figures of one service in one environment. A deployment is a rollout that ended promoted, rolled back or undecided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentBody {
    /// `service.name`.
    pub service: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// Promoted rollouts.
    pub promoted: u64,
    /// Rollouts that were rolled back.
    pub rolled_back: u64,
    /// Rollouts that ended undecided.
    pub inconclusive: u64,
    /// Deployments a day.
    pub deployment_frequency_per_day: f64,
    /// Promoted ones of all.
    pub success_rate: Option<f64>,
    /// Rolled back ones of those decided.
    pub change_failure_rate: Option<f64>,
    /// Rolled back ones of all.
    pub rollback_rate: Option<f64>,
    /// Median from the commit to the promotion, of rollouts whose metadata have `commit_time` (RFC 3339).
    pub lead_time_seconds: Option<f64>,
    /// Median from the start of a rollout to its rollback.
    pub time_to_detect_seconds: Option<f64>,
    /// Median from the start of a rollout that was rolled back to the next promotion of the service.
    pub time_to_recover_seconds: Option<f64>,
}

impl From<&DeploymentFigures> for DeploymentBody {
    fn from(of: &DeploymentFigures) -> Self {
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
        Self {
            service: of.service.clone(),
            environment: of.environment.clone(),
            promoted: of.promoted,
            rolled_back: of.rolled_back,
            inconclusive: of.inconclusive,
            deployment_frequency_per_day: of.per_day,
            success_rate: of.success_rate,
            change_failure_rate: of.change_failure_rate,
            rollback_rate: of.rollback_rate,
            lead_time_seconds: seconds(of.lead_time),
            time_to_detect_seconds: seconds(of.time_to_detect),
            time_to_recover_seconds: seconds(of.time_to_recover),
        }
    }
}

/// Deployment frequency, lead time, failure rates and recovery, by service and environment.
#[utoipa::path(
    get, path = "/v1/deployments/metrics", tag = "rollouts", operation_id = "deploymentMetrics", params(DeploymentParams),
    responses(
        (status = 200, description = "The figures", body = DeploymentListBody),
        (status = 400, description = "A parameter is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn metrics(
    State(doors): State<Doors>,
    Params(params): Params<DeploymentParams>,
) -> Result<Json<DeploymentListBody>, Problem> {
    let days = params.days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Problem::invalid(format!("days: {days} does not lie between 1 and {DAYS_MAX}")));
    }
    let span = Duration::from_secs(u64::from(days) * 86_400);
    let found = doors.rollouts.deployments((params.service, params.environment), span).await.map_err(|error| read_problem(&error))?;
    Ok(Json(DeploymentListBody { days, deployments: found.iter().map(DeploymentBody::from).collect() }))
}
