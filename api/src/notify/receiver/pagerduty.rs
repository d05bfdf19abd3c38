//! PagerDuty Events v2: an incident for what needs somebody, a change event for every end of a rollout. The rollout is the key of its
//! incident, so it is opened once.

use serde_json::{Value, json};
use url::Url;

use super::{Outgoing, json as outgoing};
use crate::notify::message::cut;
use crate::notify::note::{Note, Severity};

const SUMMARY_MAX: usize = 1_024;

pub(super) fn messages(base: &Url, key: &str, note: &Note, text: &str) -> Vec<Outgoing> {
    let at = |segment: &str| {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v2");
            if segment == "change" {
                segments.push(segment);
            }
            segments.push("enqueue");
        }
        url
    };
    let change = outgoing(&at("change"), change(key, note, text));
    match note.severity {
        Severity::Info => vec![change],
        Severity::Warning | Severity::Critical => vec![outgoing(&at("alert"), alert(key, note, text)), change],
    }
}

fn alert(key: &str, note: &Note, text: &str) -> Value {
    // That somebody has to agree is another matter than that something is broken.
    let about = if note.event == "approval.awaited" { format!("{} approval", note.rollout_id) } else { note.rollout_id.clone() };
    json!({
        "routing_key": key, "event_action": "trigger", "dedup_key": about, "client": "Haldane", "client_url": note.report_url,
        "payload": {
            "summary": cut(&format!("{}: {}", note.title(), note.reason), SUMMARY_MAX), "source": note.service, "severity": note.severity.as_str(),
            "timestamp": note.at, "component": note.service, "group": note.environment, "class": note.event,
            "custom_details": { "text": text, "note": note }
        },
        "links": links(note)
    })
}

fn change(key: &str, note: &Note, text: &str) -> Value {
    json!({
        "routing_key": key,
        "payload": {
            "summary": cut(&note.title(), SUMMARY_MAX), "source": note.service, "timestamp": note.at,
            "custom_details": { "text": text, "canary": note.canary, "baseline": note.baseline, "metadata": note.metadata }
        },
        "links": links(note)
    })
}

fn links(note: &Note) -> Value {
    json!([{ "href": note.report_url, "text": "Report" }])
}
