//! Errors that only the canary has, or has far more often: what they say, how often, where, and the stack trace of an example.

use std::fmt::Write as _;

use haldane_analyzer::traces::{AttributeValue, LoggedStack, SpanEvent, Trace};

use super::frame::{lines, text};
use super::served::{Exhibits, NewError};
use super::waterfall::Sampled;
use crate::report::count;

/// Longest stack trace, in characters.
const STACK_MAX: usize = 12_000;

/// The errors; a sentence where nothing is known. `at` is where a trace is shown, if anywhere.
pub(super) fn write(out: &mut String, found: &Result<Exhibits, String>, sampled: &Sampled, at: Option<&str>) -> std::fmt::Result {
    write!(out, "<section id=\"errors\"><h2>New and more frequent errors</h2>")?;
    match found {
        Err(why) => write!(out, "<p class=\"mute\">{}</p>", text(why))?,
        Ok(found) if found.new_errors.0.is_empty() => {
            write!(out, "<p class=\"mute\">None: the canary has no error that the baseline did not have about as often.</p>")?;
        }
        Ok(found) => {
            let (errors, of) = &found.new_errors;
            write!(out, "<ol>")?;
            for error in errors {
                write_error(out, error, sampled, at)?;
            }
            write!(out, "</ol>")?;
            if *of > errors.len() {
                write!(out, "<p class=\"mute\">And {} more that were seen less often.</p>", of - errors.len())?;
            }
        }
    }
    write!(out, "</section>")
}

fn write_error(out: &mut String, error: &NewError, sampled: &Sampled, at: Option<&str>) -> std::fmt::Result {
    let id = text(&error.fingerprint);
    write!(
        out,
        "<li id=\"error-{id}\"><strong>{}</strong> <span class=\"mute\">{}, {} times, {}</span><br><code>{}</code>",
        text(if error.error_type.is_empty() { "error" } else { &error.error_type }),
        how_new(error),
        count(error.count),
        source(&error.source),
        text(&error.message)
    )?;
    if !error.operations.is_empty() {
        let names: Vec<String> = error.operations.iter().take(5).map(|name| format!("<code>{}</code>", text(name))).collect();
        let more = if error.operations.len() > 5 { " and others" } else { "" };
        write!(out, "<br><span class=\"mute\">in</span> {}{more}", names.join(", "))?;
    }
    let Some(trace) = error.trace.as_deref() else { return write!(out, "</li>") };
    write!(out, "<br><span class=\"mute\">example</span> {}", trace_link(trace, at))?;
    match stack(error, trace, sampled) {
        Some(stack) => write!(
            out,
            "<details id=\"stack-{id}\"><summary>Stack trace</summary><pre tabindex=\"0\" role=\"region\" aria-label=\"Stack trace of {}\">{}</pre></details></li>",
            text(&error.error_type),
            lines(stack, STACK_MAX)
        ),
        None => write!(out, "<br><span class=\"mute\">No stack trace came with it, or its trace is no longer kept.</span></li>"),
    }
}

/// A trace as a link to where it is shown.
pub(super) fn trace_link(trace: &str, at: Option<&str>) -> String {
    let id = text(trace);
    match at {
        Some(page) if trace.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            format!("<a href=\"{page}?trace={id}#traces\"><code>{id}</code></a>")
        }
        _ => format!("<code>{id}</code>"),
    }
}

fn how_new(error: &NewError) -> String {
    if error.expected > 0.0 {
        format!("{:.0} × as often as with the baseline", error.count as f64 / error.expected)
    } else {
        "new".to_owned()
    }
}

fn source(word: &str) -> &'static str {
    match word {
        "exception" => "exception",
        "log" => "logged",
        _ => "status of a span",
    }
}

/// The stack trace of this error in that trace, else any that is in it.
fn stack<'a>(error: &NewError, trace: &str, sampled: &'a Sampled) -> Option<&'a str> {
    let traces = sampled.traces.iter().filter(|one| one.trace_id == trace);
    let told = traces.flat_map(stacks).chain(sampled.stacks.iter().filter(|one| one.trace_id == trace).map(logged));
    let told: Vec<(&str, &str)> = told.collect();
    let same = told.iter().find(|(kind, _)| *kind == &*error.error_type);
    same.or_else(|| told.first()).map(|(_, stack)| *stack)
}

fn stacks(trace: &Trace) -> impl Iterator<Item = (&str, &str)> {
    let events = trace.spans.iter().flat_map(|span| &span.events);
    events.filter_map(|event| Some((attribute(event, "exception.type").unwrap_or_default(), attribute(event, "exception.stacktrace")?)))
}

fn logged(stack: &LoggedStack) -> (&str, &str) {
    (&stack.error_type, &stack.stack)
}

/// What an attribute of an event says.
pub(super) fn attribute<'a>(event: &'a SpanEvent, key: &str) -> Option<&'a str> {
    let found = event.attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        AttributeValue::Text(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
        AttributeValue::Integer(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_own_stack_trace_and_nothing_of_it_is_markup() {
        let error = NewError {
            fingerprint: "f\"1".into(),
            source: "exception".into(),
            error_type: "Boom".into(),
            message: "<b>no</b>".into(),
            count: 3,
            expected: 0.0,
            operations: ["POST /pay".into()].into(),
            trace: Some("abc".into()),
        };
        let stack = |trace_id: &str, error_type: &str, stack: &str| LoggedStack {
            trace_id: trace_id.into(),
            error_type: error_type.into(),
            stack: stack.into(),
        };
        let stacks = vec![stack("abc", "Other", "at other"), stack("abc", "Boom", "at <init>\nat main"), stack("def", "Boom", "elsewhere")];
        let mut out = String::new();
        write_error(&mut out, &error, &Sampled { stacks, ..Sampled::default() }, Some("/rollouts/r")).unwrap();
        assert!(out.contains("at &lt;init&gt;\nat main") && !out.contains("<b>") && !out.contains("other"), "{out}");
        assert!(out.contains("href=\"/rollouts/r?trace=abc#traces\"") && !out.contains("f\"1"), "{out}");
        assert_eq!(trace_link("a\"b", Some("/x")), "<code>a&quot;b</code>");
    }
}
