//! Whether a verdict is right: not the decision alone, but that it names what is wrong.

use haldane_analyzer::verdict::{BaselineSource, CulpritKind, Outcome, Verdict, VerdictDecision};

use super::shop::{Failure, Operation};

/// The right outcome of a scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Expected {
    /// `promote`.
    Promote,
    /// Anything but `rollback`: promoted, or not decided within the scenario's time.
    NoRollback,
    /// `rollback`, for the right reason.
    Rollback(Blame),
}

/// What a rollback has to name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Blame {
    /// One of the checks whose names start like these has regressed.
    checks: &'static [&'static str],
    /// The operation among the culprits.
    operation: Option<&'static str>,
    /// The type of the error among the culprits.
    error_type: Option<&'static str>,
    /// Where the baseline's numbers come from.
    baseline: BaselineSource,
}

impl Expected {
    pub(super) const fn promote() -> Self {
        Self::Promote
    }

    pub(super) const fn no_rollback() -> Self {
        Self::NoRollback
    }

    pub(super) const fn rollback(checks: &'static [&'static str]) -> Self {
        Self::Rollback(Blame { checks, operation: None, error_type: None, baseline: BaselineSource::Concurrent })
    }

    /// The rollback names this operation.
    pub(super) fn at(self, operation: &'static Operation) -> Self {
        self.blaming(|blame| Blame { operation: Some(operation.name), ..blame })
    }

    /// The rollback names this error.
    pub(super) fn by(self, failure: &Failure) -> Self {
        self.blaming(|blame| Blame { error_type: Some(failure.error_type), ..blame })
    }

    /// The verdict says that the baseline is what ran before.
    pub(super) fn against_what_ran_before(self) -> Self {
        self.blaming(|blame| Blame { baseline: BaselineSource::Preceding, ..blame })
    }

    fn blaming(self, change: impl Fn(Blame) -> Blame) -> Self {
        match self {
            Self::Rollback(blame) => Self::Rollback(change(blame)),
            Self::Promote | Self::NoRollback => self,
        }
    }

    /// What was expected, in words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Promote => "promote".to_owned(),
            Self::NoRollback => "no rollback".to_owned(),
            Self::Rollback(_) => "rollback".to_owned(),
        }
    }

    /// What is wrong with the last verdict of a scenario; nothing if it is right.
    pub(super) fn find_faults(&self, verdict: Option<&Verdict>) -> Vec<String> {
        let Some(verdict) = verdict else {
            return vec!["there was no verdict at all".to_owned()];
        };
        match (self, verdict.decision) {
            (Self::Promote, VerdictDecision::Promote) => Vec::new(),
            (Self::NoRollback, VerdictDecision::Promote | VerdictDecision::Continue | VerdictDecision::Inconclusive) => Vec::new(),
            (Self::Rollback(blame), VerdictDecision::Rollback) => blame.find_faults(verdict),
            (Self::Promote | Self::NoRollback | Self::Rollback(_), _) => {
                vec![format!("expected {}, got {}", self.describe(), word(verdict.decision))]
            }
        }
    }
}

impl Blame {
    fn find_faults(&self, verdict: &Verdict) -> Vec<String> {
        let mut faults = Vec::new();
        let mut regressed = verdict.checks.iter().filter(|check| check.outcome == Outcome::Regressed);
        if !regressed.any(|check| self.checks.iter().any(|name| check.name.starts_with(name))) {
            faults.push(format!("the check {} has not regressed", self.checks.join(" or ")));
        }
        let named = |operation: &str| verdict.culprits.iter().any(|one| one.kind == CulpritKind::Operation && one.name == operation);
        if let Some(operation) = self.operation.filter(|operation| !named(operation)) {
            faults.push(format!("the operation {operation} is not among the culprits"));
        }
        // Either as a culprit of its own, or as what is behind an operation's failures.
        let blamed = |error: &str| verdict.culprits.iter().any(|one| one.error_type.as_deref() == Some(error));
        if let Some(error) = self.error_type.filter(|error| !blamed(error)) {
            faults.push(format!("the error {error} is not among the culprits"));
        }
        if verdict.baseline_source != self.baseline {
            faults.push("the verdict takes its baseline from elsewhere".to_owned());
        }
        faults
    }
}

/// A decision as the API writes it.
pub(super) const fn word(decision: VerdictDecision) -> &'static str {
    match decision {
        VerdictDecision::Promote => "promote",
        VerdictDecision::Rollback => "rollback",
        VerdictDecision::Continue => "continue",
        VerdictDecision::Inconclusive => "inconclusive",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::shop::{CHARGE, WEBHOOK, WEBHOOK_SECRET_MISSING};
    use super::*;

    fn verdict(decision: &str) -> Verdict {
        let check = json!({"name": "error_rate", "outcome": "regressed", "baseline": {}, "canary": {}});
        let culprit = |kind: &str, name: &str, error_type: Option<&str>| json!({"kind": kind, "name": name, "check": "error_rate", "e_value": 1e6, "excess": 30.0, "share": 0.9, "error_type": error_type});
        serde_json::from_value(json!({
            "rollout_id": "r", "sequence": 1, "service": "payment", "environment": "shop", "strategy": "canary",
            "decision": decision, "final": true, "status": "failed",
            "baseline": {}, "canary": {}, "risk": {}, "promotion": {}, "started_at": "", "data_until": "", "decided_at": "",
            "checks": [check],
            "culprits": [
                culprit("operation", "POST /v1/webhooks/stripe", None),
                culprit("error", "5f2e", Some("StripeWebhookSecretMissing"))
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_rollback_is_right_only_with_the_right_culprits() {
        let right = Expected::rollback(&["error_rate"]).at(&WEBHOOK).by(&WEBHOOK_SECRET_MISSING);
        assert!(right.find_faults(Some(&verdict("rollback"))).is_empty());
        let elsewhere = Expected::rollback(&["error_rate"]).at(&CHARGE);
        assert_eq!(elsewhere.find_faults(Some(&verdict("rollback"))).len(), 1);
        assert_eq!(Expected::rollback(&["latency"]).find_faults(Some(&verdict("rollback"))).len(), 1);
        assert_eq!(right.against_what_ran_before().find_faults(Some(&verdict("rollback"))).len(), 1);
    }

    #[test]
    fn no_verdict_is_never_right_and_waiting_is_right_only_where_nothing_may_be_rolled_back() {
        for expected in [Expected::promote(), Expected::no_rollback(), Expected::rollback(&["error_rate"])] {
            assert_eq!(expected.find_faults(None).len(), 1);
        }
        for decision in ["promote", "continue", "inconclusive"] {
            assert!(Expected::no_rollback().find_faults(Some(&verdict(decision))).is_empty(), "{decision}");
        }
        assert!(!Expected::no_rollback().find_faults(Some(&verdict("rollback"))).is_empty());
        assert!(!Expected::promote().find_faults(Some(&verdict("continue"))).is_empty());
    }
}
