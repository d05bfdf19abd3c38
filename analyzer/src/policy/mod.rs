//! What a rollout is held to: the checks, their margins, and how often the judge may be wrong.
//!
//! A [`Policy`] that exists is right: it is the default, or the default [`Policy::with`] overrides that were all checked.

mod document;
pub mod folder;
mod gates;
mod groups;
mod metrics;
mod overrides;

use std::time::Duration;

pub use document::{CheckDocument, GateDocument, PolicyDocument};
pub use folder::{NamedPolicy, PolicyChange, PolicyFile, PolicyFileError, PolicyFolder};
pub use gates::{Gate, GateKind, GateOverride, Limit};
pub use groups::GroupOverride;
use groups::Groups;
pub use metrics::{MetricCheck, MetricCheckOverride, MetricSource};
pub use overrides::{CheckOverride, JudgeName, KayentaOverrides, PolicyError, PolicyMistake, PolicyOverrides};

/// What the judge asks and how sure it has to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
    pub(crate) error_rollback: Margin,
    pub(crate) error_promote: Margin,
    pub(crate) latency_rollback: f64,
    pub(crate) latency_promote: f64,
    pub(crate) log_error_rollback: f64,
    pub(crate) quantiles: Vec<f64>,
    pub(crate) throughput_tolerance: f64,
    pub(crate) min_duration: Duration,
    pub(crate) max_duration: Duration,
    pub(crate) min_requests: u64,
    pub(crate) canary_share: Option<f64>,
    pub(crate) judge: JudgeRule,
    pub(crate) checks: Vec<CheckPolicy>,
    pub(crate) metrics: Vec<MetricCheck>,
    pub(crate) gates: Vec<Gate>,
    pub(crate) groups: Groups,
    pub(crate) approval: bool,
}

/// How much worse a rate may be: the larger of a share of the baseline and an absolute difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margin {
    /// As a share of the baseline's rate; 0.25 is 25 %.
    pub relative: f64,
    /// As a difference of the two rates; 0.0005 is 0.05 percentage points.
    pub absolute: f64,
}

/// Who judges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum JudgeRule {
    /// Ours.
    Default,
    /// Kayenta's.
    Kayenta(KayentaRule),
}

/// How Kayenta's judge is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KayentaRule {
    /// How often.
    pub interval: Duration,
    /// A score of this or more at the end promotes.
    pub pass: f64,
    /// One of this or less at any look rolls back.
    pub marginal: f64,
}

impl Default for KayentaRule {
    fn default() -> Self {
        Self { interval: Duration::from_secs(300), pass: 75.0, marginal: 50.0 }
    }
}

/// A question that a policy asks of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckKind {
    /// Does a larger share of requests fail?
    ErrorRate,
    /// Do requests take longer?
    Latency,
    /// Does the canary get and serve its share of the traffic?
    Throughput,
    /// Are there errors that the baseline does not have?
    NewErrors,
    /// Are more errors logged for as many requests?
    LogErrors,
    /// Does it call other things, or as often?
    Calls,
    /// Does the canary get the share of the traffic that is configured?
    SampleRatio,
    /// Is a plain number worse? One check for each that the policy lists under `metrics`.
    Metric,
    /// Does it keep its service level? One for each gate of this kind.
    Slo,
    /// Does it keep within its resources?
    Resource,
    /// Does an address answer?
    Probe,
    /// Does it get enough traffic?
    MinTraffic,
}

/// One check of a policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckPolicy {
    /// What is asked.
    pub kind: CheckKind,
    /// Whether a promotion needs its proof. A check that is not required can still demand a rollback.
    pub required: bool,
    /// Its part of the false-alarm budget, relative to the other checks' weights.
    pub weight: f64,
}

impl CheckKind {
    /// Those that a policy lists under `checks`, in the order in which they are reported.
    pub const ALL: [Self; 7] =
        [Self::ErrorRate, Self::Latency, Self::Throughput, Self::NewErrors, Self::LogErrors, Self::Calls, Self::SampleRatio];

    /// The name in policies and verdicts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ErrorRate => "error_rate",
            Self::Latency => "latency",
            Self::Throughput => "throughput",
            Self::NewErrors => "new_errors",
            Self::LogErrors => "log_errors",
            Self::Calls => "calls",
            Self::SampleRatio => "sample_ratio",
            Self::Metric => "metric",
            Self::Slo => "slo",
            Self::Resource => "resource",
            Self::Probe => "probe",
            Self::MinTraffic => "min_traffic",
        }
    }

    /// The check of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How the default policy asks it. Throughput can block a promotion but says nothing about harm, and a version may
    /// well call other things than the one before: these have no part of the budget.
    pub const fn default_policy(self) -> CheckPolicy {
        match self {
            Self::ErrorRate => CheckPolicy { kind: self, required: true, weight: 0.4 },
            Self::Latency => CheckPolicy { kind: self, required: true, weight: 0.4 },
            Self::NewErrors | Self::LogErrors => CheckPolicy { kind: self, required: false, weight: 0.1 },
            Self::Throughput
            | Self::Calls
            | Self::SampleRatio
            | Self::Metric
            | Self::Slo
            | Self::Resource
            | Self::Probe
            | Self::MinTraffic => CheckPolicy { kind: self, required: false, weight: 0.0 },
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            beta: 0.05,
            error_rollback: Margin { relative: 0.25, absolute: 0.0005 },
            error_promote: Margin { relative: 0.5, absolute: 0.005 },
            latency_rollback: 0.10,
            latency_promote: 0.25,
            log_error_rollback: 1.0,
            quantiles: vec![0.5, 0.95, 0.99],
            throughput_tolerance: 0.5,
            min_duration: Duration::from_secs(120),
            max_duration: Duration::from_secs(3600),
            min_requests: 50,
            canary_share: None,
            judge: JudgeRule::Default,
            checks: CheckKind::ALL.map(CheckKind::default_policy).to_vec(),
            metrics: Vec::new(),
            gates: Vec::new(),
            groups: Groups::default(),
            approval: false,
        }
    }
}

impl Policy {
    /// The chance, over a whole rollout and all checks, of rolling back a version that is not worse than the margins.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The chance, per check, of promoting a version that is worse than the promotion margins.
    pub fn beta(&self) -> f64 {
        self.beta
    }

    /// No promotion before this.
    pub fn min_duration(&self) -> Duration {
        self.min_duration
    }

    /// What is undecided by then ends inconclusive.
    pub fn max_duration(&self) -> Duration {
        self.max_duration
    }

    /// No promotion with fewer requests in either cohort.
    pub fn min_requests(&self) -> u64 {
        self.min_requests
    }

    /// What is asked, in the order in which it is reported.
    pub fn checks(&self) -> &[CheckPolicy] {
        &self.checks
    }

    /// How this policy asks a check, if it does.
    pub fn check(&self, kind: CheckKind) -> Option<CheckPolicy> {
        self.checks.iter().copied().find(|check| check.kind == kind)
    }

    /// A check's part of the false-alarm budget; the parts add up to one, or are all zero.
    pub(crate) fn weight(&self, kind: CheckKind) -> f64 {
        let total = self.total_weight();
        match self.check(kind) {
            Some(check) if total > 0.0 => check.weight / total,
            _ => 0.0,
        }
    }

    /// The numbers that are compared.
    pub fn metrics(&self) -> &[MetricCheck] {
        &self.metrics
    }

    /// The limits that hold whatever the baseline does.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// Whether a person has to agree before a promotion.
    pub fn approval(&self) -> bool {
        self.approval
    }

    /// Without what only the present can be asked.
    #[must_use]
    pub(crate) fn without_probes(mut self) -> Self {
        self.gates.retain(|gate| gate.kind() != CheckKind::Probe);
        self
    }

    /// All numbers that are read: those that are compared, and those that have limits.
    pub(crate) fn sampled(&self) -> Vec<MetricCheck> {
        self.metrics.iter().cloned().chain(self.gates.iter().filter_map(Gate::sampled)).collect()
    }

    /// The part of the false-alarm budget that the comparison of a number has.
    pub(crate) fn metric_weight(&self, check: &MetricCheck) -> f64 {
        self.part(check.weight)
    }

    /// The part of the false-alarm budget that a limit has.
    pub(crate) fn gate_weight(&self, gate: &Gate) -> f64 {
        self.part(gate.weight)
    }

    fn part(&self, weight: f64) -> f64 {
        let total = self.total_weight();
        if total > 0.0 { weight / total } else { 0.0 }
    }

    fn total_weight(&self) -> f64 {
        let others = self.metrics.iter().map(|check| check.weight).chain(self.gates.iter().map(|gate| gate.weight));
        self.checks.iter().map(|check| check.weight).chain(others).sum()
    }
}

#[cfg(test)]
mod tests;
