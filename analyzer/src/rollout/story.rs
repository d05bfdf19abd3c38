//! The record of a rollout: what a verdict does not say. Who met the regression, since when, what else differs, how soon it was found and mended.

use std::time::Duration;

use haldane_store::UnixNanos;

use super::desk::Rollouts;
use super::error::ReadError;
use super::model::{Rollout, RolloutFilter, RolloutState};
use crate::cohort::{GatherError, Impact, Question, impact};
use crate::query::QueryError;
use crate::verdict::{Outcome, Verdict};

/// How much of the baseline before is looked at for what was there already.
const HISTORY: Duration = Duration::from_secs(1800);
/// Among so many rollouts of the service the one that mended it is looked for.
const LATER: u32 = 500;
/// A bad sign in a message that names a setting.
const MISSING: [&str; 9] =
    ["missing", "not set", "not found", "undefined", "unset", "required", "not configured", "environment variable", "keyerror"];

/// What there is to say of a rollout beside its verdict.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Story {
    /// What users met, and what differs.
    pub impact: Impact,
    /// Requests that failed or were slow beyond what the baseline's rate would give.
    pub requests_affected: u64,
    /// These of all requests of both cohorts while they were compared, 0 to 1.
    pub share_of_requests: f64,
    /// Names of settings that messages of new errors call missing.
    pub missing_settings: Vec<String>,
    /// From the first failure, else from the start, to the rollback.
    pub time_to_detect: Option<Duration>,
    /// From the start to the next promotion of the service.
    pub time_to_recover: Option<Duration>,
    /// What to do, in words, the first thing first.
    pub next_steps: Vec<String>,
}

impl Rollouts {
    /// What there is to say of a rollout beside its verdict, from what is still kept.
    ///
    /// # Errors
    /// When the tables or the ledger cannot be read.
    pub async fn story(&self, rollout: &Rollout, verdict: &Verdict) -> Result<Story, ReadError> {
        let until = UnixNanos::parse_rfc3339(&verdict.data_until).unwrap_or_else(|_| self.clock.now());
        let question = Question {
            service: &rollout.service,
            environment: &rollout.environment,
            baseline: &rollout.baseline,
            canary: &rollout.canary,
            started_at: rollout.judged_from(),
            until,
            history: HISTORY,
            seed: 0,
        };
        // It reads spans: few at a time, so that it takes little from judging.
        let _turn = self.telling.acquire().await;
        let impact = impact(&self.engine, &question, slow_from(verdict)).await.map_err(read_error)?;
        let rolled_back = rollout.ended_at.filter(|_| rollout.state == RolloutState::RolledBack);
        let since = impact.failing_since.unwrap_or(rollout.started_at);
        let (requests_affected, share_of_requests) = affected(verdict);
        let missing_settings = missing(&impact);
        Ok(Story {
            time_to_detect: rolled_back.map(|at| at.since(since)),
            time_to_recover: match rolled_back {
                Some(at) => self.mended_after(rollout, at).await?.map(|mended| mended.since(rollout.started_at)),
                None => None,
            },
            next_steps: next_steps(verdict, &impact, &missing_settings),
            impact,
            requests_affected,
            share_of_requests,
            missing_settings,
        })
    }

    /// When the service was next promoted.
    async fn mended_after(&self, rollout: &Rollout, at: UnixNanos) -> Result<Option<UnixNanos>, ReadError> {
        let filter = RolloutFilter {
            service: Some(rollout.service.to_string()),
            environment: Some(rollout.environment.to_string()),
            state: Some(RolloutState::Promoted),
            limit: LATER,
            after: None,
        };
        let promoted = self.list(&filter).await?.rollouts;
        Ok(promoted.iter().filter_map(|one| one.ended_at).filter(|ended| *ended > at).min())
    }
}

fn read_error(error: GatherError) -> ReadError {
    match error {
        GatherError::Query(error) => ReadError::Query(error),
        GatherError::Column { .. } => ReadError::Query(QueryError::Refused { reason: error.to_string() }),
    }
}

/// Where latency regressed: requests slower than its quantile in the baseline and the tolerance, in nanoseconds.
fn slow_from(verdict: &Verdict) -> Option<f64> {
    let slow = verdict.checks.iter().find(|check| check.name.starts_with("latency_p") && check.outcome == Outcome::Regressed)?;
    Some(slow.baseline.value? * (1.0 + slow.tolerance.relative) * 1e9)
}

/// Requests beyond what the baseline's rate would give, and their share of all.
fn affected(verdict: &Verdict) -> (u64, f64) {
    let regressed = verdict.checks.iter().filter(|check| check.outcome == Outcome::Regressed && check.baseline.requests > 0);
    let excess = regressed
        .filter(|check| check.name == "error_rate" || check.name.starts_with("latency_p"))
        .map(|check| {
            let rate = check.baseline.events as f64 / check.baseline.requests as f64;
            check.canary.events as f64 - rate * check.canary.requests as f64
        })
        .fold(0.0, f64::max);
    let all = verdict.baseline.requests + verdict.canary.requests;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of requests, and the cast stops at the ends of the type"
    )]
    let requests = excess.round() as u64;
    (requests, if all > 0 { excess / all as f64 } else { 0.0 })
}

/// Names such as `STRIPE_API_KEY` in messages that say that something is missing.
fn missing(impact: &Impact) -> Vec<String> {
    let mut names = Vec::new();
    for error in &impact.new_errors {
        let said = format!("{} {}", error.error_type, error.message);
        let lower = said.to_lowercase();
        if !MISSING.iter().any(|sign| lower.contains(sign)) {
            continue;
        }
        for word in said.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let is_setting = word.len() >= 5
                && word.contains('_')
                && word.starts_with(|c: char| c.is_ascii_uppercase())
                && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            if is_setting && !names.iter().any(|name| name == word) {
                names.push(word.to_owned());
            }
        }
    }
    names
}

fn next_steps(verdict: &Verdict, impact: &Impact, missing: &[String]) -> Vec<String> {
    use crate::verdict::{CulpritKind, VerdictDecision};
    let mut steps = Vec::new();
    match verdict.decision {
        VerdictDecision::Rollback => steps.push("Roll the canary back, if the tool that deploys has not done so.".to_owned()),
        VerdictDecision::Promote if verdict.is_final => steps.push("Go on: nothing is left to do.".to_owned()),
        VerdictDecision::Promote => steps.push("Move the traffic of the next stage, then tell Haldane to go on to it.".to_owned()),
        VerdictDecision::Continue if verdict.approval.as_ref().is_some_and(|approval| approval.awaited) => {
            steps.push("Approve the promotion, or roll back: everything is proven.".to_owned());
        }
        VerdictDecision::Continue => steps.push("Wait: there is not enough evidence yet.".to_owned()),
        VerdictDecision::Inconclusive => {
            steps.push("Decide by hand, or start again with more traffic or more time: the data does not carry a decision.".to_owned());
        }
    }
    steps.extend(missing.iter().map(|name| format!("Set {name} where the canary runs: a new error calls it missing.")));
    for culprit in verdict.culprits.iter().take(3) {
        let trace = culprit.trace_ids.first().map(|id| format!(", for example trace {id}")).unwrap_or_default();
        steps.push(match culprit.kind {
            CulpritKind::Operation => format!("Look at {}{trace}.", culprit.name),
            CulpritKind::Instance => {
                format!("Look at the instance {} first: the canary's others do better{trace}.", culprit.name)
            }
            CulpritKind::Error => {
                format!(
                    "Look for {} in what changed{trace}.",
                    culprit.error_type.as_deref().filter(|name| !name.is_empty()).unwrap_or("the new error")
                )
            }
        });
    }
    steps.extend(impact.attributes.iter().take(3).map(|attribute| {
        let list = |values: &[String]| if values.is_empty() { "nothing".to_owned() } else { values.join(", ") };
        format!("See whether it matters that {} is {} instead of {}.", attribute.key, list(&attribute.canary), list(&attribute.baseline))
    }));
    steps.extend(verdict.changes.iter().take(3).map(|change| format!("See whether it is meant: {}.", change.reason)));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cohort::NewError;

    #[test]
    fn settings_are_named_only_where_something_is_called_missing() {
        let error = |error_type: &str, message: &str| NewError {
            source: "exception".into(),
            error_type: error_type.into(),
            message: message.into(),
            count: 1,
            trace_id: String::new(),
        };
        let of = |errors: Vec<NewError>| missing(&Impact { new_errors: errors, ..Impact::default() });
        assert_eq!(
            of(vec![error("KeyError", "'STRIPE_API_KEY'"), error("Boom", "STRIPE_API_KEY and DB_URL are required")]),
            ["STRIPE_API_KEY", "DB_URL"]
        );
        assert!(of(vec![error("Timeout", "upstream HTTP_PROXY took <num> ms"), error("E", "the file a_b is missing")]).is_empty());
    }
}
