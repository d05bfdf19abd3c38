//! The check `throughput`: does the canary still get and serve its share of the traffic?
//!
//! A fall may mean that instances crash or that the balancer has taken them out. It proves no harm to users, so it never rolls back;
//! it is a doubt that stands in the way of a promotion.

use crate::policy::{CheckKind, Policy};
use crate::stats::effect::{LEVEL, RatioInterval, rate_ratio};
use crate::stats::eprocess::Noise;
use crate::stats::likelihood::{PairCounts, RatioLikelihood};

use super::evidence::Pairing;
use super::judgement::{Comparison, Effect, EffectMeasure, Finding, Side};
use super::served::Served;
use super::table::{Part, Table};
use super::wording;

/// Requests come in bursts: a client's requests count as if they came in groups of this size.
const REQUESTS_BURST: f64 = 5.0;

/// Compares the canary's latest share of the traffic with its earlier one; without a concurrent baseline, the service's rate with its past.
pub(super) fn compare_throughput(table: &Table<'_>, policy: &Policy) -> Comparison {
    let pair = match table.pairing {
        Pairing::Concurrent => share_then_and_now(table),
        Pairing::Preceding => rate_then_and_now(table),
    };
    let likelihood = RatioLikelihood::new([&pair], 0.0);
    let noise = Noise { phi: REQUESTS_BURST, tau: 0.0 };
    let ratio = rate_ratio(&likelihood, noise).filter(|_| pair.canary_requests > 0.0 && pair.baseline_requests > 0.0);
    let fell = |ratio: &RatioInterval| ratio.estimate < 1.0 - policy.throughput_tolerance && ratio.high < 1.0;
    let finding = match &ratio {
        None => Finding::NoData,
        Some(ratio) if fell(ratio) => Finding::Undecided,
        Some(_) => Finding::NotWorse,
    };
    let side = |events: f64, requests: f64| Side { value: (requests > 0.0).then(|| events / requests), events, requests };
    let kind = CheckKind::Throughput;
    let value = ratio.map(|ratio| Effect { measure: EffectMeasure::Share, ..Effect::new(EffectMeasure::Share, ratio) });
    Comparison {
        finding,
        baseline: side(pair.baseline_events, pair.baseline_requests),
        canary: side(pair.canary_events, pair.canary_requests),
        effect: value.map(|effect| Effect { level: LEVEL, ..effect }),
        relative: policy.throughput_tolerance,
        reason: wording::throughput(table.pairing, ratio.as_ref(), &pair),
        // It proves no harm, whatever weight a policy gives it.
        weight: 0.0,
        ..Comparison::of_check(policy, kind)
    }
}

/// Now: the last third of the rollout. Then: the middle third, for in the first the canary's share may still be growing.
fn share_then_and_now(table: &Table<'_>) -> PairCounts {
    let length = table.clock.end.saturating_sub(table.clock.start);
    let third = length / 3;
    let mut pair = PairCounts::default();
    if third < 2 {
        return pair;
    }
    let (middle, last) = (table.clock.start + third, table.clock.end - third);
    for Served { spot, requests } in table.served.iter().filter(|served| served.spot.side != Part::Aside && served.spot.window >= middle) {
        let (all, canary) = if spot.window >= last {
            (&mut pair.canary_requests, &mut pair.canary_events)
        } else {
            (&mut pair.baseline_requests, &mut pair.baseline_events)
        };
        *all += requests;
        if spot.side == Part::Canary {
            *canary += requests;
        }
    }
    pair
}

/// Requests of the whole service in a window, in the last third of the rollout and before it.
fn rate_then_and_now(table: &Table<'_>) -> PairCounts {
    let third = table.clock.end.saturating_sub(table.clock.start) / 3;
    let first_known = table.served.first().map_or(table.clock.start, |first| first.spot.window);
    let history = table.clock.start.saturating_sub(first_known);
    let mut pair = PairCounts::default();
    if third < 2 || history < 2 {
        return pair;
    }
    (pair.canary_requests, pair.baseline_requests) = (third as f64, history as f64);
    for Served { spot, requests } in &table.served {
        if spot.window >= table.clock.end - third {
            pair.canary_events += requests;
        } else if spot.window < table.clock.start {
            pair.baseline_events += requests;
        }
    }
    pair
}
