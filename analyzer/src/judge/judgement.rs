//! What a judgement is. These types cannot say less than the truth: no rollback without a regression, no promotion without a
//! proof for each required check, no doubt without its reason.

use std::sync::Arc;
use std::time::Duration;

use crate::policy::{CheckKind, Policy};
use crate::stats::effect::{LEVEL, RatioInterval};

/// What the evidence says under a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What to do.
    pub decision: Decision,
    /// `ln` of the evidence for a rollback, all checks together.
    pub ln_risk: f64,
    /// `ln` of the evidence for a promotion: that of the least sure required check.
    pub ln_promotion: f64,
    /// Of 100, where Kayenta judges.
    pub score: Option<f64>,
    /// One for each thing that was compared, in the order of the policy.
    pub comparisons: Vec<Comparison>,
    /// The scores of groups of checks, by name; empty where Kayenta judges.
    pub groups: Vec<GroupScore>,
    /// Where the harm is, the worst first.
    pub culprits: Vec<Culprit>,
    /// What the canary does differently, the surest first.
    pub changes: Vec<Change>,
    /// What was seen of the baseline, in the windows that count as its side.
    pub baseline: CohortTotals,
    /// What was seen of the canary.
    pub canary: CohortTotals,
}

/// What to do with the rollout.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Every required check showed that the canary is not worse.
    Promote {
        /// One for each required comparison.
        proofs: NonEmpty<Proof>,
    },
    /// The canary is worse.
    Rollback {
        /// The comparison with the strongest evidence.
        worst: Regression,
        /// Others with evidence of their own.
        others: Vec<Regression>,
    },
    /// Undecided, still collecting.
    Continue {
        /// What stands in the way of a promotion.
        doubts: NonEmpty<Doubt>,
        /// When a decision is expected, if the rates stay as they are.
        eta: Option<Duration>,
    },
    /// The time is over.
    Inconclusive {
        /// What stands in the way of a decision.
        because: NonEmpty<Doubt>,
    },
}

/// At least one.
#[derive(Debug, Clone, PartialEq)]
pub struct NonEmpty<T> {
    /// The first.
    pub first: T,
    /// The others.
    pub rest: Vec<T>,
}

impl<T> NonEmpty<T> {
    /// From a list, `None` if it is empty.
    pub fn try_new(items: Vec<T>) -> Option<Self> {
        let mut items = items.into_iter();
        items.next().map(|first| Self { first, rest: items.collect() })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// A comparison that speaks for a rollback.
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    /// Its name, such as `latency_p99`.
    pub comparison: String,
    /// `ln` of its evidence.
    pub ln_e: f64,
    /// One sentence with numbers.
    pub reason: String,
}

/// A comparison that speaks for a promotion.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// Its name.
    pub comparison: String,
    /// `ln` of its evidence.
    pub ln_e: f64,
    /// One sentence with numbers.
    pub reason: String,
}

/// What stands in the way of a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Doubt {
    /// A cohort has no requests in the windows that count.
    NoData {
        /// `baseline` or `canary`.
        cohort: &'static str,
    },
    /// Cells that contradict themselves were left out.
    BrokenData {
        /// How many.
        cells: u64,
    },
    /// A cohort has fewer requests than the policy asks for.
    FewRequests {
        /// `baseline` or `canary`.
        cohort: &'static str,
        /// What it has.
        requests: u64,
        /// What it needs.
        needed: u64,
    },
    /// Who gets which request is not what was configured.
    Misrouted {
        /// What was seen.
        reason: String,
    },
    /// The judge decides at the end only.
    Scheduled {
        /// What it says so far.
        seen: Option<String>,
        /// How much longer.
        left: Duration,
    },
    /// Too early for a promotion.
    TooEarly {
        /// How much longer.
        left: Duration,
    },
    /// No requests came lately.
    Silent {
        /// Since when.
        since: Duration,
    },
    /// Much of the canary's traffic has nothing to be compared with.
    Uncovered {
        /// The part that was compared, 0 to 1.
        covered: f64,
    },
    /// The evidence for a rollback is not enough, but too strong for a promotion.
    Suspicious {
        /// The comparison.
        comparison: String,
        /// What it says.
        reason: String,
    },
    /// A required comparison has not shown enough yet.
    Unproven {
        /// The comparison.
        comparison: String,
        /// What it says.
        reason: String,
    },
    /// The canary's traffic fell.
    Throughput {
        /// What was seen.
        reason: String,
    },
    /// A group of checks has not the score that a promotion asks of it.
    Group {
        /// Which.
        name: String,
        /// What it has; `None` while nothing is known.
        score: Option<f64>,
        /// What it needs.
        needed: f64,
    },
    /// A limit is passed, or it is not known whether it is kept.
    Gate {
        /// What was seen.
        reason: String,
    },
}

/// What was seen of one cohort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CohortTotals {
    /// Requests.
    pub requests: u64,
    /// Instances.
    pub instances: u64,
}

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The check it belongs to.
    pub kind: CheckKind,
    /// Its name: the check's, with the quantile for latency.
    pub name: String,
    /// What came of it.
    pub finding: Finding,
    /// Whether a promotion needs its proof.
    pub required: bool,
    /// Its part of the false-alarm budget.
    pub weight: f64,
    /// The baseline's side.
    pub baseline: Side,
    /// The canary's side.
    pub canary: Side,
    /// The ratio of the two; `None` when nothing can be said.
    pub effect: Option<Effect>,
    /// The rollback margin as a share of the baseline's value.
    pub relative: f64,
    /// The rollback margin as a difference, where there is one.
    pub absolute: Option<f64>,
    /// `ln` of the evidence for a rollback.
    pub ln_e: f64,
    /// Whether it demands a rollback by itself: a limit that was passed.
    pub broken: bool,
    /// `ln` of the evidence for a promotion.
    pub ln_promote: f64,
    /// The noise that was allowed for.
    pub noise: Option<MeasuredNoise>,
    /// What this traffic can show.
    pub detectable: Option<Detectable>,
    /// Where in the canary it shows, if that was looked at.
    pub affected: Option<Affected>,
    /// One sentence with numbers.
    pub reason: String,
}

impl Comparison {
    /// One that nothing is known of yet, and that has no part in the decision.
    pub(crate) fn new(kind: CheckKind, name: String) -> Self {
        Self {
            kind,
            name,
            finding: Finding::NoData,
            required: false,
            weight: 0.0,
            baseline: Side::default(),
            canary: Side::default(),
            effect: None,
            relative: 0.0,
            absolute: None,
            ln_e: 0.0,
            broken: false,
            ln_promote: 0.0,
            noise: None,
            detectable: None,
            affected: None,
            reason: String::new(),
        }
    }

    /// One of a check of the policy, with its part of the budget.
    pub(crate) fn of_check(policy: &Policy, kind: CheckKind) -> Self {
        let required = policy.check(kind).is_some_and(|check| check.required);
        Self { required, weight: policy.weight(kind), ..Self::new(kind, kind.name().to_owned()) }
    }
}

/// How well a group of checks goes.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupScore {
    /// Its name.
    pub name: String,
    /// 0, all of it regressed, to 100, all of it surely not worse; `None` while nothing is known.
    pub score: Option<f64>,
    /// What a promotion asks for.
    pub needed: Option<f64>,
    /// Its part of the false-alarm budget.
    pub weight: f64,
    /// The comparisons in it.
    pub comparisons: Vec<String>,
}

/// How many of the canary's instances do worse than the margin allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affected {
    /// So many do,
    pub instances: usize,
    /// of so many that served.
    pub of: usize,
}

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Worse than the rollback margin.
    Regressed,
    /// Not worse than the promotion margin.
    NotWorse,
    /// Neither is shown.
    Undecided,
    /// Nothing to compare.
    NoData,
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Side {
    /// The rate, the quantile in seconds, or the share.
    pub value: Option<f64>,
    /// Events.
    pub events: f64,
    /// Requests.
    pub requests: f64,
}

/// How much the canary's value is of the baseline's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// What the ratio is of.
    pub measure: EffectMeasure,
    /// The most likely ratio; infinite when the baseline's value is zero.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end, perhaps infinite.
    pub high: f64,
    /// Confidence level of the interval.
    pub level: f64,
}

impl Effect {
    pub(crate) fn new(measure: EffectMeasure, ratio: RatioInterval) -> Self {
        Self { measure, estimate: ratio.estimate, low: ratio.low, high: ratio.high, level: LEVEL }
    }
}

/// What a ratio is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectMeasure {
    /// Rates of events.
    Rate,
    /// Quantiles of a duration.
    Quantile,
    /// Shares of the traffic.
    Share,
    /// Means of a number.
    Mean,
}

/// The noise that a comparison allowed for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredNoise {
    /// Burstiness.
    pub phi: f64,
    /// Standard deviation of the log ratio between two cohorts of one version.
    pub tau: f64,
    /// Where `tau` comes from.
    pub source: NoiseSource,
}

/// Where the noise between cohorts was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseSource {
    /// Assumed.
    Prior,
    /// The baseline's instances.
    Instances,
    /// The baseline's past.
    History,
}

/// What the traffic can show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detectable {
    /// The smallest ratio that would have led to a rollback by now.
    pub ratio: Option<f64>,
    /// When a decision is expected.
    pub eta: Option<Duration>,
}

/// Where the harm is.
#[derive(Debug, Clone, PartialEq)]
pub struct Culprit {
    /// What it is.
    pub kind: CulpritKind,
    /// The operation, the instance, or the fingerprint.
    pub name: Arc<str>,
    /// The comparison in which it shows.
    pub comparison: String,
    /// `ln` of the evidence against it.
    pub ln_e: f64,
    /// Events beyond what the baseline's rate would give.
    pub excess: f64,
    /// Its part of all excess events, 0 to 1.
    pub share: f64,
    /// The distinct error behind it, if one is known.
    pub error: Option<NamedError>,
    /// Traces to look at.
    pub traces: Vec<Arc<str>>,
    /// One sentence with numbers.
    pub reason: String,
}

/// What a culprit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CulpritKind {
    /// One operation.
    Operation,
    /// One instance, while the others are well.
    Instance,
    /// One distinct error.
    Error,
}

/// What the canary does differently: in itself no harm.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// In what way.
    pub kind: ChangeKind,
    /// What is called; empty for internal spans.
    pub name: Arc<str>,
    /// Its span kind.
    pub span_kind: Arc<str>,
    /// The baseline's calls, or failed calls, for each request.
    pub baseline: f64,
    /// The canary's.
    pub canary: f64,
    /// `ln` of the evidence that they differ.
    pub ln_e: f64,
    /// One sentence with numbers.
    pub reason: String,
}

/// In what way calls differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The baseline never makes it.
    NewCall,
    /// The canary never makes it.
    MissingCall,
    /// The canary makes it more often.
    MoreCalls,
    /// The canary makes it less often.
    FewerCalls,
    /// It fails more often in the canary.
    FailingCalls,
}

/// A distinct error, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedError {
    /// Its type.
    pub error_type: Arc<str>,
    /// Its message, with what varies replaced.
    pub message: Arc<str>,
}
