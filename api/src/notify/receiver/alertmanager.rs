//! Alertmanager, API v2: an alert that fires for a while. Labels name it, so the same alert again is the same alert.

use haldane_store::UnixNanos;
use serde_json::{Value, json};
use url::Url;

use crate::notify::note::Note;

/// Where alerts go, below the address of an Alertmanager.
pub(super) fn path(base: &Url) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["api", "v2", "alerts"]);
    }
    url
}

/// The alert. What changes from one rollout to the next is in the annotations, except what tells two of them apart.
pub(super) fn alerts(note: &Note, text: &str, ends_at: UnixNanos) -> Value {
    let name = match note.event.as_str() {
        "rollout.rolled_back" => "HaldaneRollback",
        "rollout.inconclusive" => "HaldaneInconclusive",
        "rollout.expired" => "HaldaneNoTelemetry",
        "rollout.promoted" => "HaldanePromoted",
        "rollout.started" => "HaldaneRolloutStarted",
        "stage.proven" => "HaldaneStageProven",
        "approval.awaited" => "HaldaneApprovalAwaited",
        _ => "HaldaneRolloutCancelled",
    };
    json!([{
        "labels": {
            "alertname": name, "severity": note.severity.as_str(), "component": "rollout",
            "service": note.service, "environment": note.environment, "rollout_id": note.rollout_id
        },
        "annotations": { "summary": note.title(), "description": text, "reason": note.reason, "decision": note.decision, "next_step": note.next_step },
        "startsAt": note.at, "endsAt": ends_at.to_rfc3339(), "generatorURL": note.report_url
    }])
}
