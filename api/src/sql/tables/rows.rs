//! What the ledger holds as rows: JSON objects with the columns of the tables.

use haldane_analyzer::rollout::{EventFilter, Rollout, RolloutFilter, RolloutId, RolloutState, Rollouts, VerdictFilter};
use haldane_analyzer::verdict::Verdict;
use haldane_store::UnixNanos;
use serde_json::{Value, json};

use super::{Asked, ROWS_MAX};
use crate::error::chain;
use crate::notify::Notifications;

const PAGE: u32 = 500;
/// The trail is read in pages of this size.
const EVENT_PAGE: u32 = 1_000;

type Rows = Result<Vec<Value>, String>;

fn time(at: UnixNanos) -> String {
    at.to_rfc3339()
}

pub(super) async fn rollouts(desk: &Rollouts, asked: &Asked) -> Rows {
    let mut found: Vec<Rollout> = Vec::new();
    if let Some(id) = &asked.rollout_id {
        if let Ok(id) = RolloutId::parse(id) {
            found.extend(desk.get(&id).await.ok());
        }
    } else {
        let mut filter = RolloutFilter { service: asked.service.clone(), limit: PAGE, ..RolloutFilter::default() };
        while found.len() < ROWS_MAX as usize {
            let page = desk.list(&filter).await.map_err(|error| chain(&error))?;
            found.extend(page.rollouts);
            filter.after = page.next;
            if filter.after.is_none() {
                break;
            }
        }
    }
    let mut rows = Vec::new();
    for rollout in found {
        let verdict = if rollout.ended_at.is_none() { desk.verdict(&rollout.id).await.ok() } else { None };
        rows.push(rollout_row(&rollout, verdict.as_ref()));
    }
    Ok(rows)
}

fn rollout_row(rollout: &Rollout, verdict: Option<&Verdict>) -> Value {
    let version = |selector: &haldane_analyzer::cohort::Selector| selector.matchers().get("service.version").cloned().unwrap_or_default();
    let said = |key: &str| rollout.metadata.get(key).cloned().unwrap_or_default();
    let decision = match rollout.state {
        RolloutState::Promoted => "promote",
        RolloutState::RolledBack => "rollback",
        RolloutState::Inconclusive | RolloutState::Cancelled | RolloutState::Expired => "inconclusive",
        RolloutState::Pending | RolloutState::Running => verdict.map_or("continue", |verdict| verdict.decision.as_str()),
    };
    json!({
        "id": rollout.id.as_str(), "service": rollout.service.as_str(), "environment": rollout.environment.as_str(),
        "state": rollout.state.as_str(), "state_reason": rollout.state_reason, "strategy": rollout.strategy.as_str(), "origin": rollout.origin.as_str(),
        "baseline": rollout.baseline.to_string(), "canary": rollout.canary.to_string(),
        "baseline_version": version(&rollout.baseline), "canary_version": version(&rollout.canary),
        "created_at": time(rollout.created_at), "started_at": time(rollout.started_at), "ended_at": rollout.ended_at.map(time),
        "policy_name": rollout.policy_name, "actor": said("actor"), "commit": said("commit"),
        "stage": (!rollout.stages.is_empty()).then_some(rollout.stage + 1), "stages": (!rollout.stages.is_empty()).then_some(rollout.stages.len()),
        "decision": decision, "reason": verdict.map_or_else(|| rollout.state_reason.clone(), |verdict| verdict.reason.clone()),
        "seconds_to_decision": rollout.ended_at.map(|at| at.since(rollout.created_at).as_secs_f64()),
    })
}

/// The rows that a function makes of each verdict.
pub(super) async fn of_verdicts(desk: &Rollouts, asked: &Asked, rows: fn(&Verdict) -> Vec<Value>) -> Rows {
    let filter =
        VerdictFilter { rollout_id: asked.rollout_id.clone(), service: asked.service.clone(), since: asked.since, limit: ROWS_MAX };
    let verdicts = desk.verdicts(&filter).await.map_err(|error| chain(&error))?;
    Ok(verdicts.iter().flat_map(rows).collect())
}

fn with_place(verdict: &Verdict, mut row: Value) -> Value {
    if let Value::Object(fields) = &mut row {
        let place = [
            ("rollout_id", json!(verdict.rollout_id)),
            ("service", json!(verdict.service)),
            ("environment", json!(verdict.environment)),
            ("sequence", json!(verdict.sequence)),
            ("time", json!(verdict.decided_at)),
        ];
        fields.extend(place.map(|(name, value)| (name.to_owned(), value)));
    }
    row
}

pub(super) fn verdict(verdict: &Verdict) -> Vec<Value> {
    let row = json!({
        "decision": verdict.decision.as_str(), "final": verdict.is_final, "reason": verdict.reason, "score": verdict.score,
        "risk": verdict.risk.e_value, "risk_limit": 1.0 / verdict.risk.alpha, "promotion": verdict.promotion.e_value,
        "promotion_limit": 1.0 / verdict.promotion.beta, "data_until": verdict.data_until,
        "baseline_requests": verdict.baseline.requests, "canary_requests": verdict.canary.requests,
        "baseline_instances": verdict.baseline.instances, "canary_instances": verdict.canary.instances,
        "stage": verdict.stage.as_ref().map(|stage| stage.number),
    });
    vec![with_place(verdict, row)]
}

pub(super) fn checks(verdict: &Verdict) -> Vec<Value> {
    let row = |check: &haldane_analyzer::verdict::CheckVerdict| {
        let effect = check.effect.as_ref();
        json!({
            "name": check.name, "outcome": check.outcome, "required": check.required, "unit": check.unit,
            "baseline_value": check.baseline.value, "canary_value": check.canary.value,
            "baseline_requests": check.baseline.requests, "canary_requests": check.canary.requests,
            "estimate": effect.and_then(|effect| effect.estimate), "low": effect.map(|effect| effect.low), "high": effect.and_then(|effect| effect.high),
            "level": effect.map(|effect| effect.level), "tolerance": check.tolerance.relative,
            "e_value": check.e_value, "promote_e_value": check.promote_e_value, "reason": check.reason,
        })
    };
    verdict.checks.iter().map(|check| with_place(verdict, row(check))).collect()
}

pub(super) fn check_groups(verdict: &Verdict) -> Vec<Value> {
    let row = |group: &haldane_analyzer::verdict::GroupVerdict| {
        json!({
            "name": group.name, "score": group.score, "min_score": group.min_score, "weight": group.weight, "checks": group.checks.join(", "),
        })
    };
    verdict.groups.iter().map(|group| with_place(verdict, row(group))).collect()
}

pub(super) fn culprits(verdict: &Verdict) -> Vec<Value> {
    let row = |culprit: &haldane_analyzer::verdict::CulpritVerdict| {
        json!({
            "kind": culprit.kind, "name": culprit.name, "check_name": culprit.check, "e_value": culprit.e_value, "share": culprit.share,
            "error_type": culprit.error_type, "message": culprit.message, "trace_id": culprit.trace_ids.first(), "reason": culprit.reason,
        })
    };
    verdict.culprits.iter().map(|culprit| with_place(verdict, row(culprit))).collect()
}

pub(super) fn changes(verdict: &Verdict) -> Vec<Value> {
    let row = |change: &haldane_analyzer::verdict::ChangeVerdict| {
        json!({
            "kind": change.kind, "name": change.name, "span_kind": change.span_kind, "baseline": change.baseline, "canary": change.canary,
            "reason": change.reason,
        })
    };
    verdict.changes.iter().map(|change| with_place(verdict, row(change))).collect()
}

pub(super) async fn events(desk: &Rollouts, asked: &Asked) -> Rows {
    let rollout_id = match asked.rollout_id.as_deref().map(RolloutId::parse) {
        Some(Err(_)) => return Ok(Vec::new()),
        Some(Ok(id)) => Some(id),
        None => None,
    };
    let mut filter =
        EventFilter { rollout_id, service: asked.service.clone(), newest_first: true, limit: EVENT_PAGE, ..EventFilter::default() };
    let mut rows = Vec::new();
    loop {
        let page = desk.events(&filter).await.map_err(|error| chain(&error))?;
        let more = page.len() == EVENT_PAGE as usize;
        for event in page {
            filter.after = Some(event.sequence);
            if asked.since.is_some_and(|since| event.at < since) {
                return Ok(rows);
            }
            let details = event.details();
            rows.push(json!({
                "sequence": event.sequence, "time": time(event.at), "kind": event.kind.as_str(), "actor": event.actor,
                "rollout_id": event.rollout_id.as_ref().map_or("", RolloutId::as_str), "service": event.service, "environment": event.environment,
                "reason": details.reason, "decision": details.decision.map(|decision| decision.as_str()), "state": details.state,
                "version": details.version, "receiver": details.receiver,
            }));
        }
        if !more || rows.len() >= ROWS_MAX as usize {
            return Ok(rows);
        }
    }
}

pub(super) async fn notifications(outbox: &Notifications) -> Rows {
    let found = outbox.list(None, None, ROWS_MAX).await.map_err(|error| chain(&error))?;
    let row = |row: &haldane_store::ledger::NotificationRow| {
        json!({
            "id": row.id, "receiver": row.receiver, "event": row.event, "rollout_id": row.rollout_id, "state": row.state,
            "created_at": time(row.created_at), "due_at": time(row.due_at), "attempts": row.attempts, "last_error": row.last_error,
        })
    };
    Ok(found.iter().map(row).collect())
}

pub(super) async fn services(desk: &Rollouts) -> Rows {
    let mut rows = Vec::new();
    for service in desk.services().await.map_err(|error| chain(&error))? {
        for version in service.versions {
            rows.push(json!({
                "service": service.service, "environment": service.environment, "version": version.version, "requests": version.requests,
                "instances": version.instances, "first_seen": time(version.first_seen), "last_seen": time(version.last_seen),
            }));
        }
    }
    Ok(rows)
}
