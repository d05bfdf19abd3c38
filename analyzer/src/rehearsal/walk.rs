//! One rehearsal from its beginning to its end, looked at again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::judge::{Comparison, Decision, Evidence, judge};
use crate::policy::Policy;

/// What came of a rehearsal.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    /// When it was first rolled back,
    pub(super) rollback: Option<Duration>,
    /// and when it was first promoted, unless it was rolled back before.
    pub(super) promotion: Option<Duration>,
    /// By comparison: the highest `ln` of its evidence at any look.
    pub(super) peaks: BTreeMap<String, f64>,
    /// As of the last look.
    pub(super) comparisons: Vec<Comparison>,
}

/// Looks at the evidence after each of these times, until the first decision that ends the walk.
pub(super) fn walk(policy: &Policy, mut evidence: Evidence, looks: &[Duration], ends: impl Fn(&Decision) -> bool) -> Walk {
    let mut walk = Walk { rollback: None, promotion: None, peaks: BTreeMap::new(), comparisons: Vec::new() };
    for after in looks {
        evidence.until = evidence.started_at.plus(*after);
        let judgement = judge(policy, &evidence);
        for one in &judgement.comparisons {
            let peak = walk.peaks.entry(one.name.clone()).or_insert(f64::NEG_INFINITY);
            *peak = peak.max(one.ln_e);
        }
        match judgement.decision {
            Decision::Rollback { .. } => walk.rollback = walk.rollback.or(Some(*after)),
            Decision::Promote { .. } if walk.rollback.is_none() => walk.promotion = walk.promotion.or(Some(*after)),
            Decision::Promote { .. } | Decision::Continue { .. } | Decision::Inconclusive { .. } => {}
        }
        walk.comparisons = judgement.comparisons;
        if ends(&judgement.decision) {
            break;
        }
    }
    walk
}

/// Every half minute at first, less often later: a fault shows by factors of time.
pub(super) fn looks(length: Duration) -> Vec<Duration> {
    const STEPS: [u64; 20] = [30, 60, 90, 120, 180, 240, 300, 360, 480, 600, 720, 900, 1080, 1260, 1500, 1800, 2160, 2520, 3000, 3600];
    let steps = STEPS.into_iter().chain((8..=42).map(|step| 600 * step)).map(Duration::from_secs).filter(|step| *step < length);
    steps.chain([length]).collect()
}
