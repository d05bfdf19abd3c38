//! The report on a rollout: what was decided and why, by how much, since when, where the harm is, what changed, what to do.

use std::fmt::Write as _;

use haldane_analyzer::rollout::{Event, Rollout};
use haldane_analyzer::verdict::{BaselineSource, CheckVerdict, CulpritKind, CulpritVerdict, Measure, Outcome, Verdict, VerdictDecision};

use crate::report::{effect, next_step, outcome, side};

/// Longest text taken from telemetry, in characters.
const TEXT_MAX: usize = 400;
/// The width of a plot, in its own units.
const PLOT_WIDTH: f64 = 320.0;
/// Plots reach from a quarter to this many times the baseline, on a log scale.
const RATIO_MAX: f64 = 64.0;
const RATIO_MIN: f64 = 0.25;

const STYLE: &str = "
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--mute:#59636e;--line:#d1d9e0;--soft:#f6f8fa;--bad:#cf222e;--good:#1a7f37;--warn:#9a6700}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--mute:#9198a1;--line:#3d444d;--soft:#151b23;--bad:#f85149;--good:#3fb950;--warn:#d29922}}
*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1.5rem;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{margin:.4rem 0}.mute{color:var(--mute)}
.badge{display:inline-block;padding:.1rem .7rem;border-radius:1rem;color:#fff;font-weight:600}.bad{background:#cf222e}.good{background:#1a7f37}.warn{background:#9a6700}.wait{background:#57606a}
.lead{font-size:1.1rem;border-left:4px solid var(--line);padding:.4rem 1rem;background:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--mute);font-weight:600}code{font:.88em ui-monospace,monospace;overflow-wrap:anywhere}td:first-child code{white-space:nowrap}.worse{color:var(--bad);font-weight:600}.fine{color:var(--good)}
ol,ul{padding-left:1.3rem}li{margin:.5rem 0}svg{display:block;min-width:16rem}svg text{font:11px system-ui,sans-serif;fill:var(--mute)}footer{margin-top:2.5rem;border-top:1px solid var(--line);padding-top:.8rem}";

/// The report as one HTML document.
pub fn html(rollout: &Rollout, verdict: &Verdict, events: &[Event]) -> String {
    let mut out = String::with_capacity(16 << 10);
    // Writing to a String cannot fail.
    let _ = write_head(&mut out, rollout, verdict);
    let _ = write_cohorts(&mut out, verdict);
    let _ = write_checks(&mut out, &verdict.checks);
    let _ = write_culprits(&mut out, &verdict.culprits);
    let _ = write_changes(&mut out, verdict);
    let _ = write_events(&mut out, events);
    let _ = write_foot(&mut out, rollout, verdict);
    out
}

fn write_head(out: &mut String, rollout: &Rollout, verdict: &Verdict) -> std::fmt::Result {
    let (word, class) = match verdict.decision {
        VerdictDecision::Promote => ("promote", "good"),
        VerdictDecision::Rollback => ("roll back", "bad"),
        VerdictDecision::Continue => ("undecided yet", "wait"),
        VerdictDecision::Inconclusive => ("inconclusive", "warn"),
    };
    let (service, environment) = (text(&verdict.service), text(&verdict.environment));
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{service} in {environment}: {word}</title><style>{STYLE}</style></head><body>"
    )?;
    write!(out, "<header><p class=\"mute\">Rollout of <strong>{service}</strong> in <strong>{environment}</strong></p>")?;
    write!(
        out,
        "<h1><span class=\"badge {class}\">{word}</span> {} against {}</h1>",
        picked(&verdict.canary.selector),
        picked(&verdict.baseline.selector)
    )?;
    let state = rollout.state.as_str().replace('_', " ");
    write!(out, "<p class=\"mute\">{state}; compared from {} to {}</p></header>", text(&verdict.started_at), text(&verdict.data_until))?;
    write!(out, "<p class=\"lead\">{}</p>", text(&verdict.reason))?;
    let others: Vec<&String> = verdict.reasons.iter().filter(|reason| **reason != verdict.reason).collect();
    if !others.is_empty() {
        write!(out, "<ul>")?;
        for reason in others {
            write!(out, "<li>{}</li>", text(reason))?;
        }
        write!(out, "</ul>")?;
    }
    write!(out, "<p><strong>What to do:</strong> {}</p>", text(next_step(verdict)))
}

fn write_cohorts(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let affected = verdict.checks.iter().find(|check| check.name == "error_rate" && check.outcome == Outcome::Regressed);
    write!(
        out,
        "<h2>Who was compared</h2><div class=\"scroll\"><table><tr><th></th><th>picked by</th><th>requests</th><th>instances</th></tr>"
    )?;
    for (name, cohort) in [("baseline", &verdict.baseline), ("canary", &verdict.canary)] {
        write!(
            out,
            "<tr><th>{name}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            picked(&cohort.selector),
            cohort.requests,
            cohort.instances
        )?;
    }
    write!(out, "</table></div>")?;
    if verdict.baseline_source == BaselineSource::Preceding {
        write!(out, "<p>The baseline did not serve at the same time: the comparison is with what ran before the rollout.</p>")?;
    }
    let all = verdict.baseline.requests + verdict.canary.requests;
    if let Some(check) = affected.filter(|_| all > 0) {
        let expected = check.baseline.value.unwrap_or(0.0) * check.canary.requests as f64;
        let excess = (check.canary.events as f64 - expected).max(0.0);
        write!(
            out,
            "<p>About {excess:.0} requests failed that would not have with the baseline: {:.2} % of all requests of both versions in this time.</p>",
            100.0 * excess / all as f64
        )?;
    }
    Ok(())
}

fn write_checks(out: &mut String, checks: &[CheckVerdict]) -> std::fmt::Result {
    if checks.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<h2>Checks</h2><div class=\"scroll\"><table><tr><th>check</th><th>outcome</th><th>baseline</th><th>canary</th>\
         <th>canary over baseline; the dashed line is the tolerance</th></tr>"
    )?;
    for check in checks {
        let class = match check.outcome {
            Outcome::Regressed => "worse",
            Outcome::NotWorse => "fine",
            Outcome::Undecided | Outcome::NoData => "mute",
        };
        write!(
            out,
            "<tr><td><code>{}</code>{}</td><td class=\"{class}\">{}</td><td>{}</td><td>{}</td><td>",
            text(&check.name),
            if check.required { "" } else { "<br><span class=\"mute\">not required</span>" },
            outcome(check.outcome),
            text(&side(&check.baseline, &check.unit)),
            text(&side(&check.canary, &check.unit)),
        )?;
        write_plot(out, check, class)?;
        write!(out, "<span class=\"mute\">{}</span></td></tr>", text(&check.reason))?;
    }
    write!(out, "</table></div>")
}

/// The ratio with its interval, on a log scale from a quarter to 64 times, with a line at 1 and one at the tolerance.
fn write_plot(out: &mut String, check: &CheckVerdict, class: &str) -> std::fmt::Result {
    let Some(found) =
        check.effect.as_ref().filter(|effect| matches!(effect.measure, Measure::RateRatio | Measure::QuantileRatio | Measure::MeanRatio))
    else {
        return Ok(());
    };
    let place = |ratio: f64| {
        let share = (ratio.clamp(RATIO_MIN, RATIO_MAX) / RATIO_MIN).ln() / (RATIO_MAX / RATIO_MIN).ln();
        share * PLOT_WIDTH
    };
    let (low, high) = (place(found.low), place(found.high.unwrap_or(RATIO_MAX)));
    let color = match class {
        "worse" => "var(--bad)",
        "fine" => "var(--good)",
        _ => "var(--mute)",
    };
    write!(
        out,
        "<svg viewBox=\"0 0 {PLOT_WIDTH} 34\" width=\"{PLOT_WIDTH}\" height=\"34\" role=\"img\" aria-label=\"{}\">\
         <line x1=\"{one:.1}\" y1=\"0\" x2=\"{one:.1}\" y2=\"22\" stroke=\"var(--fg)\"/>\
         <line x1=\"{tolerated:.1}\" y1=\"0\" x2=\"{tolerated:.1}\" y2=\"22\" stroke=\"var(--warn)\" stroke-dasharray=\"3 3\"/>\
         <rect x=\"{low:.1}\" y=\"7\" width=\"{:.1}\" height=\"8\" rx=\"2\" fill=\"{color}\" opacity=\"0.45\"/>",
        text(&effect(found)),
        (high - low).max(1.0),
        one = place(1.0),
        tolerated = place(1.0 + check.tolerance.relative),
    )?;
    if let Some(estimate) = found.estimate {
        write!(out, "<circle cx=\"{:.1}\" cy=\"11\" r=\"4\" fill=\"{color}\"/>", place(estimate))?;
    }
    for (ratio, label) in [(RATIO_MIN, "¼"), (1.0, "1"), (4.0, "4"), (16.0, "16"), (RATIO_MAX, "64 ×")] {
        let anchor = if ratio == RATIO_MIN {
            "start"
        } else if ratio == RATIO_MAX {
            "end"
        } else {
            "middle"
        };
        write!(out, "<text x=\"{:.1}\" y=\"33\" text-anchor=\"{anchor}\">{label}</text>", place(ratio))?;
    }
    write!(out, "</svg>")
}

fn write_culprits(out: &mut String, culprits: &[CulpritVerdict]) -> std::fmt::Result {
    if culprits.is_empty() {
        return Ok(());
    }
    write!(out, "<h2>Where the harm is</h2><ol>")?;
    for culprit in culprits {
        let kind = match culprit.kind {
            CulpritKind::Operation => "operation",
            CulpritKind::Instance => "instance",
            CulpritKind::Error => "error",
        };
        // An error's name is a fingerprint, which tells a person nothing.
        let name = culprit.error_type.as_deref().filter(|_| culprit.kind == CulpritKind::Error).unwrap_or(&culprit.name);
        write!(out, "<li>{kind} <code>{}</code>: {}", text(name), text(&culprit.reason))?;
        if let Some(message) = culprit.message.as_deref().filter(|message| !message.is_empty()) {
            let kind = culprit.error_type.as_deref().unwrap_or("error");
            write!(out, "<br><code>{}: {}</code>", text(kind), text(message))?;
        }
        if !culprit.trace_ids.is_empty() {
            let ids: Vec<String> = culprit.trace_ids.iter().map(|id| format!("<code>{}</code>", text(id))).collect();
            write!(out, "<br><span class=\"mute\">traces</span> {}", ids.join(" "))?;
        }
        write!(out, "</li>")?;
    }
    write!(out, "</ol>")
}

fn write_changes(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    if verdict.changes.is_empty() {
        return Ok(());
    }
    write!(out, "<h2>What the canary does differently</h2><ul>")?;
    for change in &verdict.changes {
        write!(out, "<li>{}</li>", text(&change.reason))?;
    }
    write!(out, "</ul>")
}

fn write_events(out: &mut String, events: &[Event]) -> std::fmt::Result {
    if events.is_empty() {
        return Ok(());
    }
    write!(out, "<h2>What happened</h2><div class=\"scroll\"><table><tr><th>when</th><th>what</th><th>by</th><th></th></tr>")?;
    for event in events {
        let details = event.details();
        let more = [&details.reason, &details.receiver].into_iter().find(|more| !more.is_empty()).map_or("", String::as_str);
        let at = text(&event.at.to_rfc3339());
        write!(out, "<tr><td><code>{at}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>", event.kind, text(&event.actor), text(more))?;
    }
    write!(out, "</table></div>")
}

fn write_foot(out: &mut String, rollout: &Rollout, verdict: &Verdict) -> std::fmt::Result {
    write!(out, "<footer class=\"mute\">")?;
    if !rollout.metadata.is_empty() {
        let pairs: Vec<String> =
            rollout.metadata.iter().map(|(key, value)| format!("{} <code>{}</code>", text(key), text(value))).collect();
        write!(out, "<p>{}</p>", pairs.join(" · "))?;
    }
    write!(
        out,
        "<p>Rollout <code>{}</code>, verdict {}, decided at {}; budget for a false rollback {}. \
         <a href=\"report.md\">Markdown</a> · <a href=\"verdict\">JSON</a> · <a href=\"evidence\">evidence</a></p></footer></body></html>",
        rollout.id,
        verdict.sequence,
        text(&verdict.decided_at),
        verdict.risk.alpha,
    )
}

fn picked(selector: &std::collections::BTreeMap<String, String>) -> String {
    let parts: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("<code>{}</code>", text(&parts.join(", ")))
}

/// Text that is nothing but text.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars().take(TEXT_MAX) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    if raw.chars().nth(TEXT_MAX).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn what_comes_from_telemetry_is_text() {
        assert_eq!(text("<script>alert('x')</script>\n&\""), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp;&quot;");
        assert_eq!(text(&"ä".repeat(500)).chars().count(), 401);
    }
}
