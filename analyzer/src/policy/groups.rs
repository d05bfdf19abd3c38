//! Groups of checks: a score for each, and what a promotion asks of it.
//!
//! A group never demands a rollback: that is for the evidence of all checks together, whose error rate is known.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::metrics::NAME_CHARS_MAX;
use super::overrides::check_ranges;
use super::{CheckKind, Policy, PolicyMistake, PolicyOverrides};

/// What a promotion asks of a group of checks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupOverride {
    /// Nothing is promoted while the group's score is less: 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    pub min_score: f64,
}

/// Which check belongs to which group, and the score that a group needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Groups {
    /// By the check's name; one that is not here belongs to the group of its kind.
    named: BTreeMap<String, String>,
    needed: BTreeMap<String, f64>,
}

impl CheckKind {
    /// The group of a check that the policy puts nowhere else.
    const fn group(self) -> &'static str {
        match self {
            Self::ErrorRate | Self::NewErrors | Self::LogErrors => "errors",
            Self::Latency => "latency",
            Self::Throughput | Self::SampleRatio | Self::MinTraffic => "traffic",
            Self::Calls => "calls",
            Self::Metric => "metrics",
            Self::Slo | Self::Resource | Self::Probe => "limits",
        }
    }
}

impl Groups {
    /// The group of a comparison: `name` is its own, which matters where a kind has several.
    pub(crate) fn group(&self, kind: CheckKind, name: &str) -> &str {
        let name = if CheckKind::ALL.contains(&kind) { kind.name() } else { name };
        self.named.get(name).map_or(kind.group(), String::as_str)
    }

    /// The score that a group needs before a promotion.
    pub(crate) fn needed(&self, group: &str) -> Option<f64> {
        self.needed.get(group).copied()
    }

    /// All scores that are asked for.
    pub(super) fn all_needed(&self) -> BTreeMap<String, GroupOverride> {
        self.needed.iter().map(|(name, min_score)| (name.clone(), GroupOverride { min_score: *min_score })).collect()
    }
}

/// The groups that are asked for; the policy's checks are known by now.
pub(super) fn groups_of(policy: &Policy, given: &PolicyOverrides, mistakes: &mut Vec<PolicyMistake>) -> Groups {
    let checks = given.checks.iter().flatten().map(|check| (Some(check.name.clone()), &check.group));
    let metrics = given.metrics.iter().flatten().map(|check| (check.name.clone().or_else(|| check.metric.clone()), &check.group));
    let named_gates = policy.gates.iter().map(|gate| Some(gate.name.clone()));
    // Gates that are wrong are told by themselves, and then nothing comes of the policy.
    let gates = named_gates.zip(given.gates.iter().flatten().map(|gate| &gate.group));
    let named = checks.chain(metrics).chain(gates).filter_map(|(name, group)| Some((name?, group.clone()?))).collect();
    let mut groups = Groups { named, needed: BTreeMap::new() };
    for name in groups.named.values() {
        check_ranges(("groups", name), &[("the length of name", Some(name.chars().count() as f64), 1.0, NAME_CHARS_MAX)], mistakes);
    }
    for (name, group) in given.groups.iter().flatten() {
        check_ranges(("groups", name), &[("min_score", Some(group.min_score), 0.0, 100.0)], mistakes);
    }
    let mut wrong = |name: &str, wrong: &'static str| mistakes.push(PolicyMistake::Group { name: name.to_owned(), wrong });
    for name in groups.named.values() {
        if name.chars().any(char::is_control) {
            wrong(name, "its name has to be on one line");
        }
    }
    let filled = filled(policy, &groups);
    for name in given.groups.iter().flat_map(BTreeMap::keys) {
        if !filled.contains(name.as_str()) {
            wrong(name, "no check of the policy belongs to it");
        }
    }
    groups.needed = given.groups.iter().flatten().map(|(name, group)| (name.clone(), group.min_score)).collect();
    groups
}

fn filled<'a>(policy: &'a Policy, groups: &'a Groups) -> BTreeSet<&'a str> {
    let checks = policy.checks.iter().map(|check| groups.group(check.kind, check.kind.name()));
    let metrics = policy.metrics.iter().map(|check| groups.group(CheckKind::Metric, &check.name));
    let gates = policy.gates.iter().map(|gate| groups.group(gate.kind(), &gate.name));
    checks.chain(metrics).chain(gates).collect()
}
