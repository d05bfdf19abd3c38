//! Checks of plain numbers: any OTLP metric, or whatever SQL finds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::overrides::{check_ranges, too_many};
use super::{CheckKind, PolicyMistake};
use crate::kayenta::Direction;

/// A number that is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricCheck {
    /// Its name in verdicts.
    pub name: String,
    /// Where it comes from.
    pub source: MetricSource,
    /// Which change is bad.
    pub direction: Direction,
    /// It may change by this share of the baseline's value,
    pub relative: f64,
    /// or by this much.
    pub absolute: f64,
    /// Whether a promotion needs its proof.
    pub required: bool,
    /// Its part of the false-alarm budget, relative to the other checks' weights.
    pub weight: f64,
    /// Of its values.
    pub unit: String,
}

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricSource {
    /// An OTLP metric, of the data points that have these attributes.
    Metric {
        /// Its name.
        metric: String,
        /// What the points, or their resource, have to say.
        attributes: BTreeMap<String, String>,
    },
    /// A query with the columns `cohort`, `time`, `value` and perhaps `instance`.
    Sql(String),
}

/// A number to compare.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricCheckOverride {
    /// Its name in verdicts: 1 to 100 characters. The metric's name if left out; SQL needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub name: Option<String>,
    /// Name of an OTLP metric: of gauges and up-down counters the value, of counters the rate a second, of histograms the mean, for each instance and minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub metric: Option<String>,
    /// Only data points with these attributes, on the point or its resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Instead of a metric: a query with the columns `cohort` (`baseline` or `canary`), `time`, `value` and perhaps `instance`. `$baseline` and `$canary` stand for the
    /// conditions that pick them in `spans`, `logs` and `metrics`, `$from` and `$until` for the time that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10_000)]
    pub sql: Option<String>,
    /// Which change is bad: `increase` (if left out), `decrease` or `either`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// It may change by this share of the baseline's value before a rollback; 0.25 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub relative: Option<f64>,
    /// … or by this much, in its own unit, if that is more; 0 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub absolute: Option<f64>,
    /// Whether a promotion needs its proof; `false` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Its part of the false-alarm budget, relative to the other checks'; 0.1 if left out, 0 to be told only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1000)]
    pub weight: Option<f64>,
    /// Whose score it counts for; `metrics` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub group: Option<String>,
    /// Unit of its values, as UCUM has it, such as `By`; for people only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Each is a query at every look.
const CHECKS_MAX: usize = 20;
pub(super) const NAME_CHARS_MAX: f64 = 100.0;
/// Longest name of an OTLP metric.
pub(super) const METRIC_BYTES_MAX: f64 = 255.0;
const SQL_BYTES_MAX: f64 = 10_000.0;

/// The checks that are asked for, as far as they can be made.
pub(super) fn checks_of(given: &[MetricCheckOverride], mistakes: &mut Vec<PolicyMistake>) -> Vec<MetricCheck> {
    if given.len() > CHECKS_MAX {
        mistakes.push(too_many("the number of metrics", given.len(), CHECKS_MAX));
        return Vec::new();
    }
    let mut names = BTreeSet::new();
    given.iter().filter_map(|one| check_of(one, &mut names, mistakes)).collect()
}

fn check_of(given: &MetricCheckOverride, names: &mut BTreeSet<String>, mistakes: &mut Vec<PolicyMistake>) -> Option<MetricCheck> {
    let name = given.name.clone().or_else(|| given.metric.clone()).unwrap_or_default();
    let ranges = [
        ("relative", given.relative, 0.0, 100.0),
        ("absolute", given.absolute, 0.0, 1e300),
        ("weight", given.weight, 0.0, 1000.0),
        ("the length of name", given.name.as_ref().map(|name| name.chars().count() as f64), 1.0, NAME_CHARS_MAX),
        ("the length of metric", given.metric.as_ref().map(|metric| metric.len() as f64), 0.0, METRIC_BYTES_MAX),
        ("the length of sql", given.sql.as_ref().map(|sql| sql.len() as f64), 0.0, SQL_BYTES_MAX),
    ];
    check_ranges(("metrics", &name), &ranges, mistakes);
    let mut wrong = |wrong: &'static str| mistakes.push(PolicyMistake::Metric { name: name.clone(), wrong });
    let source = match (&given.metric, &given.sql) {
        (Some(metric), None) if !metric.is_empty() => MetricSource::Metric { metric: metric.clone(), attributes: given.attributes.clone() },
        (None, Some(sql)) => MetricSource::Sql(sql.clone()),
        _ => {
            wrong("it needs either metric or sql");
            return None;
        }
    };
    let is_standard = CheckKind::ALL.iter().any(|kind| name == kind.name() || name.starts_with("latency_p"));
    if (name.is_empty() && given.name.is_none()) || name.chars().any(char::is_control) {
        wrong("it needs a name, on one line");
    } else if is_standard || !names.insert(name.clone()) {
        wrong("another check has this name");
    }
    if given.sql.is_some() && !given.attributes.is_empty() {
        wrong("attributes go with metric; sql has its own WHERE");
    }
    let (relative, absolute, weight) = (given.relative.unwrap_or(0.25), given.absolute.unwrap_or(0.0), given.weight.unwrap_or(0.1));
    let (required, unit) = (given.required.unwrap_or(false), given.unit.clone().unwrap_or_default());
    Some(MetricCheck {
        name,
        source,
        direction: given.direction.unwrap_or(Direction::Increase),
        relative,
        absolute,
        required,
        weight,
        unit,
    })
}
