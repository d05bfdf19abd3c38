//! Plans: what the judge would find in a rollout that has not begun.

use axum::Json;
use axum::extract::State;
use haldane_analyzer::policy::PolicyOverrides;
use haldane_analyzer::rehearsal::{Plan, PlanError, PlanRequest, PlannedFault, Tried};
use haldane_store::{Environment, ServiceName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Doors;
use super::described::{Name, Span};
use super::extract::JsonBody;
use super::wait::parse_span;
use crate::error::{Problem, ProblemKind};

/// With fewer in all, a cohort has too few for the judge to measure how far instances differ.
const INSTANCES_MEASURED: usize = 4;

/// A rollout to plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"service": "payment", "environment": "shop", "split": 0.1, "for": "30m"}))]
pub struct PlanRequestBody {
    /// `service.name`.
    #[schema(value_type = Name)]
    pub service: String,
    /// `deployment.environment.name`, `default` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Name>)]
    pub environment: Option<String>,
    /// The canary's share of the traffic, 0.001 to 0.999.
    #[schema(minimum = 0.001, maximum = 0.999)]
    pub split: f64,
    /// How long the canary will be watched: 1 minute to 6 hours, such as `30m`.
    #[serde(rename = "for")]
    #[schema(value_type = Span)]
    pub length: String,
    /// What differs from the default policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyOverrides>,
}

/// What may be expected of a rollout, tried on what the service did lately.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanBody {
    /// `service.name`.
    pub service: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// The version whose past was used; absent where the service sends none.
    pub version: Option<String>,
    /// The canary's share of the traffic.
    pub split: f64,
    /// Seconds that were asked for.
    pub for_seconds: u64,
    /// Seconds that were tried: fewer where the service has a shorter past.
    pub tried_seconds: u64,
    /// The first window that was compared.
    #[schema(format = DateTime)]
    pub from: String,
    /// The end of the last one.
    #[schema(format = DateTime)]
    pub until: String,
    /// Requests a second, in both cohorts together.
    pub requests_per_second: f64,
    /// Share of requests that failed.
    pub error_rate: f64,
    /// Instances that served.
    pub instances: usize,
    /// Trials with nothing changed that were promoted.
    pub promotions: TriedBody,
    /// Trials with nothing changed that were rolled back, all of them falsely.
    pub false_rollbacks: TriedBody,
    /// The smallest ratio of error rates that would have led to a rollback at the end; absent where none would.
    pub detectable_error_ratio: Option<f64>,
    /// What comes of faults that are put in.
    pub faults: Vec<FaultBody>,
    /// The same in sentences.
    pub summary: Vec<String>,
}

/// How many trials came to something, and when.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TriedBody {
    /// So many did,
    pub count: u32,
    /// of so many.
    pub of: u32,
    /// Seconds after which they did: the median.
    pub after_seconds: Option<u64>,
}

/// What comes of a fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FaultBody {
    /// What is worse.
    pub fault: FaultWord,
    /// How many times as much.
    pub factor: f64,
    /// The share of requests that fail then; only for errors.
    pub error_rate: Option<f64>,
    /// Trials that were rolled back.
    pub found: TriedBody,
}

/// What is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultWord {
    /// The share of requests that fail.
    Errors,
    /// The duration of all requests.
    Latency,
}

impl From<Tried> for TriedBody {
    fn from(tried: Tried) -> Self {
        Self { count: tried.count, of: tried.of, after_seconds: tried.after.map(|after| after.as_secs()) }
    }
}

impl TriedBody {
    fn sentence(&self, what: &str) -> String {
        match (self.count, self.after_seconds) {
            (count, Some(after)) if count == self.of => format!("{what} after {}", minutes(after)),
            (0, _) | (_, None) => format!("not {what} in this time"),
            (count, Some(after)) => format!("{what} in {count} of {} trials, after {}", self.of, minutes(after)),
        }
    }
}

fn minutes(seconds: u64) -> String {
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 { format!("{percent:.0} %") } else { format!("{} %", rounded(percent)) }
}

/// Three significant digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

fn body(request: &PlanRequest, plan: &Plan) -> PlanBody {
    let faults = plan.faults.iter().map(|one| {
        let (fault, error_rate) = match one.fault {
            PlannedFault::Errors { rate } => (FaultWord::Errors, Some(rounded(rate))),
            PlannedFault::Latency => (FaultWord::Latency, None),
        };
        FaultBody { fault, factor: one.factor, error_rate, found: one.found.into() }
    });
    let mut body = PlanBody {
        service: request.service.to_string(),
        environment: request.environment.to_string(),
        version: plan.version.clone(),
        split: request.split,
        for_seconds: request.length.as_secs(),
        tried_seconds: plan.until.since(plan.from).as_secs(),
        from: plan.from.to_rfc3339(),
        until: plan.until.to_rfc3339(),
        requests_per_second: rounded(plan.requests_per_second),
        error_rate: rounded(plan.error_rate),
        instances: plan.instances,
        promotions: plan.promotions.into(),
        false_rollbacks: plan.false_rollbacks.into(),
        detectable_error_ratio: plan.detectable_errors.map(rounded),
        faults: faults.collect(),
        summary: Vec::new(),
    };
    body.summary = summary(&body);
    body
}

fn summary(plan: &PlanBody) -> Vec<String> {
    let version = plan.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let mut lines = vec![format!(
        "{}{version} in {} served {} requests/s in {} instance{}, {} of them failed, from {} to {}",
        plan.service,
        plan.environment,
        plan.requests_per_second,
        plan.instances,
        if plan.instances == 1 { "" } else { "s" },
        percent(plan.error_rate),
        plan.from,
        plan.until
    )];
    if plan.tried_seconds + 10 < plan.for_seconds {
        lines.push(format!(
            "only {} of its past can be used: what is asked for is {}",
            minutes(plan.tried_seconds),
            minutes(plan.for_seconds)
        ));
    }
    if plan.instances < INSTANCES_MEASURED {
        lines.push(
            "with so few instances their spread is assumed, not measured, and much has to be seen for a decision: more, smaller ones help"
                .to_owned(),
        );
    }
    let split = percent(plan.split);
    lines.push(format!("with {split} of the traffic, a version that is not worse is {}", plan.promotions.sentence("promoted")));
    if plan.false_rollbacks.count > 0 {
        lines.push(format!(
            "{} of {} trials in which nothing was changed were rolled back: its instances or times differ more than the judge allows for",
            plan.false_rollbacks.count, plan.false_rollbacks.of
        ));
    }
    for fault in &plan.faults {
        let what = match (fault.fault, fault.error_rate) {
            (FaultWord::Errors, Some(rate)) => format!("errors × {} ({} of requests)", fault.factor, percent(rate)),
            (FaultWord::Errors, None) => format!("errors × {}", fault.factor),
            (FaultWord::Latency, _) => format!("latency × {}", fault.factor),
        };
        lines.push(format!("{what}: {}", fault.found.sentence("found")));
    }
    if let Some(ratio) = plan.detectable_error_ratio {
        lines.push(format!("the least rise of errors that would be found by the end: × {ratio}"));
    }
    lines
}

/// Says what the judge would find in a rollout with this split in this time.
///
/// The service's own recent past is dealt out as baseline and canary, with nothing changed and with faults put in, and judged as a rollout would be.
#[utoipa::path(
    post, path = "/v1/plans", tag = "verdicts", operation_id = "plan", request_body = PlanRequestBody,
    responses(
        (status = 200, description = "What may be expected", body = PlanBody),
        (status = 400, description = "The request makes no sense", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The service is not known", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The service has served for too short a time", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Other plans are being made", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn plan(State(doors): State<Doors>, JsonBody(body_in): JsonBody<PlanRequestBody>) -> Result<Json<PlanBody>, Problem> {
    let request = read(body_in)?;
    let plan = doors.rollouts.plan(&request).await.map_err(|error| problem(&error))?;
    Ok(Json(body(&request, &plan)))
}

fn read(body: PlanRequestBody) -> Result<PlanRequest, Problem> {
    let wrong = |field: &str, error: &dyn std::fmt::Display| Problem::invalid(format!("{field}: {error}"));
    Ok(PlanRequest {
        service: ServiceName::parse(&body.service).map_err(|error| wrong("service", &error))?,
        environment: match &body.environment {
            Some(name) => Environment::parse(name).map_err(|error| wrong("environment", &error))?,
            None => Environment::unnamed(),
        },
        split: body.split,
        length: parse_span(&body.length).map_err(|error| wrong("for", &error))?,
        policy: body.policy.unwrap_or_default(),
    })
}

fn problem(error: &PlanError) -> Problem {
    match error {
        PlanError::UnknownService { .. } => Problem::from_error(error, ProblemKind::UnknownService),
        PlanError::Past(_) => Problem::from_error(error, ProblemKind::ShortPast),
        PlanError::Range { .. } | PlanError::Policy(_) | PlanError::Busy | PlanError::Failed(_) => {
            Problem::from_error(error, ProblemKind::InvalidRequest)
        }
    }
}
