//! What the service's own past says of the judge: how often it would have been wrong, and what is taken off its evidence for that.

use haldane_store::UnixNanos;
use serde::{Deserialize, Serialize};

use crate::policy::Policy;

use super::judgement::{Comparison, Finding};
use super::settle::finding;
use super::wording;

/// Replays of one service's past in which both cohorts were the same version (A/A tests).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The oldest window that was replayed.
    pub from: UnixNanos,
    /// The newest.
    pub until: UnixNanos,
    /// How many replays.
    pub replays: u64,
    /// How many of them were rolled back: all of these were false.
    pub rollbacks: u64,
    /// By comparison, in the order of their names.
    pub comparisons: Vec<ComparisonCalibration>,
}

/// What the replays say of one comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparisonCalibration {
    /// Its name, such as `latency_p99`.
    pub name: String,
    /// In how many replays it alone would have led to a rollback.
    pub alarms: u64,
    /// The share of replays in which it may: its part of the false-alarm budget.
    pub stated: f64,
    /// Burstiness: the median over the replays.
    pub phi: f64,
    /// Spread between cohorts: the median over the replays.
    pub tau: f64,
    /// What is taken off `ln` of its evidence, so that it would have kept to its part of the budget; zero where it did.
    pub discount: f64,
}

/// Takes off what the past says has to be taken off.
pub(super) fn apply(calibration: &Calibration, policy: &Policy, comparisons: &mut [Comparison]) {
    for comparison in comparisons {
        let known = calibration.comparisons.iter().find(|known| known.name == comparison.name && known.discount > 0.0);
        let Some(known) = known else { continue };
        comparison.ln_e -= known.discount;
        if comparison.finding != Finding::NoData {
            comparison.finding = finding(policy, comparison.ln_e + comparison.weight.ln(), comparison.ln_promote);
        }
        comparison.reason.push_str(&wording::discounted(known, calibration.replays));
    }
}
