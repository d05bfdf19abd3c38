//! A trace of the canary beside one of the baseline, span by span.

use std::collections::HashMap;
use std::fmt::Write as _;

use haldane_analyzer::traces::{LoggedStack, Trace, TraceSpan};
use haldane_store::UnixNanos;

use super::failures::attribute;
use super::frame::text;
use super::plot::latency;
use super::served::Examples;

/// Most spans that are shown of a trace.
const SPANS_MAX: usize = 60;
/// Deeper spans are not set in further.
const DEPTH_MAX: usize = 8;
/// Failed spans that are told in words.
const TOLD: usize = 3;

/// What was read for the page.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sampled {
    /// Which traces stand for the versions.
    pub(crate) examples: Examples,
    /// Those that are still kept, and those of new errors.
    pub(crate) traces: Vec<Trace>,
    /// Stack traces that were logged in them.
    pub(crate) stacks: Vec<LoggedStack>,
    /// Why there are none, if they could not be read.
    pub(crate) missing: Option<String>,
}

/// How a span is drawn.
struct Look<'a> {
    class: &'a str,
    /// Its service, where it is told.
    service: Option<&'a str>,
}

/// Both traces; a sentence in the place of one that cannot be had.
pub(super) fn write(out: &mut String, sampled: &Sampled) -> std::fmt::Result {
    let Examples { operation, canary, baseline } = &sampled.examples;
    write!(out, "<section id=\"traces\"><h2>One trace of each version</h2>")?;
    if !operation.is_empty() {
        write!(
            out,
            "<p class=\"small mute\">Of the operation <code>{}</code>; the baseline's is one of its slowest.</p>",
            text(operation)
        )?;
    }
    // The more spans, the more there is to see; of equals the first.
    let find = |ids: &[String]| {
        let kept = ids.iter().rev().filter_map(|id| sampled.traces.iter().find(|trace| trace.trace_id == *id));
        kept.max_by_key(|trace| trace.spans.len())
    };
    let (canary_trace, baseline_trace) = (find(canary), find(baseline));
    let longest = [canary_trace, baseline_trace].into_iter().flatten().map(|trace| extent(trace).1).fold(0.0, f64::max);
    write!(out, "<div class=\"pairs\">")?;
    for (name, class, ids, trace) in [("canary", "new", canary, canary_trace), ("baseline", "base", baseline, baseline_trace)] {
        write!(out, "<div id=\"trace-{name}\"><h3>Of the {name}</h3>")?;
        match trace {
            Some(trace) => write_trace(out, trace, (name, class), longest)?,
            None => write!(out, "<p class=\"mute\">{}</p>", text(&why_not(sampled, ids, name)))?,
        }
        write!(out, "</div>")?;
    }
    write!(out, "</div></section>")
}

fn why_not(sampled: &Sampled, ids: &[String], name: &str) -> String {
    match (&sampled.missing, ids.first()) {
        (_, None) => format!("No trace of the {name} is known for this operation: none was seen, or the evidence is not kept."),
        (Some(why), Some(id)) => format!("Trace {id} could not be shown: {why}"),
        (None, Some(id)) => format!("Trace {id} is not kept: it was not sampled, or is older than raw data is kept."),
    }
}

fn write_trace(out: &mut String, trace: &Trace, (name, class): (&str, &str), longest: f64) -> std::fmt::Result {
    let (began, seconds) = extent(trace);
    let services = trace.spans.iter().map(|span| span.service.as_str()).collect::<std::collections::BTreeSet<_>>().len();
    write!(
        out,
        "<p class=\"small\"><code>{}</code><br>{} in {} span{} of {services} service{}</p>",
        text(&trace.trace_id),
        latency(seconds),
        trace.spans.len(),
        if trace.spans.len() == 1 { "" } else { "s" },
        if services == 1 { "" } else { "s" },
    )?;
    write!(out, "<ol class=\"trace\" tabindex=\"0\" aria-label=\"Spans of the {name}'s trace\">")?;
    let ordered = in_order(&trace.spans);
    for (depth, span) in ordered.iter().take(SPANS_MAX) {
        // One name for all would only take room.
        let service = Some(span.service.as_str()).filter(|_| services > 1);
        write_span(out, (span, *depth), (began, longest), &Look { class, service })?;
    }
    write!(out, "</ol>")?;
    let hidden = ordered.len().saturating_sub(SPANS_MAX);
    if hidden > 0 || trace.may_lack_spans {
        let more = if trace.may_lack_spans { "; some may not have been read" } else { "" };
        write!(out, "<p class=\"mute small\">And {hidden} more spans{more}.</p>")?;
    }
    for span in trace.spans.iter().filter(|span| is_failed(span)).take(TOLD) {
        write!(out, "<p class=\"small\"><span class=\"worse\">failed</span> {}: {}</p>", text(&span.name), text(what_failed(span)))?;
    }
    Ok(())
}

fn write_span(
    out: &mut String,
    (span, depth): (&TraceSpan, usize),
    (began, longest): (UnixNanos, f64),
    look: &Look<'_>,
) -> std::fmt::Result {
    let longest = if longest > 0.0 { longest } else { 1.0 };
    let from = 100.0 * (span.start.since(began).as_secs_f64() / longest).clamp(0.0, 1.0);
    let width = (100.0 * span.duration.as_secs_f64() / longest).clamp(0.0, 100.0 - from);
    let failed = is_failed(span);
    let (what, took) = (format!("{} {}", span.service, span.name), latency(span.duration.as_secs_f64()));
    write!(
        out,
        "<li title=\"{}\"><span class=\"what\" style=\"padding-left:{:.1}rem\">{}{}{}</span>\
         <span class=\"lane\"><i class=\"{}\" style=\"left:{from:.2}%;width:{width:.2}%\"></i></span><span class=\"took\">{took}</span></li>",
        text(&format!("{what}, {took}")),
        0.6 * depth.min(DEPTH_MAX) as f64,
        if failed { "<span class=\"worse\">✗<span class=\"unseen\">failed</span></span> " } else { "" },
        look.service.map(|service| format!("<span class=\"mute\">{}</span> ", text(service))).unwrap_or_default(),
        text(&span.name),
        if failed { "failed" } else { look.class },
    )
}

fn is_failed(span: &TraceSpan) -> bool {
    span.status_code == "ERROR"
}

/// What a failed span says of it.
fn what_failed(span: &TraceSpan) -> &str {
    let exception =
        || span.events.iter().find_map(|event| attribute(event, "exception.message").or_else(|| attribute(event, "exception.type")));
    let said = Some(span.status_message.as_str()).filter(|message| !message.is_empty());
    said.or_else(exception).unwrap_or("it does not say why")
}

/// When a trace began, and how many seconds lie between its first and its last moment.
fn extent(trace: &Trace) -> (UnixNanos, f64) {
    let began = trace.spans.iter().map(|span| span.start).min().unwrap_or(UnixNanos::new(0));
    let ended = trace.spans.iter().map(|span| span.start.plus(span.duration)).max().unwrap_or(began);
    (began, ended.since(began).as_secs_f64())
}

/// Spans below those that caused them, each with its depth. A span whose cause is not there stands at the top.
fn in_order(spans: &[TraceSpan]) -> Vec<(usize, &TraceSpan)> {
    let places: HashMap<&str, usize> = spans.iter().enumerate().rev().map(|(at, span)| (span.span_id.as_str(), at)).collect();
    let parent = |at: usize| places.get(spans[at].parent_span_id.as_str()).copied().filter(|parent| *parent != at);
    let mut below: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for at in (0..spans.len()).rev() {
        below.entry(parent(at)).or_default().push(at);
    }
    let mut seen = vec![false; spans.len()];
    let mut ordered = Vec::with_capacity(spans.len());
    // Spans that name each other as their cause hang from nothing: they come last.
    let roots = below.remove(&None).unwrap_or_default();
    for start in roots.into_iter().rev().chain(0..spans.len()) {
        let mut next = vec![(0, start)];
        while let Some((depth, at)) = next.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            ordered.push((depth, &spans[at]));
            next.extend(below.get(&Some(at)).into_iter().flatten().map(|child| (depth + 1, *child)));
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn span(id: &str, parent: &str, start: i64) -> TraceSpan {
        TraceSpan {
            span_id: id.into(),
            parent_span_id: parent.into(),
            name: format!("<{id}>"),
            kind: "SERVER".into(),
            status_code: if id == "b" { "ERROR" } else { "OK" }.into(),
            status_message: String::new(),
            start: UnixNanos::from_seconds(start),
            duration: Duration::from_secs(2),
            service: "s".into(),
            scope: String::new(),
            attributes: Vec::new(),
            resource: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
        }
    }

    #[test]
    fn every_span_stands_below_its_cause_whatever_causes_it() {
        let spans = [
            span("a", "", 0),
            span("b", "a", 1),
            span("c", "x", 2),
            span("d", "b", 3),
            span("e", "a", 4),
            span("l", "m", 5),
            span("m", "l", 6),
        ];
        let found: Vec<(usize, &str)> = in_order(&spans).into_iter().map(|(depth, span)| (depth, span.span_id.as_str())).collect();
        assert_eq!(found, [(0, "a"), (1, "b"), (2, "d"), (1, "e"), (0, "c"), (0, "l"), (1, "m")]);
        let itself = [span("a", "a", 0), span("a", "a", 1)];
        assert_eq!(in_order(&itself).len(), 2);
    }

    #[test]
    fn what_cannot_be_had_is_said_and_a_long_trace_is_cut() {
        let spans = (0..70).map(|number| span(&format!("{number:02}"), "", number)).chain([span("b", "", 0)]).collect();
        let examples = Examples { operation: "<op>".into(), canary: vec!["gone".into(), "there".into()], baseline: vec!["old".into()] };
        let traces = vec![Trace { trace_id: "there".into(), spans, may_lack_spans: false }];
        let mut out = String::new();
        write(&mut out, &Sampled { examples, traces, ..Sampled::default() }).unwrap();
        assert!(out.contains("Trace old is not kept") && out.contains("And 11 more spans") && out.contains("it does not say why"), "{out}");
        assert!(!out.contains("<op>") && !out.contains("<00>"));
        assert_eq!(out.matches("<li").count(), 60);
    }
}
