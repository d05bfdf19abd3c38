//! What telemetry says of a decided rollout beside its verdict: who met it, what differs between the versions, what to do.

use std::fmt::Write as _;

use haldane_analyzer::rollout::Story;

use super::failures::trace_link;
use super::frame::text;
use crate::report::{count, facts};

/// The section; nothing before a decision. `at` is where a trace is shown, if anywhere.
pub(super) fn write(out: &mut String, story: Option<&Result<Story, String>>, at: Option<&str>) -> std::fmt::Result {
    let Some(story) = story else { return Ok(()) };
    write!(out, "<section id=\"differences\"><h2>Who met it, and what differs</h2>")?;
    match story {
        Err(why) => write!(out, "<p class=\"mute\">{}</p>", text(why))?,
        Ok(story) => write_story(out, story, at)?,
    }
    write!(out, "</section>")
}

fn write_story(out: &mut String, story: &Story, at: Option<&str>) -> std::fmt::Result {
    write!(out, "<ul>")?;
    for fact in facts(story) {
        write!(out, "<li>{}</li>", text(&fact))?;
    }
    for attribute in &story.impact.attributes {
        let list = |values: &[String]| {
            let values: Vec<String> = values.iter().map(|value| format!("<code>{}</code>", text(value))).collect();
            if values.is_empty() { "nothing".to_owned() } else { values.join(", ") }
        };
        write!(
            out,
            "<li><code>{}</code> is {} instead of {}</li>",
            text(&attribute.key),
            list(&attribute.canary),
            list(&attribute.baseline)
        )?;
    }
    for message in story.impact.new_messages.iter().flatten() {
        write!(
            out,
            "<li>only the canary logs, {} times: {} <code>{}</code>",
            count(message.count),
            text(&message.severity),
            text(&message.message)
        )?;
        if !message.trace_id.is_empty() {
            write!(out, " <span class=\"mute\">example</span> {}", trace_link(&message.trace_id, at))?;
        }
        write!(out, "</li>")?;
    }
    write!(out, "</ul><h3>What to do</h3><ol>")?;
    for step in &story.next_steps {
        write!(out, "<li>{}</li>", text(step))?;
    }
    write!(out, "</ol>")
}
