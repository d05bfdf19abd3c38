//! A/A tests: the same version as baseline and as canary. Whatever is rolled back is rolled back falsely.

use std::time::Duration;

use haldane_store::UnixNanos;
use serde::{Deserialize, Serialize};

use super::deal::{Deal, Injected, deal};
use super::past::Past;
use super::walk::{Walk, looks, walk};
use crate::judge::{Evidence, Pairing, Role};
use crate::policy::Policy;

/// The replays of one past, as the ledger keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Its first window.
    pub(super) from: UnixNanos,
    /// Its end.
    pub(super) until: UnixNanos,
    pub(crate) replays: Vec<Replay>,
}

/// One replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replay {
    pub(crate) rolled_back: bool,
    pub(super) comparisons: Vec<Compared>,
}

/// What one comparison came to in a replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Compared {
    pub(super) name: String,
    /// Its part of the false-alarm budget.
    pub(super) budget: f64,
    /// The highest `ln` of its evidence at any look.
    pub(super) ln_e: f64,
    pub(super) phi: f64,
    pub(super) tau: f64,
}

/// So many ways of dealing the instances out; one more sets the later half of the time against the earlier.
const DEALS: u64 = 10;

/// Replays it under the default policy. After each replay `rest` is told how long it took, and says whether to go on; `None` if not.
pub(crate) fn replay(past: &Past, seed: u64, mut rest: impl FnMut(Duration) -> bool) -> Option<Run> {
    let policy = Policy::default();
    let mut replays = Vec::new();
    let mut one = |evidence: Evidence| -> Option<()> {
        let begun = std::time::Instant::now();
        let looks = looks(evidence.until.since(evidence.started_at));
        // As if nobody acted on a promotion: a judge that is asked for longer may be wrong more often.
        replays.push(of(&policy, &walk(&policy, evidence, &looks, |_| false)));
        rest(begun.elapsed()).then_some(())
    };
    for number in 0..DEALS {
        one(deal(past, Deal { share: None, injected: Injected::Nothing, seed: seed.wrapping_add(number) }))?;
    }
    one(then_and_now(past))?;
    let whole = &past.evidence;
    Some(Run { from: whole.cells.first().map_or(whole.started_at, |cell| cell.at), until: whole.until, replays })
}

/// All instances as the canary, against what they did before: what a rolling rollout is compared with.
fn then_and_now(past: &Past) -> Evidence {
    let mut evidence = Evidence { pairing: Pairing::Preceding, ..past.evidence.clone() };
    let start = evidence.started_at;
    evidence.cells.become_canary(start);
    evidence.errors.iter_mut().filter(|error| error.at >= start).for_each(|error| error.cohort = Role::Canary);
    evidence
}

fn of(policy: &Policy, walk: &Walk) -> Replay {
    let weighted = walk.comparisons.iter().filter(|one| one.weight > 0.0);
    let comparisons = weighted.map(|one| Compared {
        name: one.name.clone(),
        budget: policy.alpha() * one.weight,
        // JSON has no infinity.
        ln_e: walk.peaks.get(&one.name).copied().unwrap_or(0.0).clamp(-1e6, 1e6),
        phi: one.noise.map_or(1.0, |noise| noise.phi),
        tau: one.noise.map_or(0.0, |noise| noise.tau),
    });
    Replay { rolled_back: walk.rollback.is_some(), comparisons: comparisons.collect() }
}
