//! What happened to a rollout, in the order of time, and what is still to be told.

use std::fmt::Write as _;

use haldane_analyzer::rollout::{Event, EventKind, HALDANE};
use haldane_analyzer::verdict::VerdictDecision;
use haldane_store::UnixNanos;
use haldane_store::ledger::NotificationRow;

use super::frame::text;

/// The list. `waiting` are notifications that are not settled.
pub(super) fn write(out: &mut String, events: &[Event], waiting: &[NotificationRow]) -> std::fmt::Result {
    write!(out, "<section id=\"timeline\"><h2>What happened</h2><p class=\"small mute\">Times in UTC.</p>")?;
    if events.is_empty() && waiting.is_empty() {
        return write!(out, "<p class=\"mute\">Nothing is written down of it.</p></section>");
    }
    write!(out, "<ol class=\"rows events\">")?;
    for event in events {
        let details = event.details();
        let by = if event.actor == HALDANE { String::new() } else { format!(" <span class=\"mute\">by {}</span>", text(&event.actor)) };
        let stage = details.stage.map(|stage| format!(" <span class=\"mute\">stage {stage}</span>")).unwrap_or_default();
        let decision = details.decision.filter(|_| event.kind == EventKind::VerdictChanged).map(|decision| format!(": {}", word(decision)));
        let receiver = Some(&details.receiver).filter(|name| !name.is_empty()).map(|name| format!(" <code>{}</code>", text(name)));
        let policy = Some(&details.policy).filter(|name| !name.is_empty()).map(|name| format!("policy {}", text(name)));
        let more = Some(text(&details.reason)).filter(|reason| !reason.is_empty()).or(policy).unwrap_or_default();
        write!(
            out,
            "<li id=\"event-{}\"><time datetime=\"{}\" class=\"mute\">{}</time><span><strong>{}</strong>{}{}{stage}{by}</span><span>{more}</span></li>",
            event.sequence,
            text(&event.at.to_rfc3339()),
            shown(event.at),
            words(event.kind),
            decision.unwrap_or_default(),
            receiver.unwrap_or_default(),
        )?;
    }
    for row in waiting {
        let failed = Some(&row.last_error).filter(|error| !error.is_empty()).map(|error| format!(": {}", text(error))).unwrap_or_default();
        write!(
            out,
            "<li id=\"waiting-{}\"><time datetime=\"{}\" class=\"mute\">{}</time><span><strong>still to be told</strong> <code>{}</code></span><span>tried {} time{}{failed}</span></li>",
            text(&row.id),
            text(&row.due_at.to_rfc3339()),
            shown(row.due_at),
            text(&row.receiver),
            row.attempts,
            if row.attempts == 1 { "" } else { "s" },
        )?;
    }
    write!(out, "</ol></section>")
}

/// Day and second.
pub(super) fn shown(at: UnixNanos) -> String {
    let written = at.to_rfc3339();
    match (written.get(..10), written.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time}"),
        _ => text(&written),
    }
}

fn word(decision: VerdictDecision) -> &'static str {
    match decision {
        VerdictDecision::Promote => "promote",
        VerdictDecision::Rollback => "roll back",
        VerdictDecision::Continue => "undecided yet",
        VerdictDecision::Inconclusive => "inconclusive",
    }
}

fn words(kind: EventKind) -> &'static str {
    match kind {
        EventKind::RolloutStarted => "started",
        EventKind::VerdictChanged => "verdict",
        EventKind::StageProven => "stage proven",
        EventKind::StageStarted => "stage began",
        EventKind::ApprovalAwaited => "waits for approval",
        EventKind::RolloutApproved => "approved",
        EventKind::RolloutPromoted => "promoted",
        EventKind::RolloutRolledBack => "rolled back",
        EventKind::RolloutInconclusive => "ended inconclusive",
        EventKind::RolloutCancelled => "cancelled",
        EventKind::RolloutExpired => "expired",
        EventKind::DeploymentRecorded => "deployment recorded",
        EventKind::NotificationDelivered => "told",
        EventKind::NotificationFailed => "could not be told:",
        EventKind::NotificationRetried => "told again:",
        EventKind::PolicyChanged => "policy changed",
        EventKind::TokenCreated => "token made",
        EventKind::TokenRevoked => "token revoked",
    }
}
