//! What follows from a verdict.

use haldane_store::UnixNanos;
use haldane_store::ledger::Ending;

use super::model::RolloutState;
use crate::judge::{Evidence, Role};
use crate::verdict::{Verdict, VerdictDecision};

/// Whether somebody may act on it who did not before.
pub(super) fn decides(previous: Option<&Verdict>, verdict: &Verdict) -> bool {
    let is_new = |says: &dyn Fn(&Verdict) -> bool| says(verdict) && !previous.is_some_and(says);
    let decided = |one: &Verdict| one.decision != VerdictDecision::Continue && one.decision == verdict.decision;
    verdict.is_final || is_new(&decided) || is_new(&Verdict::awaits_somebody)
}

/// How the rollout ends with this verdict, if it does.
pub(super) fn ending(verdict: &Verdict, evidence: &Evidence, now: UnixNanos) -> Option<Ending> {
    if !verdict.is_final {
        return None;
    }
    let seen = evidence.cells.iter().any(|cell| cell.cohort == Role::Canary);
    let state = match verdict.decision {
        VerdictDecision::Promote => RolloutState::Promoted,
        VerdictDecision::Rollback => RolloutState::RolledBack,
        VerdictDecision::Continue | VerdictDecision::Inconclusive if seen => RolloutState::Inconclusive,
        VerdictDecision::Continue | VerdictDecision::Inconclusive => RolloutState::Expired,
    };
    Some(Ending { state: state.as_str().to_owned(), reason: verdict.reason.clone(), at: now })
}

/// Whether two verdicts differ in no more than their number and the time they were written.
pub(super) fn says_the_same(before: &Verdict, now: &Verdict) -> bool {
    let same_time = Verdict { sequence: now.sequence, decided_at: now.decided_at.clone(), ..before.clone() };
    same_time == *now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::tests::bundle;
    use crate::judge::tests::world::World;
    use crate::verdict::ApprovalVerdict;

    #[test]
    fn whatever_somebody_may_act_on_decides_once() {
        let any: Verdict = serde_json::from_str(&bundle(World { windows: 3, ..World::default() }.evidence()).verdict).unwrap();
        let verdict = |decision: VerdictDecision, is_final: bool, awaited: bool| {
            let approval = awaited.then_some(ApprovalVerdict { needed: true, awaited, by: None, reason: None, at: None });
            Verdict { decision, is_final, approval, ..any.clone() }
        };
        use VerdictDecision::{Continue, Inconclusive, Promote, Rollback};
        let undecided = verdict(Continue, false, false);
        assert!(!decides(None, &undecided) && !decides(Some(&undecided), &undecided));
        for decision in [Promote, Rollback, Inconclusive] {
            let (first, last) = (verdict(decision, false, false), verdict(decision, true, false));
            assert!(decides(None, &first) && decides(Some(&undecided), &first) && !decides(Some(&first), &first));
            assert!(decides(Some(&first), &last) && decides(Some(&last), &last));
        }
        assert!(decides(Some(&verdict(Promote, false, false)), &verdict(Rollback, false, false)));
        let waits = verdict(Continue, false, true);
        assert!(decides(Some(&undecided), &waits) && !decides(Some(&waits), &waits), "a person is asked");
    }
}
