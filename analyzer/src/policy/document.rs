//! A policy as a verdict shows it: every value that was in force, under the names that overrides use.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CheckKind, CheckPolicy, Gate, GroupOverride, JudgeName, JudgeRule, Limit, MetricCheck, MetricSource, Policy};
use crate::kayenta::Direction;

/// The policy in force, written out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PolicyDocument {
    /// Chance of a false rollback over the whole rollout and all checks.
    pub alpha: f64,
    /// Chance of a false promotion, per check.
    pub beta: f64,
    /// Errors may grow by this share before a rollback.
    pub error_relative: f64,
    /// Errors may grow by this much of all requests before a rollback.
    pub error_absolute: f64,
    /// A promotion shows that errors grew by less than this share.
    pub promote_error_relative: f64,
    /// … or by less than this much of all requests.
    pub promote_error_absolute: f64,
    /// Latency may grow by this share before a rollback.
    pub latency_relative: f64,
    /// A promotion shows that latency grew by less than this share.
    pub promote_latency_relative: f64,
    /// Errors logged for as many requests may grow by this share before a rollback.
    pub log_error_relative: f64,
    /// The quantiles of latency that are compared.
    pub latency_quantiles: Vec<f64>,
    /// The canary's traffic may change by this share before it blocks a promotion.
    pub throughput_tolerance: f64,
    /// No promotion before this many seconds.
    pub min_duration_seconds: u64,
    /// What is undecided after this many seconds ends inconclusive.
    pub max_duration_seconds: u64,
    /// No promotion with fewer requests in either cohort.
    pub min_requests: u64,
    /// The canary's share of the traffic that is configured; absent where none is.
    pub canary_share: Option<f64>,
    /// Who judges: `default` or `kayenta`.
    pub judge: JudgeName,
    /// How Kayenta's judge is asked; absent where ours is.
    pub kayenta: Option<KayentaDocument>,
    /// The checks that are made.
    pub checks: Vec<CheckDocument>,
    /// The numbers that are compared beside them.
    pub metrics: Vec<MetricDocument>,
    /// The limits that hold whatever the baseline does.
    pub gates: Vec<GateDocument>,
    /// What a promotion asks of groups of checks.
    pub groups: BTreeMap<String, GroupOverride>,
    /// Whether a person has to agree before a promotion.
    pub approval: bool,
}

/// A limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GateDocument {
    /// Its name in verdicts.
    pub name: String,
    /// `slo`, `resource`, `probe` or `min_traffic`.
    pub kind: String,
    /// What is held to the limit: `error_rate`, `latency_p95`, a metric, an address, `requests_per_second`.
    pub of: String,
    /// The limit: at most, of `min_traffic` at least; the status of a probe.
    pub limit: f64,
    /// Whether passing it demands a rollback; else it only holds a promotion.
    pub critical: bool,
    /// Its part of the false-alarm budget.
    pub weight: f64,
    /// Whose score it counts for.
    pub group: String,
}

/// How Kayenta's judge is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct KayentaDocument {
    /// How often, in seconds.
    pub interval_seconds: u64,
    /// A score of this or more at the end promotes.
    pub pass: f64,
    /// One of this or less at any look rolls back.
    pub marginal: f64,
}

/// A number that is compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MetricDocument {
    /// Its name in verdicts.
    pub name: String,
    /// The OTLP metric, if it is one.
    pub metric: Option<String>,
    /// What its data points have to say.
    pub attributes: BTreeMap<String, String>,
    /// The query, if it is one.
    pub sql: Option<String>,
    /// Which change is bad.
    pub direction: Direction,
    /// It may change by this share of the baseline's value before a rollback,
    pub relative: f64,
    /// or by this much.
    pub absolute: f64,
    /// Whether a promotion needs its proof.
    pub required: bool,
    /// Its part of the false-alarm budget.
    pub weight: f64,
    /// Of its values.
    pub unit: String,
    /// Whose score it counts for.
    pub group: String,
}

/// A check in a policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CheckDocument {
    /// `error_rate`, `latency`, `throughput`, `new_errors`, `log_errors`, `calls` or `sample_ratio`.
    pub name: String,
    /// Whether a promotion needs its proof.
    pub required: bool,
    /// Its part of the false-alarm budget; the parts add up to one.
    pub weight: f64,
    /// Whose score it counts for.
    pub group: String,
}

impl From<&Policy> for PolicyDocument {
    fn from(policy: &Policy) -> Self {
        Self {
            alpha: policy.alpha,
            beta: policy.beta,
            error_relative: policy.error_rollback.relative,
            error_absolute: policy.error_rollback.absolute,
            promote_error_relative: policy.error_promote.relative,
            promote_error_absolute: policy.error_promote.absolute,
            latency_relative: policy.latency_rollback,
            promote_latency_relative: policy.latency_promote,
            log_error_relative: policy.log_error_rollback,
            latency_quantiles: policy.quantiles.clone(),
            throughput_tolerance: policy.throughput_tolerance,
            min_duration_seconds: policy.min_duration.as_secs(),
            max_duration_seconds: policy.max_duration.as_secs(),
            min_requests: policy.min_requests,
            canary_share: policy.canary_share,
            judge: match policy.judge {
                JudgeRule::Default => JudgeName::Default,
                JudgeRule::Kayenta(_) => JudgeName::Kayenta,
            },
            kayenta: match policy.judge {
                JudgeRule::Default => None,
                JudgeRule::Kayenta(rule) => {
                    let interval_seconds = rule.interval.as_secs();
                    Some(KayentaDocument { interval_seconds, pass: rule.pass, marginal: rule.marginal })
                }
            },
            checks: policy.checks.iter().map(|check| CheckDocument::new(check, policy)).collect(),
            metrics: policy.metrics.iter().map(|check| MetricDocument::new(check, policy)).collect(),
            gates: policy.gates.iter().map(|gate| GateDocument::new(gate, policy)).collect(),
            groups: policy.groups.all_needed(),
            approval: policy.approval,
        }
    }
}

impl CheckDocument {
    fn new(check: &CheckPolicy, policy: &Policy) -> Self {
        let (name, group) = (check.kind.name().to_owned(), policy.groups.group(check.kind, check.kind.name()).to_owned());
        Self { name, required: check.required, weight: policy.weight(check.kind), group }
    }
}

impl GateDocument {
    fn new(gate: &Gate, policy: &Policy) -> Self {
        let (of, limit) = match &gate.limit {
            Limit::ErrorRate { max } => ("error_rate".to_owned(), *max),
            Limit::Latency { quantile, max_seconds } => (format!("latency_p{}", (quantile * 1e4).round() / 100.0), *max_seconds),
            Limit::Resource { metric, max, .. } => (metric.clone(), *max),
            Limit::Probe { url, status, .. } => (url.clone(), f64::from(*status)),
            Limit::Traffic { min_per_second } => ("requests_per_second".to_owned(), *min_per_second),
        };
        let (name, kind, weight) = (gate.name.clone(), gate.kind().name().to_owned(), policy.gate_weight(gate));
        let group = policy.groups.group(gate.kind(), &gate.name).to_owned();
        Self { name, kind, of, limit, critical: gate.critical, weight, group }
    }
}

impl MetricDocument {
    fn new(check: &MetricCheck, policy: &Policy) -> Self {
        let (metric, attributes, sql) = match &check.source {
            MetricSource::Metric { metric, attributes } => (Some(metric.clone()), attributes.clone(), None),
            MetricSource::Sql(sql) => (None, BTreeMap::new(), Some(sql.clone())),
        };
        Self {
            name: check.name.clone(),
            metric,
            attributes,
            sql,
            direction: check.direction,
            relative: check.relative,
            absolute: check.absolute,
            required: check.required,
            weight: policy.metric_weight(check),
            unit: check.unit.clone(),
            group: policy.groups.group(CheckKind::Metric, &check.name).to_owned(),
        }
    }
}
