//! Verdicts and rollouts as lines on a terminal.

use haldane_analyzer::verdict::{CulpritKind, Verdict, VerdictDecision};
use haldane_api::http::{OriginWord, RolloutBody, StateWord};
use haldane_api::report;

use super::out::plain;

/// Traces shown of a culprit.
const TRACES_MAX: usize = 3;
/// Changes shown.
const CHANGES_MAX: usize = 5;
/// Characters shown of an error's message.
const MESSAGE_MAX: usize = 200;

/// One line on a verdict: what it is and how far it has come.
pub(crate) fn verdict_line(verdict: &Verdict) -> String {
    let said = if verdict.is_final || verdict.progress.is_empty() { &verdict.reason } else { &verdict.progress };
    let (baseline, canary) = (verdict.baseline.requests, verdict.canary.requests);
    plain(&format!("verdict {}: {} ({baseline} baseline and {canary} canary requests): {said}", verdict.sequence, decision(verdict)))
}

/// The whole verdict.
pub(crate) fn verdict_lines(verdict: &Verdict) -> Vec<String> {
    let mut lines = vec![
        format!("{} in {}: {}", verdict.service, verdict.environment, decision(verdict)),
        format!("  {}", verdict.reason),
        format!("  rollout {}, verdict {}, data until {}", verdict.rollout_id, verdict.sequence, verdict.data_until),
    ];
    if let Some(because) = &verdict.inconclusive_because {
        lines.push(format!("  no decision was possible: {because}"));
    }
    for check in &verdict.checks {
        let (baseline, canary) = (report::side(&check.baseline, &check.unit), report::side(&check.canary, &check.unit));
        let effect = check.effect.as_ref().map(report::effect).unwrap_or_default();
        lines.push(format!("  {:<12} {:<10} {baseline} → {canary}  {effect}", check.name, report::outcome(check.outcome)));
    }
    for culprit in &verdict.culprits {
        let (kind, name) = match culprit.kind {
            CulpritKind::Operation => ("operation", &culprit.name),
            CulpritKind::Instance => ("instance", &culprit.name),
            CulpritKind::Error => ("error", culprit.error_type.as_ref().unwrap_or(&culprit.name)),
        };
        lines.push(format!("  culprit: {kind} {name}: {}", culprit.reason));
        if let Some(message) = culprit.message.as_ref().filter(|message| !message.is_empty()) {
            let kind = culprit.error_type.as_deref().unwrap_or("error");
            lines.push(format!("    {kind}: {}", message.chars().take(MESSAGE_MAX).collect::<String>()));
        }
        if !culprit.trace_ids.is_empty() {
            let some: Vec<&str> = culprit.trace_ids.iter().take(TRACES_MAX).map(String::as_str).collect();
            lines.push(format!("    traces: {}", some.join(", ")));
        }
    }
    lines.extend(verdict.changes.iter().take(CHANGES_MAX).map(|change| format!("  changed: {}", change.reason)));
    lines.push(format!("  next: {}", report::next_step(verdict)));
    lines.iter().map(|line| plain(line).trim_end().to_owned()).collect()
}

/// The decision in words.
pub(crate) fn decision(verdict: &Verdict) -> &'static str {
    match verdict.decision {
        VerdictDecision::Promote => "promote",
        VerdictDecision::Rollback => "roll back",
        VerdictDecision::Continue if verdict.is_final => "ended undecided",
        VerdictDecision::Continue => "undecided yet",
        VerdictDecision::Inconclusive => "inconclusive",
    }
}

/// The whole rollout.
pub(crate) fn rollout_lines(rollout: &RolloutBody) -> Vec<String> {
    let mut lines = vec![
        format!("rollout {}", rollout.id),
        format!("  service      {}", rollout.service),
        format!("  environment  {}", rollout.environment),
        format!("  state        {}", state(rollout)),
        format!("  baseline     {}", selector(&rollout.baseline)),
        format!("  canary       {}", selector(&rollout.canary)),
        format!("  started      {} ({})", rollout.started_at, origin(rollout.origin)),
    ];
    if let (Some(stage), Some(since)) = (rollout.stage, &rollout.stage_started_at) {
        lines.push(format!("  stage        {stage} of {} since {since}", rollout.stages.len()));
    }
    if let Some(approval) = &rollout.approval {
        lines.push(format!("  approved     by {}: {}", approval.by, approval.reason));
    }
    if let Some(ended) = &rollout.ended_at {
        lines.push(format!("  ended        {ended}"));
    }
    lines.extend(rollout.metadata.iter().map(|(key, value)| format!("  {key:<12} {value}")));
    lines.iter().map(|line| plain(line)).collect()
}

/// Rollouts as a table, one a line.
pub(crate) fn rollout_table(rollouts: &[RolloutBody]) -> Vec<String> {
    let mut rows = vec![["ROLLOUT", "SERVICE", "ENVIRONMENT", "STATE", "BASELINE", "CANARY", "STARTED"].map(str::to_owned)];
    rows.extend(rollouts.iter().map(|rollout| {
        [
            rollout.id.clone(),
            plain(&rollout.service),
            plain(&rollout.environment),
            state_word(rollout.state).to_owned(),
            plain(&selector(&rollout.baseline)),
            plain(&selector(&rollout.canary)),
            rollout.started_at.clone(),
        ]
    }));
    table(&rows)
}

/// Rows in columns that are as wide as they need.
pub(crate) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> Vec<String> {
    let widths: Vec<usize> = (0..COLUMNS).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let pad =
        |row: &[String; COLUMNS]| row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect::<Vec<_>>().join("  ");
    rows.iter().map(|row| pad(row).trim_end().to_owned()).collect()
}

fn state(rollout: &RolloutBody) -> String {
    let word = state_word(rollout.state);
    if rollout.state_reason.is_empty() { word.to_owned() } else { format!("{word}: {}", rollout.state_reason) }
}

fn state_word(state: StateWord) -> &'static str {
    match state {
        StateWord::Pending => "pending",
        StateWord::Running => "running",
        StateWord::Promoted => "promoted",
        StateWord::RolledBack => "rolled_back",
        StateWord::Inconclusive => "inconclusive",
        StateWord::Cancelled => "cancelled",
        StateWord::Expired => "expired",
    }
}

fn origin(origin: OriginWord) -> &'static str {
    match origin {
        OriginWord::Requested => "requested",
        OriginWord::Detected => "detected by itself",
    }
}

fn selector(matchers: &std::collections::BTreeMap<String, String>) -> String {
    matchers.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
