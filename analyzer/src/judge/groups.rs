//! The scores of groups of checks: for people, for tools that want numbers, and for promotions that ask for one. They demand no rollback.

use std::collections::BTreeMap;

use crate::policy::Policy;

use super::judgement::{Comparison, Doubt, Finding, GroupScore};

/// The groups of what was compared, by name.
pub(super) fn scores(policy: &Policy, comparisons: &[Comparison]) -> Vec<GroupScore> {
    let mut groups: BTreeMap<&str, Vec<&Comparison>> = BTreeMap::new();
    for one in comparisons {
        groups.entry(policy.groups.group(one.kind, &one.name)).or_default().push(one);
    }
    let score = |(name, members): (&str, Vec<&Comparison>)| GroupScore {
        name: name.to_owned(),
        score: mean(policy, &members),
        needed: policy.groups.needed(name),
        weight: members.iter().map(|one| one.weight).sum(),
        comparisons: members.iter().map(|one| one.name.clone()).collect(),
    };
    groups.into_iter().map(score).collect()
}

/// The groups that stand in the way of a promotion.
pub(super) fn doubts(policy: &Policy, comparisons: &[Comparison]) -> Vec<Doubt> {
    let short = |group: &GroupScore| {
        let needed = group.needed?;
        let enough = group.score.is_some_and(|score| score >= needed);
        (!enough).then(|| Doubt::Group { name: group.name.clone(), score: group.score, needed })
    };
    scores(policy, comparisons).iter().filter_map(short).collect()
}

/// The mean of what is known, by weight; where nothing has one, all count alike.
fn mean(policy: &Policy, members: &[&Comparison]) -> Option<f64> {
    let known: Vec<(f64, f64)> = members.iter().filter_map(|one| Some((one.weight, score(policy, one)?))).collect();
    let weighed: f64 = known.iter().map(|(weight, _)| weight).sum();
    let of = |weight: f64| if weighed > 0.0 { weight / weighed } else { 1.0 / known.len() as f64 };
    // A hundred is a hundred, whatever the parts add up to in binary.
    let whole = |score: f64| (score * 1e6).round() / 1e6;
    (!known.is_empty()).then(|| whole(known.iter().map(|(weight, score)| of(*weight) * score).sum()))
}

/// 0 for a regression, 100 for a proof that there is none, between them how far the evidence has come to either.
fn score(policy: &Policy, one: &Comparison) -> Option<f64> {
    match one.finding {
        Finding::NoData => None,
        Finding::Regressed => Some(0.0),
        Finding::NotWorse => Some(100.0),
        Finding::Undecided => Some(between(policy, one.ln_promote, one.ln_e)),
    }
}

/// 1 to 99: how far the evidence has come towards a promotion, less how far it has come towards a rollback.
pub(crate) fn between(policy: &Policy, ln_promotion: f64, ln_risk: f64) -> f64 {
    let towards = |ln_e: f64, rate: f64| if ln_e.is_nan() { 0.0 } else { (ln_e / -rate.ln()).clamp(0.0, 1.0) };
    50.0 + 49.0 * (towards(ln_promotion, policy.beta()) - towards(ln_risk, policy.alpha()))
}
