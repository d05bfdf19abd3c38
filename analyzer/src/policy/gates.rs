//! Limits that hold whatever the baseline does: service levels, resources, a probe, a least traffic.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::metrics::{METRIC_BYTES_MAX, NAME_CHARS_MAX};
use super::overrides::{check_ranges, too_many};
use super::{CheckKind, MetricCheck, MetricSource, PolicyMistake};
use crate::kayenta::Direction;

/// A limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// Its name in verdicts.
    pub name: String,
    /// What may not be passed.
    pub limit: Limit,
    /// Whether passing it demands a rollback; else it only holds a promotion.
    pub critical: bool,
    /// Its part of the false-alarm budget, relative to the other checks' weights.
    pub weight: f64,
}

/// What may not be passed.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// The share of the canary's requests that fail.
    ErrorRate {
        /// At most.
        max: f64,
    },
    /// A quantile of the canary's latency.
    Latency {
        /// Which, such as 0.95.
        quantile: f64,
        /// At most, in seconds.
        max_seconds: f64,
    },
    /// The mean of a metric over the canary's instances, minute by minute.
    Resource {
        /// Its name.
        metric: String,
        /// What its data points have to say.
        attributes: BTreeMap<String, String>,
        /// At most.
        max: f64,
        /// Of its values.
        unit: String,
    },
    /// What an address answers.
    Probe {
        /// Asked with GET.
        url: String,
        /// The status that is right.
        status: u16,
        /// It has failed when so many answers in a row were wrong.
        failures: u32,
    },
    /// The canary's requests a second, over the rollout.
    Traffic {
        /// At least.
        min_per_second: f64,
    },
}

impl Gate {
    /// The kind of its comparison.
    pub(crate) fn kind(&self) -> CheckKind {
        match self.limit {
            Limit::ErrorRate { .. } | Limit::Latency { .. } => CheckKind::Slo,
            Limit::Resource { .. } => CheckKind::Resource,
            Limit::Probe { .. } => CheckKind::Probe,
            Limit::Traffic { .. } => CheckKind::MinTraffic,
        }
    }

    /// The number that it reads, if it reads one.
    pub(crate) fn sampled(&self) -> Option<MetricCheck> {
        let Limit::Resource { metric, attributes, unit, .. } = &self.limit else { return None };
        Some(MetricCheck {
            name: self.name.clone(),
            source: MetricSource::Metric { metric: metric.clone(), attributes: attributes.clone() },
            direction: Direction::Increase,
            relative: 0.0,
            absolute: 0.0,
            required: false,
            weight: 0.0,
            unit: unit.clone(),
        })
    }

    /// Of its values, as UCUM has it.
    pub(crate) fn unit(&self) -> String {
        match &self.limit {
            Limit::ErrorRate { .. } | Limit::Probe { .. } => "1".to_owned(),
            Limit::Latency { .. } => "s".to_owned(),
            Limit::Resource { unit, .. } => unit.clone(),
            Limit::Traffic { .. } => "{request}/s".to_owned(),
        }
    }
}

/// A limit to keep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GateOverride {
    /// `slo` (with `error_rate`, or `latency_seconds`), `resource` (with `metric` and `max`), `probe` (with `url`) or `min_traffic` (with `requests_per_second`).
    pub kind: GateKind,
    /// Its name in verdicts: 1 to 100 characters; made of its kind and limit if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub name: Option<String>,
    /// Of `slo`: at most this share of the canary's requests may fail; 0.01 is 1 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1e-6, maximum = 1)]
    pub error_rate: Option<f64>,
    /// Of `slo`: the quantile of the canary's latency that is held to `latency_seconds`; 0.95 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.01, maximum = 0.9999)]
    pub latency_quantile: Option<f64>,
    /// Of `slo`: the quantile may be at most this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1e-6, maximum = 86_400)]
    pub latency_seconds: Option<f64>,
    /// Of `resource`: name of an OTLP metric, such as `container.cpu.utilization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub metric: Option<String>,
    /// Of `resource`: only data points with these attributes, on the point or its resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Of `resource`: its mean over the canary's instances may be at most this; it is passed after five minutes above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Of `resource`: unit of its values, as UCUM has it; for people only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Of `probe`: an address that is asked with GET at each look. Its host has to be one of `analyzer.probe_hosts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000, pattern = "^https?://")]
    pub url: Option<String>,
    /// Of `probe`: the status that it has to answer; 200 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 599)]
    pub status: Option<u16>,
    /// Of `probe`: after so many wrong answers in a row it has failed; 3 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub failures: Option<u32>,
    /// Of `min_traffic`: the canary has to get at least this, over the rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1e-6, maximum = 1e9)]
    pub requests_per_second: Option<f64>,
    /// Whether passing the limit demands a rollback; else it only holds a promotion. `true` if left out, of `min_traffic` never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical: Option<bool>,
    /// Of `slo`: its part of the false-alarm budget, relative to the checks'; 0.1 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0, maximum = 1000)]
    pub weight: Option<f64>,
    /// Whose score it counts for; `limits`, of `min_traffic` `traffic`, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub group: Option<String>,
}

/// What a limit is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// A service level.
    #[default]
    Slo,
    /// A resource.
    Resource,
    /// What an address answers.
    Probe,
    /// The canary's traffic.
    MinTraffic,
}

const GATES_MAX: usize = 20;
const URL_BYTES_MAX: f64 = 2_000.0;

/// The limits that are asked for, as far as they can be kept. `taken` are the names of the other checks.
pub(super) fn gates_of(given: &[GateOverride], taken: &[&str], mistakes: &mut Vec<PolicyMistake>) -> Vec<Gate> {
    if given.len() > GATES_MAX {
        mistakes.push(too_many("the number of gates", given.len(), GATES_MAX));
        return Vec::new();
    }
    let mut names: BTreeSet<String> = taken.iter().map(|name| (*name).to_owned()).collect();
    given.iter().filter_map(|one| gate_of(one, &mut names, mistakes)).collect()
}

fn gate_of(given: &GateOverride, names: &mut BTreeSet<String>, mistakes: &mut Vec<PolicyMistake>) -> Option<Gate> {
    let mut wrong = Vec::new();
    let limit = limit_of(given, &mut wrong);
    let name = given.name.clone().or_else(|| limit.as_ref().map(default_name)).unwrap_or_else(|| "a gate".to_owned());
    wrong.extend(foreign(given).into_iter().map(|field| format!("{field} does not go with this kind")));
    let is_standard = CheckKind::ALL.iter().any(|kind| name == kind.name()) || name.starts_with("latency_p");
    if name.chars().any(char::is_control) {
        wrong.push("its name has to be on one line".to_owned());
    } else if is_standard || !names.insert(name.clone()) {
        wrong.push("another check has this name".to_owned());
    }
    let holds_only = given.kind == GateKind::MinTraffic;
    if holds_only && given.critical == Some(true) {
        wrong.push("little traffic is no harm: it can hold a promotion, not demand a rollback".to_owned());
    }
    let critical = given.critical.unwrap_or(true) && !holds_only;
    let weight = match given.kind {
        GateKind::Slo if critical => given.weight.unwrap_or(0.1),
        GateKind::Slo | GateKind::Resource | GateKind::Probe | GateKind::MinTraffic => 0.0,
    };
    if critical && given.kind == GateKind::Slo && weight <= 0.0 {
        wrong.push("weight has to be more than 0".to_owned());
    }
    let ranges = [
        ("error_rate", given.error_rate, 1e-6, 1.0),
        ("latency_quantile", given.latency_quantile, 0.01, 0.9999),
        ("latency_seconds", given.latency_seconds, 1e-6, 86_400.0),
        ("max", given.max, -1e300, 1e300),
        ("status", given.status.map(f64::from), 100.0, 599.0),
        ("failures", given.failures.map(f64::from), 1.0, 100.0),
        ("requests_per_second", given.requests_per_second, 1e-6, 1e9),
        ("weight", given.weight, 0.0, 1000.0),
        ("the length of name", given.name.as_ref().map(|name| name.chars().count() as f64), 1.0, NAME_CHARS_MAX),
        ("the length of url", given.url.as_ref().map(|url| url.len() as f64), 0.0, URL_BYTES_MAX),
        ("the length of metric", given.metric.as_ref().map(|metric| metric.len() as f64), 0.0, METRIC_BYTES_MAX),
    ];
    check_ranges(("gates", &name), &ranges, mistakes);
    if wrong.is_empty() {
        return Some(Gate { name, limit: limit?, critical, weight });
    }
    mistakes.extend(wrong.into_iter().map(|wrong| PolicyMistake::Gate { name: name.clone(), wrong }));
    None
}

fn limit_of(given: &GateOverride, wrong: &mut Vec<String>) -> Option<Limit> {
    match given.kind {
        GateKind::Slo => match (given.error_rate, given.latency_seconds) {
            (Some(max), None) => Some(Limit::ErrorRate { max }),
            (None, Some(max_seconds)) => Some(Limit::Latency { quantile: given.latency_quantile.unwrap_or(0.95), max_seconds }),
            (None, None) | (Some(_), Some(_)) => {
                wrong.push("it needs either error_rate or latency_seconds".to_owned());
                None
            }
        },
        GateKind::Resource => match (&given.metric, given.max) {
            (Some(metric), Some(max)) if !metric.is_empty() => Some(Limit::Resource {
                metric: metric.clone(),
                attributes: given.attributes.clone(),
                max,
                unit: given.unit.clone().unwrap_or_default(),
            }),
            _ => {
                wrong.push("it needs metric and max".to_owned());
                None
            }
        },
        GateKind::Probe => {
            let has_scheme = |url: &&String| url.starts_with("http://") || url.starts_with("https://");
            match given.url.as_ref().filter(has_scheme) {
                Some(url) => {
                    Some(Limit::Probe { url: url.clone(), status: given.status.unwrap_or(200), failures: given.failures.unwrap_or(3) })
                }
                None => {
                    wrong.push("it needs a url that begins with http:// or https://".to_owned());
                    None
                }
            }
        }
        GateKind::MinTraffic => {
            if given.requests_per_second.is_none() {
                wrong.push("it needs requests_per_second".to_owned());
            }
            given.requests_per_second.map(|min_per_second| Limit::Traffic { min_per_second })
        }
    }
}

/// Fields of other kinds.
fn foreign(given: &GateOverride) -> Vec<&'static str> {
    use GateKind::{MinTraffic, Probe, Resource, Slo};
    let fields = [
        ("error_rate", given.error_rate.is_some(), Slo),
        ("latency_quantile", given.latency_quantile.is_some(), Slo),
        ("latency_seconds", given.latency_seconds.is_some(), Slo),
        ("weight", given.weight.is_some(), Slo),
        ("metric", given.metric.is_some(), Resource),
        ("attributes", !given.attributes.is_empty(), Resource),
        ("max", given.max.is_some(), Resource),
        ("unit", given.unit.is_some(), Resource),
        ("url", given.url.is_some(), Probe),
        ("status", given.status.is_some(), Probe),
        ("failures", given.failures.is_some(), Probe),
        ("requests_per_second", given.requests_per_second.is_some(), MinTraffic),
    ];
    fields.into_iter().filter(|(_, is_given, kind)| *is_given && *kind != given.kind).map(|(field, ..)| field).collect()
}

fn default_name(limit: &Limit) -> String {
    match limit {
        Limit::ErrorRate { .. } => "slo_error_rate".to_owned(),
        Limit::Latency { quantile, .. } => format!("slo_latency_p{}", (quantile * 1e4).round() / 100.0),
        Limit::Resource { metric, .. } => metric.clone(),
        Limit::Probe { .. } => "probe".to_owned(),
        Limit::Traffic { .. } => "min_traffic".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, PolicyOverrides};

    fn policy(json: &str) -> Result<Policy, String> {
        let overrides: PolicyOverrides = serde_json::from_str(&format!("{{\"gates\": {json}}}")).map_err(|error| error.to_string())?;
        Policy::default().with(&overrides).map_err(|error| error.to_string())
    }

    #[test]
    fn gates_have_names_and_defaults() {
        let policy = policy(
            r#"[{"kind": "slo", "error_rate": 0.01}, {"kind": "slo", "latency_quantile": 0.999, "latency_seconds": 1}, {"kind": "slo", "name": "x", "error_rate": 0.1, "critical": false},
            {"kind": "resource", "metric": "cpu", "max": 0.8}, {"kind": "probe", "url": "http://shop/health"}, {"kind": "min_traffic", "requests_per_second": 2}]"#,
        )
        .unwrap();
        let told: Vec<_> = policy.gates().iter().map(|gate| (gate.name.as_str(), gate.kind().name(), gate.critical, gate.weight)).collect();
        let expected = [
            ("slo_error_rate", "slo", true, 0.1),
            ("slo_latency_p99.9", "slo", true, 0.1),
            ("x", "slo", false, 0.0),
            ("cpu", "resource", true, 0.0),
            ("probe", "probe", true, 0.0),
            ("min_traffic", "min_traffic", false, 0.0),
        ];
        assert_eq!(told, expected);
        assert!((policy.weight(CheckKind::ErrorRate) - 0.4 / 1.2).abs() < 1e-12, "service levels have their part of the budget");
    }

    #[test]
    fn every_mistake_in_a_gate_is_told() {
        let wrong = policy(
            r#"[{"kind": "slo"}, {"kind": "slo", "name": "two", "error_rate": 2}, {"kind": "probe", "name": "p", "url": "ftp://x", "max": 1},
            {"kind": "min_traffic", "name": "m", "requests_per_second": 1, "critical": true}, {"kind": "resource", "name": "latency", "metric": "m", "max": 1}]"#,
        )
        .unwrap_err();
        for part in [
            "either error_rate or latency_seconds",
            "two: error_rate is 2, it has to lie between 0.000001 and 1",
            "begins with http",
            "p: max does not go with this kind",
            "m: little traffic is no harm",
            "latency: another check has this name",
        ] {
            assert!(wrong.contains(part), "{part} is missing in {wrong}");
        }
        assert!(policy(r#"[{"kind": "uptime"}]"#).is_err());
    }
}
