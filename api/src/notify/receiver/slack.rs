//! A Slack incoming webhook: `text` for notifications, `blocks` to read. A header has at most 150 characters, a section 3,000.

use serde_json::{Value, json};

use crate::notify::message::cut;
use crate::notify::note::{Note, Severity};

const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 2_900;

pub(super) fn message(note: &Note, text: &str) -> Value {
    let sign = match note.severity {
        Severity::Critical => ":rotating_light:",
        Severity::Warning => ":warning:",
        Severity::Info => ":information_source:",
    };
    let context = format!("rollout `{}` · {} · by {}", note.rollout_id, note.at, note.actor);
    json!({
        "text": escape(&format!("{}: {}", note.title(), note.reason)),
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": cut(&format!("{sign} {}", note.title()), HEADER_MAX), "emoji": true } },
            { "type": "section", "text": { "type": "mrkdwn", "text": cut(&escape(text), SECTION_MAX) } },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": cut(&escape(&context), SECTION_MAX) }] },
            { "type": "actions", "elements": [
                { "type": "button", "text": { "type": "plain_text", "text": "Report" }, "url": note.report_url }
            ] }
        ]
    })
}

/// The three characters that mean something to Slack.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
