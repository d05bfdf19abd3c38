//! Before a release: what the judge would find with this split in this time, tried on what the service did lately.

use std::time::Duration;

use haldane_store::{Classified, Environment, Fault, ServiceName, UnixNanos};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::deal::{Deal, Injected, RATE_MIN, deal};
use super::past::{self, Past, PastError, PastQuestion};
use super::walk::{Walk, looks, walk};
use crate::judge::{CellRef, Decision, Evidence};
use crate::policy::{CheckKind, Policy, PolicyError, PolicyOverrides};
use crate::query::Engine;

/// What is planned.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRequest {
    /// The service that will change.
    pub service: ServiceName,
    /// Where.
    pub environment: Environment,
    /// The canary's share of the traffic, more than 0 and less than 1.
    pub split: f64,
    /// How long the canary will be watched.
    pub length: Duration,
    /// What differs from the default policy.
    pub policy: PolicyOverrides,
}

/// What may be expected of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The version whose past was used; none where the service sends none.
    pub version: Option<String>,
    /// The first window that was compared.
    pub from: UnixNanos,
    /// The end of the past: the time between is as long as was asked for, or as is known.
    pub until: UnixNanos,
    /// Requests a second, in both cohorts.
    pub requests_per_second: f64,
    /// Share of requests that failed.
    pub error_rate: f64,
    /// Instances that served.
    pub instances: usize,
    /// Trials with nothing changed that were rolled back, all of them falsely.
    pub false_rollbacks: Tried,
    /// … and that were promoted.
    pub promotions: Tried,
    /// The smallest ratio of error rates that would have led to a rollback at the end; none where no ratio would.
    pub detectable_errors: Option<f64>,
    /// What comes of faults that are put in.
    pub faults: Vec<FaultPlan>,
}

/// What comes of one fault.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    /// What is worse.
    pub fault: PlannedFault,
    /// How many times as much.
    pub factor: f64,
    /// Trials that were rolled back.
    pub found: Tried,
}

/// What is worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PlannedFault {
    /// The share of requests that fail, which grows to this.
    Errors {
        /// With the fault.
        rate: f64,
    },
    /// The duration of all requests.
    Latency,
}

/// How many trials came to something, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tried {
    /// So many did,
    pub count: u32,
    /// of so many.
    pub of: u32,
    /// The median over those that did.
    pub after: Option<Duration>,
}

/// Trials of each fault.
const TRIALS: u32 = 5;
const ERROR_FACTORS: [f64; 3] = [2.0, 3.0, 5.0];
const LATENCY_FACTORS: [f64; 3] = [1.25, 1.5, 2.0];
/// This much before it is learnt from.
const HISTORY: Duration = Duration::from_secs(1800);
/// Shares of the traffic that can be planned.
const SPLIT: std::ops::RangeInclusive<f64> = 0.001..=0.999;
/// Times that can be planned.
const LENGTH: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(6 * 3600);

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A number outside of what can be planned.
    #[error("{field} is {given}, it has to lie between {low} and {high}")]
    Range {
        /// Which.
        field: &'static str,
        /// What was asked for.
        given: String,
        /// The least.
        low: &'static str,
        /// The most.
        high: &'static str,
    },
    /// The policy has mistakes.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// No telemetry of that name.
    #[error(
        "no requests of service {service} in environment {environment} came in within a day: see GET /v1/services for those that sent some"
    )]
    UnknownService {
        /// The service.
        service: String,
        /// The environment.
        environment: String,
    },
    /// Its past cannot be used.
    #[error(transparent)]
    Past(#[from] PastError),
    /// Another plan is being made.
    #[error("other plans are being made: try again in a few seconds")]
    Busy,
    /// The computation ended by itself.
    #[error("the computation failed")]
    Failed(#[source] tokio::task::JoinError),
}

impl Classified for PlanError {
    fn fault(&self) -> Fault {
        match self {
            Self::Range { .. } => Fault::Invalid,
            Self::Policy(error) => error.fault(),
            Self::UnknownService { .. } => Fault::Missing,
            Self::Past(error) => error.fault(),
            Self::Busy => Fault::Busy,
            Self::Failed(_) => Fault::Bug,
        }
    }
}

impl PlanRequest {
    fn check(&self) -> Result<Policy, PlanError> {
        if !SPLIT.contains(&self.split) {
            return Err(PlanError::Range { field: "split", given: format!("{} %", self.split * 100.0), low: "0.1 %", high: "99.9 %" });
        }
        if !LENGTH.contains(&self.length) {
            return Err(PlanError::Range { field: "for", given: format!("{} s", self.length.as_secs()), low: "1 min", high: "6 h" });
        }
        // A plain number or a limit has no past that could be dealt out: what the policy says of it is checked, and left out.
        Policy::default().with(&self.policy)?;
        Ok(Policy::default().with(&PolicyOverrides { metrics: None, gates: None, ..self.policy.clone() })?)
    }
}

/// Tries it. The version is the one that serves most.
pub(crate) async fn plan(
    engine: &Engine,
    request: &PlanRequest,
    version: Option<&str>,
    until: UnixNanos,
    turn: OwnedSemaphorePermit,
) -> Result<Plan, PlanError> {
    let policy = request.check()?;
    let (service, environment) = (&request.service, &request.environment);
    let past = past::read(engine, &PastQuestion { service, environment, version, until, length: request.length, history: HISTORY }).await?;
    let (split, version) = (request.split, version.map(str::to_owned));
    // Who asked may go away, and the server may stop: then the work ends too, and only then is it the next one's turn.
    let gone = CancellationToken::new();
    let (_guard, token) = (gone.clone().drop_guard(), gone);
    let trying = tokio::task::spawn_blocking(move || {
        let plan = tried(&past, &policy, split, &token).map(|plan| Plan { version, ..plan });
        drop(turn);
        plan
    });
    trying.await.map_err(PlanError::Failed)?.ok_or(PlanError::Busy)
}

/// `None` once it is cancelled.
pub(super) fn tried(past: &Past, policy: &Policy, split: f64, gone: &CancellationToken) -> Option<Plan> {
    let whole = &past.evidence;
    let length = whole.until.since(whole.started_at);
    let trial = |injected: Injected, number: u32, ends: fn(&Decision) -> bool| -> Walk {
        let dealt = deal(past, Deal { share: Some(split), injected, seed: u64::from(number) + 1 });
        walk(policy, dealt, &looks(length), |decision| gone.is_cancelled() || ends(decision))
    };
    let clean: Vec<Walk> = (0..TRIALS).map(|number| trial(Injected::Nothing, number, |_| false)).collect();
    let fault = |fault: PlannedFault, factor: f64| {
        let injected = match fault {
            PlannedFault::Errors { .. } => Injected::Errors(factor),
            PlannedFault::Latency => Injected::Latency(factor),
        };
        let walks = (0..TRIALS).map(|number| trial(injected, number, |decision| matches!(decision, Decision::Rollback { .. })));
        let found = Tried::of(&walks.map(|walk| walk.rollback).collect::<Vec<_>>());
        FaultPlan { fault, factor, found }
    };
    let (requests, errors) = totals(whole);
    let error_rate = errors / requests.max(1.0);
    let errors = ERROR_FACTORS.map(|factor| fault(PlannedFault::Errors { rate: (error_rate.max(RATE_MIN) * factor).min(1.0) }, factor));
    let latency = LATENCY_FACTORS.map(|factor| fault(PlannedFault::Latency, factor));
    let plan = Plan {
        version: None,
        from: whole.started_at,
        until: whole.until,
        requests_per_second: requests / length.as_secs_f64().max(1.0),
        error_rate,
        instances: instances(whole),
        false_rollbacks: Tried::of(&clean.iter().map(|walk| walk.rollback).collect::<Vec<_>>()),
        promotions: Tried::of(&clean.iter().map(|walk| walk.promotion).collect::<Vec<_>>()),
        detectable_errors: detectable_errors(&clean),
        faults: errors.into_iter().chain(latency).collect(),
    };
    (!gone.is_cancelled()).then_some(plan)
}

impl Tried {
    fn of(times: &[Option<Duration>]) -> Self {
        let mut known: Vec<Duration> = times.iter().flatten().copied().collect();
        known.sort_unstable();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { count: count(known.len()), of: count(times.len()), after: known.get(known.len() / 2).copied() }
    }
}

/// The median over the trials; none where most trials had none.
fn detectable_errors(clean: &[Walk]) -> Option<f64> {
    let ratio = |walk: &Walk| {
        let errors = walk.comparisons.iter().find(|one| one.kind == CheckKind::ErrorRate);
        errors.and_then(|one| one.detectable?.ratio).unwrap_or(f64::INFINITY)
    };
    let mut ratios: Vec<f64> = clean.iter().map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().filter(|ratio| ratio.is_finite())
}

fn during(whole: &Evidence) -> impl Iterator<Item = CellRef<'_>> {
    whole.cells.iter().filter(|cell| cell.at >= whole.started_at)
}

fn totals(whole: &Evidence) -> (f64, f64) {
    during(whole).fold((0.0, 0.0), |(requests, errors), cell| (requests + cell.requests as f64, errors + cell.errors as f64))
}

fn instances(whole: &Evidence) -> usize {
    during(whole).map(|cell| cell.instance).collect::<std::collections::BTreeSet<_>>().len()
}
