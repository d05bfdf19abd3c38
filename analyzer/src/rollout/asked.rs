//! What is computed at once for who asks, beside the rollouts that run: plans, and verdicts on the past.

use std::time::Duration;

use haldane_store::schema::BUCKET_SECONDS;
use haldane_store::{Classified, Environment, Fault, ServiceName, UnixNanos};

use super::desk::Rollouts;
use super::detect;
use crate::cohort::{GatherError, MetricSqlError, Question, Selector, add_samples, gather, try_sql};
use crate::judge::{Evidence, Pairing, judge};
use crate::policy::{Policy, PolicyError, PolicyOverrides};
use crate::rehearsal::{self, PastError, Plan, PlanError, PlanRequest};
use crate::verdict::{self, Verdict, VerdictSubject};

/// Telemetry of the last seconds may not be whole.
const LATENESS: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_secs(BUCKET_SECONDS);
/// The longest time that is analysed.
const LENGTH_MAX: Duration = Duration::from_secs(24 * 3600);
/// This much of the baseline before it is learnt from.
const HISTORY: Duration = Duration::from_secs(1800);

/// A time of the past to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisRequest {
    /// The service.
    pub service: ServiceName,
    /// Where.
    pub environment: Environment,
    /// Picks what is compared with.
    pub baseline: Selector,
    /// Picks what is judged.
    pub canary: Selector,
    /// The time that is judged: from here
    pub from: UnixNanos,
    /// to here.
    pub until: UnixNanos,
    /// What the canary is compared with.
    pub pairing: Pairing,
    /// What differs from the default policy.
    pub policy: PolicyOverrides,
}

/// Why nothing was analysed.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// No time, too long a time, or one that is not over.
    #[error("until has to be later than from by at most 24 h, and not in the future")]
    Time,
    /// Both selectors pick the same, at the same time.
    #[error("baseline and canary are both {selector}: they must differ, or baseline_source be preceding")]
    SameCohorts {
        /// What both pick.
        selector: String,
    },
    /// The policy has mistakes.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// SQL of the policy cannot be used.
    #[error(transparent)]
    MetricSql(#[from] MetricSqlError),
    /// The telemetry cannot be read.
    #[error("cannot read the telemetry")]
    Gather(#[from] GatherError),
    /// Somebody else is having something computed.
    #[error("other plans and analyses are being made: try again in a few seconds")]
    Busy,
    /// The computation ended by itself.
    #[error("the computation failed")]
    Failed(#[source] tokio::task::JoinError),
}

impl AnalysisError {
    /// Whether fields that are right by themselves do not go together.
    pub fn is_contradiction(&self) -> bool {
        match self {
            Self::Time | Self::SameCohorts { .. } => true,
            Self::Policy(error) => !error.is_of_form(),
            Self::MetricSql(_) | Self::Gather(_) | Self::Busy | Self::Failed(_) => false,
        }
    }
}

impl Classified for AnalysisError {
    fn fault(&self) -> Fault {
        match self {
            Self::Time | Self::SameCohorts { .. } => Fault::Invalid,
            Self::Policy(error) => error.fault(),
            Self::MetricSql(error) => error.fault(),
            Self::Gather(error) => error.fault(),
            Self::Busy => Fault::Busy,
            Self::Failed(_) => Fault::Bug,
        }
    }
}

impl Rollouts {
    /// What the judge would find in a rollout, tried on what the service did lately.
    ///
    /// # Errors
    /// When the request makes no sense, the service has no past of some length, or another plan is being made.
    pub async fn plan(&self, request: &PlanRequest) -> Result<Plan, PlanError> {
        let turn = self.asking.clone().try_acquire_owned().map_err(|_| PlanError::Busy)?;
        let known = detect::services(&self.questions, self.clock.now()).await.map_err(|error| PastError::Gather(error.into()))?;
        let (service, environment) = (request.service.as_str(), request.environment.as_str());
        let serving = known.into_iter().filter(|one| one.service == service && one.environment == environment);
        let versions = serving.flat_map(|one| one.versions).filter(|version| version.requests > 0);
        let Some(version) = versions.max_by_key(|version| version.requests) else {
            return Err(PlanError::UnknownService { service: service.to_owned(), environment: environment.to_owned() });
        };
        let name = Some(version.version.as_str()).filter(|name| !name.is_empty());
        let until = version.last_seen.plus(WINDOW).min(self.clock.now().minus(LATENESS)).bucket(WINDOW);
        rehearsal::plan(&self.questions, request, name, until, turn).await
    }

    /// The verdict on a time of the past, as if a rollout had ended with it. It is not kept.
    ///
    /// # Errors
    /// When the request makes no sense, or the tables cannot be read.
    pub async fn analyse(&self, request: &AnalysisRequest) -> Result<Verdict, AnalysisError> {
        let length = request.until.since(request.from);
        if length.is_zero() || length > LENGTH_MAX || request.until > self.clock.now() {
            return Err(AnalysisError::Time);
        }
        if request.baseline == request.canary && request.pairing == Pairing::Concurrent {
            return Err(AnalysisError::SameCohorts { selector: request.canary.to_string() });
        }
        let policy = Policy::default().with(&request.policy)?.without_probes();
        let turn = self.asking.clone().try_acquire_owned().map_err(|_| AnalysisError::Busy)?;
        let question = Question {
            service: &request.service,
            environment: &request.environment,
            baseline: &request.baseline,
            canary: &request.canary,
            started_at: request.from,
            until: request.until,
            // Of what ran before, as much as of what is judged.
            history: HISTORY.max(length),
            seed: 0,
        };
        try_sql(&self.questions, &question, policy.metrics()).await?;
        let mut evidence = gather(&self.questions, &question).await?;
        add_samples(&self.questions, &question, &policy.sampled(), &mut evidence).await?;
        let evidence = Evidence { pairing: request.pairing, ..evidence };
        let subject = VerdictSubject {
            rollout_id: String::new(),
            sequence: 1,
            service: request.service.to_string(),
            environment: request.environment.to_string(),
            strategy: "analysis".to_owned(),
            baseline_selector: request.baseline.matchers().clone(),
            canary_selector: request.canary.matchers().clone(),
            stage: None,
            approval: None,
            ended: true,
            gave_up: false,
            decided_at: self.clock.now(),
        };
        let judging = tokio::task::spawn_blocking(move || {
            let verdict = verdict::write(&subject, &policy, &evidence, &judge(&policy, &evidence));
            drop(turn);
            verdict
        });
        judging.await.map_err(AnalysisError::Failed)
    }
}
