//! Exit codes. They are promises: deploy jobs stand on them.

use std::process::ExitCode;

use haldane_analyzer::verdict::{Verdict, VerdictDecision};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: it did what it was asked for; for `gate` and `verdict`: promote.
    Done,
    /// 1: roll back; for `demo`: a wrong verdict; for `judge replay`: another verdict than before.
    Rollback,
    /// 2: wrong usage, or the server could not be asked.
    Failed,
    /// 3: ended without a decision.
    Inconclusive,
    /// 4: undecided when the time was over.
    Undecided,
}

impl Exit {
    /// What a verdict means for a job that waits for it.
    pub(crate) fn of(verdict: &Verdict) -> Self {
        match (verdict.decision, verdict.is_final) {
            (VerdictDecision::Promote, _) => Self::Done,
            (VerdictDecision::Rollback, _) => Self::Rollback,
            // A rollout that was cancelled ends on whatever was last known.
            (VerdictDecision::Inconclusive | VerdictDecision::Continue, true) => Self::Inconclusive,
            (VerdictDecision::Inconclusive | VerdictDecision::Continue, false) => Self::Undecided,
        }
    }

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Rollback => 1,
            Self::Failed => 2,
            Self::Inconclusive => 3,
            Self::Undecided => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
