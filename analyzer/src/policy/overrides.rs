//! What a rollout changes of the default policy, checked as a whole: every mistake is reported, not only the first.

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_store::{Classified, Fault};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CheckKind, CheckPolicy, GateOverride, GroupOverride, JudgeRule, KayentaRule, MetricCheckOverride, Policy};

/// Most requests that a policy may wait for.
const REQUESTS_MAX: u64 = 1_000_000_000_000;

/// What a rollout asks to be different from the default policy. Whatever is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyOverrides {
    /// Chance of a false rollback over the whole rollout, more than 0 and at most 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1e-9, maximum = 0.5)]
    pub alpha: Option<f64>,
    /// Chance of a false promotion, per check, more than 0 and at most 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1e-9, maximum = 0.5)]
    pub beta: Option<f64>,
    /// Errors may grow by this share before a rollback; 0.25 is 25 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub error_relative: Option<f64>,
    /// Errors may grow by this much of all requests before a rollback; 0.0005 is 0.05 percentage points.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub error_absolute: Option<f64>,
    /// Latency may grow by this share before a rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub latency_relative: Option<f64>,
    /// Errors logged for as many requests may grow by this share before a rollback; 1 is twice as many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub log_error_relative: Option<f64>,
    /// A promotion shows that errors grew by less than this share.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.01, maximum = 100)]
    pub promote_error_relative: Option<f64>,
    /// … or by less than this much of all requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub promote_error_absolute: Option<f64>,
    /// A promotion shows that latency grew by less than this share.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.01, maximum = 100)]
    pub promote_latency_relative: Option<f64>,
    /// No promotion before this many seconds, at most 90 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 7_776_000)]
    pub min_duration_seconds: Option<u64>,
    /// What is undecided after this many seconds ends inconclusive; at most 90 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 7_776_000)]
    pub max_duration_seconds: Option<u64>,
    /// No promotion with fewer requests in either cohort.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_000_000_000_000_u64)]
    pub min_requests: Option<u64>,
    /// The canary's share of the traffic that the router is configured for, more than 0 and less than 1: where the canary surely gets another one, nothing is
    /// promoted or rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.001, maximum = 0.999)]
    pub canary_share: Option<f64>,
    /// Who judges; ours if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeName>,
    /// How Kayenta's judge is asked; only with `judge: kayenta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kayenta: Option<KayentaOverrides>,
    /// The checks to make, instead of all: no others are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<CheckOverride>>,
    /// Plain numbers to compare beside them: OTLP metrics, or what SQL finds; at most 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 20)]
    pub metrics: Option<Vec<MetricCheckOverride>>,
    /// Limits that hold whatever the baseline does; at most 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 20)]
    pub gates: Option<Vec<GateOverride>>,
    /// What a promotion asks of groups of checks, by the group's name: `errors`, `latency`, `traffic`, `calls`, `metrics`, `limits`, or one that a check
    /// says it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<BTreeMap<String, GroupOverride>>,
    /// Whether a person has to agree before a promotion, with `POST /v1/rollouts/{id}/approve`; `false` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<bool>,
}

impl PolicyOverrides {
    /// These, and what others say where these say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            alpha: self.alpha.or(below.alpha),
            beta: self.beta.or(below.beta),
            error_relative: self.error_relative.or(below.error_relative),
            error_absolute: self.error_absolute.or(below.error_absolute),
            latency_relative: self.latency_relative.or(below.latency_relative),
            log_error_relative: self.log_error_relative.or(below.log_error_relative),
            promote_error_relative: self.promote_error_relative.or(below.promote_error_relative),
            promote_error_absolute: self.promote_error_absolute.or(below.promote_error_absolute),
            promote_latency_relative: self.promote_latency_relative.or(below.promote_latency_relative),
            min_duration_seconds: self.min_duration_seconds.or(below.min_duration_seconds),
            max_duration_seconds: self.max_duration_seconds.or(below.max_duration_seconds),
            min_requests: self.min_requests.or(below.min_requests),
            canary_share: self.canary_share.or(below.canary_share),
            judge: self.judge.or(below.judge),
            kayenta: self.kayenta.or(below.kayenta),
            checks: self.checks.or(below.checks),
            metrics: self.metrics.or(below.metrics),
            gates: self.gates.or(below.gates),
            groups: self.groups.or(below.groups),
            // Who asks for a person is not overruled by who does not.
            approval: if below.approval == Some(true) { below.approval } else { self.approval.or(below.approval) },
        }
    }
}

impl PolicyOverrides {
    /// Whether a rollout with these others is held to all that these say.
    pub fn are_in_force_with(&self, others: &Self) -> bool {
        let policy = |overrides: &Self| Policy::default().with(overrides);
        matches!((policy(&self.clone().over(others.clone())), policy(others)), (Ok(asked), Ok(in_force)) if asked == in_force)
    }
}

/// Who judges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgeName {
    /// Ours: error rates are stated, and it may be asked at any time.
    #[default]
    Default,
    /// Kayenta's, computed as Kayenta computes it.
    Kayenta,
}

/// How Kayenta's judge is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KayentaOverrides {
    /// How often, in seconds: 60 or more, 300 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 60, maximum = 86_400)]
    pub interval_seconds: Option<u64>,
    /// A score of this or more at the end promotes; 75 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub pass: Option<f64>,
    /// One of this or less at any look rolls back; 50 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub marginal: Option<f64>,
}

/// A check to make.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckOverride {
    /// `error_rate`, `latency`, `throughput`, `new_errors`, `log_errors`, `calls` or `sample_ratio`.
    #[schema(pattern = "^(error_rate|latency|throughput|new_errors|log_errors|calls|sample_ratio)$")]
    pub name: String,
    /// Whether a promotion needs its proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Its part of the false-alarm budget, relative to the others; 0 to be told only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1000)]
    pub weight: Option<f64>,
    /// Whose score it counts for; by its kind if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub group: Option<String>,
}

/// What is wrong with the overrides: all of it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the policy has {} mistake(s): {}", .mistakes.len(), list(.mistakes))]
pub struct PolicyError {
    /// Never empty.
    pub mistakes: Vec<PolicyMistake>,
}

/// One mistake in a policy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyMistake {
    /// A number outside its range.
    #[error("{field} is {value}, it has to lie between {low} and {high}")]
    Range {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: f64,
        /// The least that is accepted.
        low: f64,
        /// The most that is accepted.
        high: f64,
    },
    /// A number outside its range, of a metric, a gate or a group.
    #[error("{list}: {name}: {field} is {value}, it has to lie between {low} and {high}")]
    ItemRange {
        /// `metrics`, `gates` or `groups`.
        list: &'static str,
        /// The name it has.
        name: String,
        /// Which field.
        field: &'static str,
        /// What was given.
        value: f64,
        /// The least that is accepted.
        low: f64,
        /// The most that is accepted.
        high: f64,
    },
    /// A promotion margin below the rollback margin: such a version would be promoted and rolled back.
    #[error("{promote} is {promote_value} but {rollback} is {rollback_value}: promotion may not be stricter than rollback")]
    Crossed {
        /// The promotion margin.
        promote: &'static str,
        /// Its value.
        promote_value: f64,
        /// The rollback margin.
        rollback: &'static str,
        /// Its value.
        rollback_value: f64,
    },
    /// What Kayenta's judge does not look at.
    #[error("{field} is given, but judge is kayenta, which does not look at it")]
    NotKayentas {
        /// Which.
        field: &'static str,
    },
    /// Settings for a judge that was not asked for.
    #[error("kayenta is given, but judge is not kayenta")]
    OtherJudge,
    /// The end comes before the earliest promotion.
    #[error("max_duration_seconds is {max}, less than min_duration_seconds, {min}")]
    Durations {
        /// Seconds before which nothing is promoted.
        min: u64,
        /// Seconds after which the rollout ends.
        max: u64,
    },
    /// There is no such check.
    #[error(
        "there is no check {name:?}: take error_rate, latency, throughput, new_errors, log_errors, calls or sample_ratio; plain numbers go under metrics"
    )]
    UnknownCheck {
        /// What was given.
        name: String,
    },
    /// A number that cannot be compared like that.
    #[error("metrics: {name}: {wrong}")]
    Metric {
        /// The name it has.
        name: String,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// A limit that cannot be kept like that.
    #[error("gates: {name}: {wrong}")]
    Gate {
        /// The name it has.
        name: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// A group that cannot be asked for like that.
    #[error("groups: {name}: {wrong}")]
    Group {
        /// Its name.
        name: String,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// Named twice.
    #[error("the check {name} is listed twice")]
    RepeatedCheck {
        /// Which.
        name: &'static str,
    },
    /// Without a required check anything would be promoted; without a weight nothing could be rolled back.
    #[error("of the checks, error_rate or latency has to be required and at least one has to have a weight above zero")]
    NothingDecides,
}

impl PolicyError {
    /// Whether a field is wrong by itself, whatever the others say.
    pub(crate) fn is_of_form(&self) -> bool {
        self.mistakes.iter().any(|mistake| {
            matches!(mistake, PolicyMistake::Range { .. } | PolicyMistake::ItemRange { .. } | PolicyMistake::UnknownCheck { .. })
        })
    }
}

impl Classified for PolicyError {
    fn fault(&self) -> Fault {
        Fault::Invalid
    }
}

fn list(mistakes: &[PolicyMistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Tells numbers of a metric, a gate or a group that lie outside their ranges: field, what was given, the least and the most.
pub(super) fn check_ranges(
    (list, name): (&'static str, &str),
    fields: &[(&'static str, Option<f64>, f64, f64)],
    mistakes: &mut Vec<PolicyMistake>,
) {
    for &(field, value, low, high) in fields {
        if let Some(value) = value.filter(|value| !(low..=high).contains(value)) {
            mistakes.push(PolicyMistake::ItemRange { list, name: name.to_owned(), field, value, low, high });
        }
    }
}

/// That a list is too long.
pub(super) fn too_many(field: &'static str, count: usize, most: usize) -> PolicyMistake {
    PolicyMistake::Range { field, value: count as f64, low: 0.0, high: most as f64 }
}

impl Policy {
    /// Longest that a rollout, or a stage of it, may be watched.
    pub(crate) const DURATION_MAX: Duration = Duration::from_secs(90 * 86_400);

    /// This policy with what the overrides change.
    ///
    /// # Errors
    /// Lists every mistake: numbers out of range, margins that cross, unknown or repeated checks.
    pub fn with(mut self, overrides: &PolicyOverrides) -> Result<Self, PolicyError> {
        let mut mistakes = Vec::new();
        self.apply_numbers(overrides, &mut mistakes);
        if let Some(checks) = &overrides.checks {
            self.checks = checks_of(checks, &mut mistakes);
        }
        if self.canary_share.is_some() && self.check(CheckKind::SampleRatio).is_none() {
            self.checks.push(CheckKind::SampleRatio.default_policy());
        }
        if let Some(metrics) = &overrides.metrics {
            self.metrics = super::metrics::checks_of(metrics, &mut mistakes);
        }
        if let Some(gates) = &overrides.gates {
            let taken: Vec<&str> = self.metrics.iter().map(|check| check.name.as_str()).collect();
            self.gates = super::gates::gates_of(gates, &taken, &mut mistakes);
        }
        self.groups = super::groups::groups_of(&self, overrides, &mut mistakes);
        self.approval = overrides.approval.unwrap_or(self.approval);
        self.find_contradictions(&mut mistakes);
        if mistakes.is_empty() { Ok(self) } else { Err(PolicyError { mistakes }) }
    }

    fn apply_numbers(&mut self, overrides: &PolicyOverrides, mistakes: &mut Vec<PolicyMistake>) {
        let mut set = |target: &mut f64, field, given: Option<f64>, low: f64, high: f64| match given {
            Some(value) if (low..=high).contains(&value) => *target = value,
            Some(value) => mistakes.push(PolicyMistake::Range { field, value, low, high }),
            None => {}
        };
        set(&mut self.alpha, "alpha", overrides.alpha, 1e-9, 0.5);
        set(&mut self.beta, "beta", overrides.beta, 1e-9, 0.5);
        set(&mut self.error_rollback.relative, "error_relative", overrides.error_relative, 0.0, 100.0);
        set(&mut self.error_rollback.absolute, "error_absolute", overrides.error_absolute, 0.0, 1.0);
        set(&mut self.log_error_rollback, "log_error_relative", overrides.log_error_relative, 0.0, 100.0);
        set(&mut self.latency_rollback, "latency_relative", overrides.latency_relative, 0.0, 100.0);
        set(&mut self.error_promote.relative, "promote_error_relative", overrides.promote_error_relative, 0.01, 100.0);
        set(&mut self.error_promote.absolute, "promote_error_absolute", overrides.promote_error_absolute, 0.0, 1.0);
        set(&mut self.latency_promote, "promote_latency_relative", overrides.promote_latency_relative, 0.01, 100.0);
        if let Some(share) = overrides.canary_share {
            let mut kept = 0.5;
            set(&mut kept, "canary_share", Some(share), 0.001, 0.999);
            self.canary_share = Some(kept);
        }
        if overrides.judge == Some(JudgeName::Kayenta) {
            let (mut rule, given) = (KayentaRule::default(), overrides.kayenta.clone().unwrap_or_default());
            let mut seconds = rule.interval.as_secs_f64();
            set(&mut rule.pass, "kayenta.pass", given.pass, 0.0, 100.0);
            set(&mut rule.marginal, "kayenta.marginal", given.marginal, 0.0, 100.0);
            set(&mut seconds, "kayenta.interval_seconds", given.interval_seconds.map(|seconds| seconds as f64), 60.0, 86_400.0);
            rule.interval = Duration::from_secs_f64(seconds);
            self.judge = JudgeRule::Kayenta(rule);
            let unused = [
                ("checks", overrides.checks.is_some()),
                ("metrics", overrides.metrics.is_some()),
                ("canary_share", overrides.canary_share.is_some()),
                ("gates", overrides.gates.is_some()),
                ("groups", overrides.groups.is_some()),
            ];
            let unused = unused.into_iter().filter(|(_, given)| *given);
            mistakes.extend(unused.map(|(field, _)| PolicyMistake::NotKayentas { field }));
        } else if overrides.kayenta.is_some() {
            mistakes.push(PolicyMistake::OtherJudge);
        }
        let mut whole = |target: &mut u64, field, given: Option<u64>, low: u64, high: u64| match given {
            Some(value) if (low..=high).contains(&value) => *target = value,
            Some(value) => mistakes.push(PolicyMistake::Range { field, value: value as f64, low: low as f64, high: high as f64 }),
            None => {}
        };
        let (mut least, mut most) = (self.min_duration.as_secs(), self.max_duration.as_secs());
        whole(&mut least, "min_duration_seconds", overrides.min_duration_seconds, 0, Self::DURATION_MAX.as_secs());
        whole(&mut most, "max_duration_seconds", overrides.max_duration_seconds, 1, Self::DURATION_MAX.as_secs());
        // What is left out gives way to what is said.
        match (overrides.min_duration_seconds, overrides.max_duration_seconds) {
            (None, Some(_)) => least = least.min(most),
            (Some(_), None) => most = most.max(least),
            (Some(_), Some(_)) | (None, None) => {}
        }
        (self.min_duration, self.max_duration) = (Duration::from_secs(least), Duration::from_secs(most));
        whole(&mut self.min_requests, "min_requests", overrides.min_requests, 0, REQUESTS_MAX);
        self.min_requests = self.min_requests.max(1);
    }

    fn find_contradictions(&self, mistakes: &mut Vec<PolicyMistake>) {
        let pairs = [
            ("promote_error_relative", self.error_promote.relative, "error_relative", self.error_rollback.relative),
            ("promote_error_absolute", self.error_promote.absolute, "error_absolute", self.error_rollback.absolute),
            ("promote_latency_relative", self.latency_promote, "latency_relative", self.latency_rollback),
        ];
        for (promote, promote_value, rollback, rollback_value) in pairs {
            if promote_value < rollback_value {
                mistakes.push(PolicyMistake::Crossed { promote, promote_value, rollback, rollback_value });
            }
        }
        if let JudgeRule::Kayenta(rule) = self.judge
            && rule.pass < rule.marginal
        {
            let (promote, rollback) = ("kayenta.pass", "kayenta.marginal");
            mistakes.push(PolicyMistake::Crossed { promote, promote_value: rule.pass, rollback, rollback_value: rule.marginal });
        }
        let (min, max) = (self.min_duration.as_secs(), self.max_duration.as_secs());
        if max < min {
            mistakes.push(PolicyMistake::Durations { min, max });
        }
        let proves = |check: &CheckPolicy| check.required && matches!(check.kind, CheckKind::ErrorRate | CheckKind::Latency);
        let weighs = |check: &CheckPolicy| check.weight > 0.0;
        if !self.checks.iter().any(proves) || !self.checks.iter().any(weighs) {
            mistakes.push(PolicyMistake::NothingDecides);
        }
    }
}

fn checks_of(given: &[CheckOverride], mistakes: &mut Vec<PolicyMistake>) -> Vec<CheckPolicy> {
    let mut checks: Vec<CheckPolicy> = Vec::new();
    for check in given {
        let Some(kind) = CheckKind::parse(&check.name) else {
            mistakes.push(PolicyMistake::UnknownCheck { name: check.name.clone() });
            continue;
        };
        if checks.iter().any(|known| known.kind == kind) {
            mistakes.push(PolicyMistake::RepeatedCheck { name: kind.name() });
            continue;
        }
        let default = kind.default_policy();
        let weight = check.weight.unwrap_or(default.weight);
        if !(0.0..=1000.0).contains(&weight) {
            mistakes.push(PolicyMistake::Range { field: "checks.weight", value: weight, low: 0.0, high: 1000.0 });
        }
        if kind == CheckKind::SampleRatio && weight > 0.0 {
            mistakes.push(PolicyMistake::Range {
                field: "weight of sample_ratio, which rolls nothing back,",
                value: weight,
                low: 0.0,
                high: 0.0,
            });
        }
        checks.push(CheckPolicy { kind, required: check.required.unwrap_or(default.required), weight });
    }
    checks.sort_by_key(|check| check.kind);
    checks
}
