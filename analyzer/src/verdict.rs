//! The verdict document: what is published, stored and shown. Field names are promises.
//!
//! Numbers are finite and rounded to six significant digits, times are RFC 3339 in UTC. A document written by an older
//! version reads back: what it lacks takes its default.

mod progress;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::PolicyDocument;

pub use progress::{ApprovalVerdict, StageVerdict};
pub use write::{VerdictSubject, write};

/// One verdict on one rollout, as of one watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// The rollout that is judged.
    pub rollout_id: String,
    /// Grows with every verdict of the rollout that differs from the one before.
    pub sequence: u64,
    /// `service.name`.
    pub service: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// `canary`, `blue-green` or `rolling`.
    pub strategy: String,
    /// What to do.
    pub decision: VerdictDecision,
    /// Whether this verdict is the last one.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The decision in one word, for tools that know no more.
    pub status: VerdictStatus,
    /// How far the judge is, in one line for people.
    #[serde(default)]
    pub progress: String,
    /// 0 (roll back) to 100 (promote), for tools that want a number; Kayenta's own score where it judges.
    #[serde(default)]
    pub score: u8,
    /// The main reason, in one sentence with numbers.
    #[serde(default)]
    pub reason: String,
    /// All reasons, the main one first.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Why no decision was possible; only with `inconclusive`.
    #[serde(default)]
    pub inconclusive_because: Option<String>,
    /// The version that is known.
    pub baseline: CohortVerdict,
    /// The version that is judged.
    pub canary: CohortVerdict,
    /// Where the baseline's numbers come from.
    #[serde(default)]
    pub baseline_source: BaselineSource,
    /// The evidence for a rollback.
    pub risk: Risk,
    /// The evidence for a promotion.
    pub promotion: Promotion,
    /// One entry for each thing that was compared.
    #[serde(default)]
    pub checks: Vec<CheckVerdict>,
    /// The scores of groups of checks, by name; empty where Kayenta judges.
    #[serde(default)]
    pub groups: Vec<GroupVerdict>,
    /// Where the harm is, the worst first.
    #[serde(default)]
    pub culprits: Vec<CulpritVerdict>,
    /// What the canary does differently, the surest first; no harm in itself.
    #[serde(default)]
    pub changes: Vec<ChangeVerdict>,
    /// How often the judge was wrong on the service's own past; absent without replays of it.
    #[serde(default)]
    pub calibration: Option<CalibrationVerdict>,
    /// The stage that this is said of; absent of a rollout without stages.
    #[serde(default)]
    pub stage: Option<StageVerdict>,
    /// Whether a person agrees to the promotion; absent where nobody asks for it.
    #[serde(default)]
    pub approval: Option<ApprovalVerdict>,
    /// When the canary, or the stage, began to serve.
    pub started_at: String,
    /// The watermark: all data before it was seen.
    pub data_until: String,
    /// When the verdict was written.
    pub decided_at: String,
    /// When to ask again; 0 once the verdict is final.
    #[serde(default)]
    pub poll_after_seconds: u64,
    /// All chance in the judgement came from here.
    #[serde(default)]
    pub seed: u64,
    /// The policy in force.
    #[serde(default)]
    pub policy: PolicyDocument,
}

/// How well a group of checks goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupVerdict {
    /// `errors`, `latency`, `traffic`, `calls`, `metrics`, `limits`, or what the policy calls it.
    pub name: String,
    /// 0, all of it regressed, to 100, all of it not worse; absent while nothing is known.
    #[serde(default)]
    pub score: Option<f64>,
    /// What the policy asks for before a promotion, if it does.
    #[serde(default)]
    pub min_score: Option<f64>,
    /// Its part of the false-alarm budget.
    #[serde(default)]
    pub weight: f64,
    /// The checks in it.
    #[serde(default)]
    pub checks: Vec<String>,
}

/// What to do with the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictDecision {
    /// Every required check shows that the canary is not worse than the promotion margins.
    Promote,
    /// The canary is worse than the rollback margins.
    Rollback,
    /// Undecided, still collecting.
    Continue,
    /// Ended undecided, or the comparison itself is not valid.
    Inconclusive,
}

impl Verdict {
    /// Whether it is proven, and waits for the next stage to begin or for a person.
    pub fn awaits_somebody(&self) -> bool {
        let proven = self.decision == VerdictDecision::Promote && !self.is_final;
        proven || self.approval.as_ref().is_some_and(|approval| approval.awaited)
    }
}

impl VerdictDecision {
    /// The word in JSON and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Continue => "continue",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The decision in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictStatus {
    /// `continue`.
    Running,
    /// `promote`.
    Succeeded,
    /// `rollback`.
    Failed,
    /// `inconclusive`.
    Inconclusive,
}

/// Where the baseline's numbers come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BaselineSource {
    /// Both versions served at the same time.
    #[default]
    Concurrent,
    /// What ran before the rollout.
    Preceding,
}

/// One cohort, in the windows that were compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CohortVerdict {
    /// The resource attributes that pick it.
    pub selector: BTreeMap<String, String>,
    /// Requests seen.
    pub requests: u64,
    /// Instances seen.
    pub instances: u64,
}

/// The evidence that the canary is worse than the rollback margins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Risk {
    /// Rolled back at `1 / alpha` and above; at most 1e12.
    pub e_value: f64,
    /// `1 / e_value`, at most 1: a p-value that holds however often one looks.
    pub anytime_p: f64,
    /// The false-alarm budget.
    pub alpha: f64,
}

/// The evidence that the canary is not worse than the promotion margins: that of the least sure required check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Promotion {
    /// Promoted at `1 / beta` and above, if nothing else stands in the way; at most 1e12.
    pub e_value: f64,
    /// The chance of a false promotion.
    pub beta: f64,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckVerdict {
    /// `error_rate`, `latency_p50`, `latency_p95`, `latency_p99`, `throughput`, `new_errors`, `log_errors`, `calls`,
    /// `sample_ratio`, or the name of a number that the policy lists under `metrics`.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether a promotion needs its proof.
    #[serde(default)]
    pub required: bool,
    /// UCUM unit of the two values: `1`, `s`, or that of the number.
    #[serde(default)]
    pub unit: String,
    /// The baseline's side.
    pub baseline: SideVerdict,
    /// The canary's side.
    pub canary: SideVerdict,
    /// How much the two differ; absent when nothing can be said.
    #[serde(default)]
    pub effect: Option<EffectVerdict>,
    /// The rollback margin.
    #[serde(default)]
    pub tolerance: ToleranceVerdict,
    /// Evidence that the canary is worse; at most 1e12.
    #[serde(default)]
    pub e_value: f64,
    /// Evidence that it is not; at most 1e12.
    #[serde(default)]
    pub promote_e_value: f64,
    /// The noise that was allowed for; absent when it does not apply.
    #[serde(default)]
    pub noise: Option<NoiseVerdict>,
    /// What this traffic could show; absent when it does not apply.
    #[serde(default)]
    pub detectable: Option<DetectableVerdict>,
    /// One sentence with numbers.
    #[serde(default)]
    pub reason: String,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Worse than the rollback margin.
    Regressed,
    /// Not worse than the promotion margin.
    NotWorse,
    /// Neither is shown yet.
    Undecided,
    /// Nothing to compare.
    NoData,
}

/// One side of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SideVerdict {
    /// The rate, the quantile or the share; absent without requests.
    pub value: Option<f64>,
    /// Failed requests, requests over the threshold, or occurrences.
    pub events: u64,
    /// Requests.
    pub requests: u64,
}

/// How much the two sides differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EffectVerdict {
    /// What is measured.
    pub measure: Measure,
    /// The canary's value over the baseline's; absent when the baseline's is zero.
    pub estimate: Option<f64>,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval; absent when it has none.
    pub high: Option<f64>,
    /// Confidence level of the interval.
    pub level: f64,
}

/// What an effect measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The canary's rate of events over the baseline's.
    RateRatio,
    /// The canary's quantile over the baseline's.
    QuantileRatio,
    /// The canary's share of the traffic over its own earlier share.
    ShareRatio,
    /// The canary's mean over the baseline's.
    MeanRatio,
}

/// How much worse the canary may be without being rolled back: the larger of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ToleranceVerdict {
    /// As a share of the baseline's value.
    pub relative: f64,
    /// As a difference; absent when only the share counts.
    pub absolute: Option<f64>,
}

/// The noise that a check allowed for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoiseVerdict {
    /// Burstiness: how many times the variance of independent events.
    pub phi: f64,
    /// How far two cohorts of the same version lie apart: standard deviation of the log ratio of their rates.
    pub tau: f64,
    /// Where `tau` comes from.
    pub tau_source: TauSource,
}

/// Where the noise between cohorts was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TauSource {
    /// Assumed: there are too few instances, or too little history, to measure it.
    Prior,
    /// Measured between the baseline's instances.
    Instances,
    /// Measured between the baseline's own past windows.
    History,
}

/// What the traffic so far could have shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DetectableVerdict {
    /// The smallest ratio that would have led to a rollback by now; absent when none would.
    pub ratio: Option<f64>,
    /// Seconds until a decision is expected, if the rates stay as they are; absent when none is.
    pub eta_seconds: Option<f64>,
}

/// What the canary does differently.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeVerdict {
    /// In what way.
    pub kind: ChangeKind,
    /// What is called, such as `GET api.stripe.com`; empty for internal spans, which are counted together.
    pub name: String,
    /// Its span kind.
    pub span_kind: String,
    /// The baseline's calls for each request; failed calls for `failing_calls`.
    pub baseline: f64,
    /// The canary's.
    pub canary: f64,
    /// The evidence that they differ; at most 1e12.
    pub e_value: f64,
    /// One sentence with numbers.
    #[serde(default)]
    pub reason: String,
}

/// In what way the canary differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It makes a call that the baseline never makes.
    NewCall,
    /// It never makes a call that the baseline makes.
    MissingCall,
    /// It makes a call more often.
    MoreCalls,
    /// It makes a call less often.
    FewerCalls,
    /// A call fails more often.
    FailingCalls,
}

/// Replays of the service's past in which baseline and canary were the same version (A/A tests).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CalibrationVerdict {
    /// The oldest window that was replayed.
    pub from: String,
    /// The newest.
    pub until: String,
    /// How many replays.
    pub replays: u64,
    /// How many were rolled back, all of them falsely.
    pub rollbacks: u64,
    /// `rollbacks / replays`, to be compared with `alpha`.
    pub false_rollback_rate: f64,
    /// By check.
    pub checks: Vec<CheckCalibrationVerdict>,
}

/// What replays say of one check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CheckCalibrationVerdict {
    /// As in `checks`.
    pub name: String,
    /// The share of replays in which it alone would have led to a rollback.
    pub false_rollback_rate: f64,
    /// The share in which it may: its part of the false-alarm budget.
    pub stated_rate: f64,
    /// Burstiness: the median.
    pub phi: f64,
    /// Spread between cohorts of the same version: the median.
    pub tau: f64,
    /// The check's `e_value` was divided by this; 1 where it kept to its part.
    pub discount: f64,
}

/// Where the harm is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CulpritVerdict {
    /// What it is.
    pub kind: CulpritKind,
    /// The operation, the instance, or the error's fingerprint.
    pub name: String,
    /// The check in which it shows.
    pub check: String,
    /// The evidence against it; at most 1e12.
    pub e_value: f64,
    /// Events beyond what the baseline's rate would give.
    pub excess: f64,
    /// Its part of all excess events, 0 to 1.
    pub share: f64,
    /// The type of the error, for errors.
    #[serde(default)]
    pub error_type: Option<String>,
    /// The message of the error, for errors.
    #[serde(default)]
    pub message: Option<String>,
    /// Traces to look at.
    #[serde(default)]
    pub trace_ids: Vec<String>,
    /// One sentence with numbers.
    #[serde(default)]
    pub reason: String,
}

/// What a culprit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CulpritKind {
    /// One operation of the service.
    Operation,
    /// One instance of the canary, while the others are well.
    Instance,
    /// One distinct error.
    Error,
}

#[cfg(test)]
mod tests;
