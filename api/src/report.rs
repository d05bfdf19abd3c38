//! A verdict as a person reads it: Markdown, for a terminal, a pull request or a page.
//!
//! Always holds: names and messages come from telemetry, so they are escaped and cannot change the form of the report.

use std::fmt::Write as _;
use std::time::Duration;

use haldane_analyzer::rollout::Story;
use haldane_analyzer::verdict::{
    BaselineSource, ChangeVerdict, CheckVerdict, CulpritKind, CulpritVerdict, EffectVerdict, GroupVerdict, Measure, Outcome, SideVerdict,
    Verdict, VerdictDecision,
};

/// Longest text taken from telemetry, in characters.
const TEXT_MAX: usize = 300;

/// The report on a verdict, and on what telemetry says beside it, where that was asked.
pub fn markdown(verdict: &Verdict, story: Option<&Result<Story, String>>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_head(&mut out, verdict);
    let _ = write_cohorts(&mut out, verdict);
    let _ = write_checks(&mut out, &verdict.checks, &verdict.groups);
    let _ = write_culprits(&mut out, &verdict.culprits);
    let _ = write_changes(&mut out, &verdict.changes);
    let _ = match story {
        None => Ok(()),
        Some(Ok(story)) => write_story(&mut out, story),
        Some(Err(why)) => writeln!(out, "## Who met it, and what differs\n\n{}\n", escape(why)),
    };
    let _ = write_foot(&mut out, verdict);
    out
}

/// What the decision asks a person to do.
pub fn next_step(verdict: &Verdict) -> &'static str {
    match (verdict.decision, verdict.is_final) {
        (VerdictDecision::Promote, false) => "Move the traffic of the next stage, then say so: haldane rollout advance.",
        (VerdictDecision::Continue, _) if verdict.awaits_somebody() => "Approve the promotion, or roll back: everything is proven.",
        (VerdictDecision::Promote, true) => "Go on with the rollout: the canary is not worse than the promotion margins.",
        (VerdictDecision::Rollback, _) => "Roll the canary back, then look at the culprits and their traces.",
        (VerdictDecision::Continue, _) => {
            "Wait: there is not enough evidence yet. Keep the canary's share of the traffic as it is or raise it."
        }
        (VerdictDecision::Inconclusive, true) => {
            "Decide by hand, or start again with more traffic or more time: the data does not carry a decision."
        }
        (VerdictDecision::Inconclusive, false) => "Look at why the comparison is not valid: with more data it may become so.",
    }
}

fn write_head(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let title = match verdict.decision {
        VerdictDecision::Promote => "promote",
        VerdictDecision::Rollback => "roll back",
        VerdictDecision::Continue => "undecided yet",
        VerdictDecision::Inconclusive => "inconclusive",
    };
    writeln!(out, "# {} in {}: {title}\n", escape(&verdict.service), escape(&verdict.environment))?;
    if let Some(stage) = &verdict.stage {
        writeln!(out, "Stage {} of {}, at {} % of the traffic.\n", stage.number, stage.of, digits(stage.traffic * 100.0))?;
    }
    if !verdict.reason.is_empty() {
        writeln!(out, "**{}**\n", escape(&verdict.reason))?;
    }
    if let Some(because) = &verdict.inconclusive_because {
        writeln!(out, "No decision was possible: {}\n", escape(because))?;
    }
    // The first reason is the one above.
    for reason in verdict.reasons.iter().filter(|reason| **reason != verdict.reason) {
        writeln!(out, "- {}", escape(reason))?;
    }
    if verdict.reasons.iter().any(|reason| *reason != verdict.reason) {
        writeln!(out)?;
    }
    writeln!(out, "{}\n", next_step(verdict))
}

fn write_cohorts(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let picked = |selector: &std::collections::BTreeMap<String, String>| {
        let parts: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        // In a table a bar ends the cell even within code, unless it is escaped.
        code(&parts.join(", ")).replace('|', "\\|")
    };
    writeln!(out, "| | baseline | canary |\n| --- | --- | --- |")?;
    writeln!(out, "| picked by | {} | {} |", picked(&verdict.baseline.selector), picked(&verdict.canary.selector))?;
    writeln!(out, "| requests | {} | {} |", count(verdict.baseline.requests), count(verdict.canary.requests))?;
    writeln!(out, "| instances | {} | {} |\n", count(verdict.baseline.instances), count(verdict.canary.instances))?;
    match verdict.baseline_source {
        BaselineSource::Concurrent => Ok(()),
        BaselineSource::Preceding => {
            writeln!(out, "The baseline did not serve at the same time: the comparison is with what ran before the rollout.\n")
        }
    }
}

fn write_checks(out: &mut String, checks: &[CheckVerdict], groups: &[GroupVerdict]) -> std::fmt::Result {
    if checks.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "## Checks\n\n| check | outcome | baseline | canary | canary over baseline | evidence of harm |\n| --- | --- | --- | --- | --- | --- |"
    )?;
    for check in checks {
        writeln!(
            out,
            "| {}{} | {} | {} | {} | {} | {} |",
            escape(&check.name),
            if check.required { "" } else { " (not required)" },
            outcome(check.outcome),
            side(&check.baseline, &check.unit),
            side(&check.canary, &check.unit),
            check.effect.as_ref().map_or_else(|| "–".to_owned(), effect),
            evidence(check.e_value),
        )?;
    }
    writeln!(out)?;
    for check in checks.iter().filter(|check| !check.reason.is_empty()) {
        writeln!(out, "- **{}**: {}", escape(&check.name), escape(&check.reason))?;
    }
    if !groups.is_empty() {
        let scores: Vec<String> = groups.iter().map(|group| format!("{} {}", escape(&group.name), group_score(group))).collect();
        writeln!(out, "\nScores of 100: {}.", scores.join(", "))?;
    }
    writeln!(out)
}

/// "40", "40 (70 needed)", "not known".
pub(crate) fn group_score(group: &GroupVerdict) -> String {
    let score = group.score.map_or_else(|| "not known".to_owned(), |score| format!("{score:.0}"));
    group.min_score.map_or_else(|| score.clone(), |needed| format!("{score} ({needed:.0} needed)"))
}

fn write_changes(out: &mut String, changes: &[ChangeVerdict]) -> std::fmt::Result {
    if changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "## What the canary does differently\n")?;
    for change in changes {
        writeln!(out, "- {}", escape(&change.reason))?;
    }
    writeln!(out)
}

fn write_story(out: &mut String, story: &Story) -> std::fmt::Result {
    writeln!(out, "## Who met it, and what differs\n")?;
    for fact in facts(story) {
        writeln!(out, "- {}", escape(&fact))?;
    }
    let list = |values: &[String]| {
        let values: Vec<String> = values.iter().map(|value| code(value)).collect();
        if values.is_empty() { "nothing".to_owned() } else { values.join(", ") }
    };
    for attribute in &story.impact.attributes {
        writeln!(out, "- {} is {} instead of {}", code(&attribute.key), list(&attribute.canary), list(&attribute.baseline))?;
    }
    for error in &story.impact.new_errors {
        let name = if error.error_type.is_empty() { "error" } else { &error.error_type };
        writeln!(out, "- only the canary fails with {}, {} times: {}", code(name), count(error.count), code(&error.message))?;
    }
    for message in story.impact.new_messages.iter().flatten() {
        writeln!(out, "- only the canary logs, {} times: {} {}", count(message.count), escape(&message.severity), code(&message.message))?;
    }
    writeln!(out, "\n## What to do\n")?;
    for (at, step) in story.next_steps.iter().enumerate() {
        writeln!(out, "{}. {}", at + 1, escape(step))?;
    }
    writeln!(out)
}

/// Who met the regression and for how long, a sentence each, and what is not known.
pub(crate) fn facts(story: &Story) -> Vec<String> {
    let mut facts = Vec::new();
    if story.requests_affected > 0 {
        facts.push(format!(
            "about {} requests failed or were slow that would not have been with the baseline, {} % of all of both versions",
            count(story.requests_affected),
            digits(story.share_of_requests * 100.0)
        ));
    }
    if let Some(users) = story.impact.users {
        facts.push(format!("{} of the {} users or sessions that the canary served met it", count(users.met), count(users.served)));
    }
    facts.extend(story.impact.failing_since.map(|at| format!("the canary's first failure was at {}", at.to_rfc3339())));
    let since = if story.impact.failing_since.is_some() { "that" } else { "the start" };
    facts.extend(story.time_to_detect.map(|took| format!("it was rolled back {} after {since}", span(took))));
    if story.impact.new_messages.is_none() {
        facts.push("the log records could not be read: whether there are new ones is not known".to_owned());
    }
    facts.extend(story.time_to_recover.map(|took| format!("the next good release came {} after the start", span(took))));
    facts
}

/// "40 s", "12 min", "3.5 h".
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", digits(time.as_secs_f64() / 3_600.0)),
    }
}

fn write_culprits(out: &mut String, culprits: &[CulpritVerdict]) -> std::fmt::Result {
    if culprits.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Culprits\n")?;
    for (at, culprit) in culprits.iter().enumerate() {
        let kind = match culprit.kind {
            CulpritKind::Operation => "operation",
            CulpritKind::Instance => "instance",
            CulpritKind::Error => "error",
        };
        // An error's name is a fingerprint, which tells a person nothing.
        let name = culprit.error_type.as_deref().filter(|_| culprit.kind == CulpritKind::Error).unwrap_or(&culprit.name);
        writeln!(out, "{}. {kind} {}: {}", at + 1, code(name), escape(&culprit.reason))?;
        if let Some(kind) = culprit.error_type.as_deref().filter(|kind| !kind.is_empty() && *kind != name) {
            writeln!(out, "   - error: {}", code(kind))?;
        }
        if let Some(message) = culprit.message.as_deref().filter(|message| !message.is_empty()) {
            writeln!(out, "   - message: {}", code(message))?;
        }
        if !culprit.trace_ids.is_empty() {
            let ids: Vec<String> = culprit.trace_ids.iter().map(|id| code(id)).collect();
            writeln!(out, "   - traces: {}", ids.join(", "))?;
        }
    }
    writeln!(out)
}

fn write_foot(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let last = if verdict.is_final { "the last one" } else { "not the last one" };
    writeln!(
        out,
        "Rollout {}, verdict {} ({last}), decided at {} from data of {} to {}; budget for a false rollback {}, seed {}.",
        code(&verdict.rollout_id),
        verdict.sequence,
        escape(&verdict.decided_at),
        escape(&verdict.started_at),
        escape(&verdict.data_until),
        verdict.risk.alpha,
        verdict.seed
    )
}

/// The outcome of a check in words.
pub fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Regressed => "worse",
        Outcome::NotWorse => "not worse",
        Outcome::Undecided => "undecided",
        Outcome::NoData => "no data",
    }
}

/// A side in its unit, such as `0.44 % (4 of 900)` or `120 ms`.
pub fn side(side: &SideVerdict, unit: &str) -> String {
    let Some(value) = side.value else { return "–".to_owned() };
    match unit {
        "s" if value < 1.0 => format!("{} ms", digits(value * 1000.0)),
        "s" => format!("{} s", digits(value)),
        "1" => format!("{} % ({} of {})", digits(value * 100.0), count(side.events), count(side.requests)),
        _ => format!("{} {}", digits(value), escape(unit)),
    }
}

/// An effect with its interval, such as `24 × (99 % interval 9 to 61)`.
pub fn effect(effect: &EffectVerdict) -> String {
    let of = match effect.measure {
        Measure::RateRatio | Measure::QuantileRatio | Measure::MeanRatio => "",
        Measure::ShareRatio => " of its share",
    };
    let estimate = effect.estimate.map_or_else(|| "from zero".to_owned(), |estimate| format!("{} ×{of}", digits(estimate)));
    let high = effect.high.map_or_else(|| "∞".to_owned(), digits);
    format!("{estimate} ({} % interval {} to {high})", digits(effect.level * 100.0), digits(effect.low))
}

fn evidence(e_value: f64) -> String {
    if e_value >= 1e6 { "over 1,000,000".to_owned() } else { digits(e_value) }
}

/// Three significant digits, without noise behind them.
fn digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { "–".to_owned() };
    }
    let mut decimals = 0_usize;
    let mut size = value.abs();
    while size < 100.0 && decimals < 6 {
        size *= 10.0;
        decimals += 1;
    }
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A whole number with commas between thousands.
pub(crate) fn count(number: u64) -> String {
    let plain = number.to_string();
    let mut out = String::with_capacity(plain.len() + plain.len() / 3);
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn clean(text: &str) -> String {
    let mut out: String = text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(TEXT_MAX).is_some() {
        out.push('…');
    }
    out
}

fn escape(text: &str) -> String {
    let text = clean(text);
    let mut out = String::with_capacity(text.len());
    let mut previous = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        // An underscore within a word means nothing.
        let within = c == '_' && previous.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric());
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~') && !within {
            out.push('\\');
        }
        out.push(c);
        previous = c;
    }
    out
}

/// Text as it is, in a fence longer than any run of backticks in it.
fn code(text: &str) -> String {
    let text = clean(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') || text.is_empty() { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

#[cfg(test)]
mod tests;
