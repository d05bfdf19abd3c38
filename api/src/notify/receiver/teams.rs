//! A Teams workflow: a message with an adaptive card 1.4.

use serde_json::{Value, json};

use crate::notify::note::{Note, Severity};

pub(super) fn message(note: &Note, text: &str) -> Value {
    let color = match note.severity {
        Severity::Critical => "attention",
        Severity::Warning => "warning",
        Severity::Info => "default",
    };
    // A text block reads Markdown, in which a single line break is none.
    let lines = escape(text).replace('\n', "\n\n");
    let facts = [("Service", &note.service), ("Environment", &note.environment), ("Canary", &note.canary), ("By", &note.actor)];
    let facts: Vec<Value> = facts.iter().map(|(title, value)| json!({ "title": title, "value": escape(value) })).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
                "body": [
                    { "type": "TextBlock", "size": "large", "weight": "bolder", "color": color, "wrap": true, "text": escape(&note.title()) },
                    { "type": "TextBlock", "wrap": true, "text": lines },
                    { "type": "FactSet", "facts": facts }
                ],
                "actions": [{ "type": "Action.OpenUrl", "title": "Report", "url": note.report_url }]
            }
        }]
    })
}

/// What Markdown would take for its own.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '[' | ']' | '`' | '<' | '>' | '#') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
