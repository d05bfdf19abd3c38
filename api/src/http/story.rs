//! The failure report for tools: the rollout, its verdict, who met the regression, what changed, what to do.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use haldane_analyzer::cohort::{ChangedAttribute, NewError, NewMessage};
use haldane_analyzer::rollout::{Rollout, Story};
use haldane_analyzer::verdict::{Verdict, VerdictDecision};
use haldane_store::UnixNanos;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Doors;
use super::extract::InPath;
use super::rollouts::{RolloutBody, find_problem, read_problem, rollout_id};
use crate::error::{Problem, chain};

/// All that is known of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoryBody {
    /// The rollout: who, what commit, when, in its metadata and times.
    pub rollout: RolloutBody,
    /// Its present verdict.
    pub verdict: Verdict,
    /// Who met the regression.
    pub impact: ImpactBody,
    /// What differs between the versions beside their numbers.
    pub differences: DifferencesBody,
    /// What to do, in words, the first thing first.
    pub next_steps: Vec<String>,
}

/// Who met the regression, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImpactBody {
    /// Requests that failed, or were slow, beyond what the baseline's rate would give.
    pub requests_affected: u64,
    /// These of all requests of both versions, 0 to 1.
    pub share_of_requests: f64,
    /// Distinct `enduser.id`, `user.id` or `session.id` that the canary served; absent where spans name none.
    #[serde(default)]
    pub users_served: Option<u64>,
    /// Those of them that met a failure, or a latency beyond the tolerance.
    #[serde(default)]
    pub users_affected: Option<u64>,
    /// The canary's first failure while it was compared.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub failing_since: Option<String>,
    /// From the first failure, else from the start, to the rollback.
    #[serde(default)]
    pub time_to_detect_seconds: Option<f64>,
    /// From the start to the next promotion of the service.
    #[serde(default)]
    pub time_to_recover_seconds: Option<f64>,
}

/// What differs between the versions. Changed calls are in the verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DifferencesBody {
    /// Resource attributes.
    pub attributes: Vec<AttributeBody>,
    /// Errors that only the canary has, exceptions and logged ones, the most frequent first.
    pub new_errors: Vec<NewErrorBody>,
    /// Kinds of log records below `ERROR` that only the canary writes, the most frequent first; absent if that could not be read.
    #[serde(default)]
    pub new_messages: Option<Vec<NewMessageBody>>,
    /// Settings that messages of new errors call missing.
    pub missing_settings: Vec<String>,
}

/// A resource attribute that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttributeBody {
    /// Its key.
    pub key: String,
    /// Its values in the baseline; empty where it lacks the attribute.
    pub baseline: Vec<String>,
    /// Its values in the canary.
    pub canary: Vec<String>,
}

/// An error that only the canary has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewErrorBody {
    /// `exception`, `log` or `status`.
    pub source: String,
    /// Its type.
    pub error_type: String,
    /// Its message, with what varies replaced.
    pub message: String,
    /// How often it was seen.
    pub count: u64,
    /// One trace in which it happened.
    pub trace_id: String,
}

/// A kind of log record that only the canary writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewMessageBody {
    /// As the records say, such as `WARN`; empty if they do not.
    pub severity: String,
    /// With what varies replaced.
    pub message: String,
    /// How often it was seen among the newest 10,000 records.
    pub count: u64,
    /// One trace in which it was written; empty without one.
    pub trace_id: String,
}

impl StoryBody {
    fn new(rollout: &Rollout, verdict: Verdict, story: Story) -> Self {
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
        let attribute = |ChangedAttribute { key, baseline, canary }| AttributeBody { key, baseline, canary };
        let error =
            |NewError { source, error_type, message, count, trace_id }| NewErrorBody { source, error_type, message, count, trace_id };
        let message = |NewMessage { severity, message, count, trace_id }| NewMessageBody { severity, message, count, trace_id };
        Self {
            rollout: RolloutBody::from(rollout),
            verdict,
            impact: ImpactBody {
                requests_affected: story.requests_affected,
                share_of_requests: story.share_of_requests,
                users_served: story.impact.users.map(|users| users.served),
                users_affected: story.impact.users.map(|users| users.met),
                failing_since: story.impact.failing_since.map(UnixNanos::to_rfc3339),
                time_to_detect_seconds: seconds(story.time_to_detect),
                time_to_recover_seconds: seconds(story.time_to_recover),
            },
            differences: DifferencesBody {
                attributes: story.impact.attributes.into_iter().map(attribute).collect(),
                new_errors: story.impact.new_errors.into_iter().map(error).collect(),
                new_messages: story.impact.new_messages.map(|messages| messages.into_iter().map(message).collect()),
                missing_settings: story.missing_settings,
            },
            next_steps: story.next_steps,
        }
    }
}

/// The whole record of a rollout: its verdict, who met the regression, what else differs between the versions, and what to do.
///
/// What telemetry is read for it goes with the time that raw data is kept.
#[utoipa::path(
    get, path = "/v1/rollouts/{id}/report.json", tag = "verdicts", operation_id = "getReportDocument",
    params(("id" = String, Path, description = "The rollout")),
    responses(
        (status = 200, description = "The record", body = StoryBody),
        (status = 404, description = "There is no rollout of this id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn story(State(doors): State<Doors>, InPath(id): InPath) -> Result<Json<StoryBody>, Problem> {
    let id = rollout_id(&id)?;
    let rollout = doors.rollouts.get(&id).await.map_err(|error| find_problem(&error))?;
    let verdict = doors.rollouts.verdict(&id).await.map_err(|error| find_problem(&error))?;
    let story = doors.rollouts.story(&rollout, &verdict).await.map_err(|error| read_problem(&error))?;
    Ok(Json(StoryBody::new(&rollout, verdict, story)))
}

/// What a report for people tells of a rollout that is decided, or why it cannot; nothing before that.
pub(super) async fn told(doors: &Doors, rollout: &Rollout, verdict: &Verdict, patience: Duration) -> Option<Result<Story, String>> {
    if !verdict.is_final && verdict.decision != VerdictDecision::Rollback {
        return None;
    }
    Some(match tokio::time::timeout(patience, doors.rollouts.story(rollout, verdict)).await {
        Ok(Ok(story)) => Ok(story),
        Ok(Err(error)) => Err(format!("The telemetry cannot be read: {}.", chain(&error))),
        Err(_) => Err(format!("Reading the telemetry took more than {} s; report.json waits for it.", patience.as_secs())),
    })
}
