//! The check `sample_ratio`: does the canary get the share of the traffic that it is meant to get (F16)?
//!
//! Where the routing is not what it is said to be, who gets which request is not known to be chance, and the comparison proves nothing: neither
//! harm nor its absence.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::policy::{CheckKind, Policy};
use crate::stats::dispersion::{Arms, WindowCount, paired_burstiness};
use crate::stats::effect::rate_ratio;
use crate::stats::eprocess::{Noise, Side as Alternative, ln_evidence};
use crate::stats::likelihood::{PairCounts, RatioLikelihood, ln_weighted_mean};

use super::evidence::Pairing;
use super::judgement::{Comparison, Effect, EffectMeasure, Finding, Side};
use super::served::Served;
use super::table::{Part, Table};
use super::wording;

/// A difference by this factor of the odds is of no interest: weights are whole numbers somewhere.
const FACTOR: f64 = 1.02;
/// How unlikely by chance a difference has to be before the comparison is called invalid.
const LEVEL: f64 = 0.001;

/// Compares the canary's share with the configured one, if the policy names one and both cohorts serve at once.
pub(super) fn compare_share(table: &Table<'_>, policy: &Policy) -> Option<Comparison> {
    let share = policy.canary_share.filter(|_| table.pairing == Pairing::Concurrent)?;
    let windows = windows(table);
    let pair = |[baseline, canary]: &[f64; 2]| PairCounts {
        canary_requests: share,
        canary_events: *canary,
        baseline_requests: 1.0 - share,
        baseline_events: *baseline,
    };
    let pairs: Vec<PairCounts> = windows.values().map(pair).collect();
    let noise = Noise { phi: phi(table, &windows, share), tau: 0.0 };
    let evidence = |null: f64, side: Alternative| ln_evidence(&RatioLikelihood::new(&pairs, null), noise, side);
    let ln_e = ln_weighted_mean(&[(0.5, evidence(FACTOR.ln(), Alternative::Above)), (0.5, evidence(-FACTOR.ln(), Alternative::Below))]);
    let sum = pairs.iter().fold(PairCounts::default(), |sum, pair| sum.plus(pair));
    let all = sum.canary_events + sum.baseline_events;
    let seen = (all > 0.0).then(|| sum.canary_events / all);
    let kind = CheckKind::SampleRatio;
    let finding = match seen {
        None => Finding::NoData,
        Some(_) if ln_e >= -LEVEL.ln() => Finding::Undecided,
        Some(_) => Finding::NotWorse,
    };
    Some(Comparison {
        finding,
        baseline: Side { value: Some(share), events: share * all, requests: all },
        canary: Side { value: seen, events: sum.canary_events, requests: all },
        effect: rate_ratio(&RatioLikelihood::new(&pairs, 0.0), noise).map(|ratio| Effect::new(EffectMeasure::Share, ratio)),
        relative: FACTOR - 1.0,
        ln_e,
        reason: wording::sample_ratio(share, seen),
        ..Comparison::new(kind, kind.name().to_owned())
    })
}

/// Requests of baseline and canary, after the window in which the canary first served: until then there was nothing to route to.
fn windows(table: &Table<'_>) -> BTreeMap<i64, [f64; 2]> {
    let mut windows: BTreeMap<i64, [f64; 2]> = BTreeMap::new();
    let first = table.served.iter().find(|served| served.spot.side == Part::Canary && served.requests > 0.0);
    let Some(first) = first.map(|served| served.spot.window) else { return windows };
    for Served { spot, requests } in table.served.iter().filter(|served| served.spot.side != Part::Aside && served.spot.window > first) {
        windows.entry(spot.window).or_default()[usize::from(spot.side == Part::Canary)] += requests;
    }
    windows
}

/// Connections are long and clients have habits: requests come in groups.
fn phi(table: &Table<'_>, windows: &BTreeMap<i64, [f64; 2]>, share: f64) -> f64 {
    let arm = |canary: bool, expected: f64| -> Vec<WindowCount> {
        windows.iter().map(|(window, counts)| WindowCount { window: *window, expected, events: counts[usize::from(canary)] }).collect()
    };
    let minute = table.clock.windows(Duration::from_secs(60));
    let (canary, baseline) = (arm(true, share), arm(false, 1.0 - share));
    paired_burstiness(Arms { canary: &canary, baseline: &baseline }, &[1, minute, 5 * minute]).0
}
