//! The report on a rollout: what was decided and why, by how much, since when, where the harm is, what changed, what to do.

use std::fmt::Write as _;

use haldane_analyzer::rollout::{Event, Rollout};
use haldane_analyzer::verdict::{BaselineSource, CheckVerdict, CulpritKind, CulpritVerdict, Measure, Outcome, Verdict, VerdictDecision};

use super::frame::{Follow, badge, page, picked, text};
use crate::report::{effect, next_step, outcome, side};

/// The width of a plot, in its own units.
const PLOT_WIDTH: f64 = 320.0;
/// Plots reach from a quarter to this many times the baseline, on a log scale.
const RATIO_MAX: f64 = 64.0;
const RATIO_MIN: f64 = 0.25;

/// The report as one HTML document.
pub fn html(rollout: &Rollout, verdict: &Verdict, events: &[Event], as_file: bool) -> String {
    let mut out = String::with_capacity(16 << 10);
    // Writing to a String cannot fail.
    let _ = write_head(&mut out, rollout, verdict);
    let _ = write_cohorts(&mut out, verdict);
    let _ = write_checks(&mut out, &verdict.checks);
    let _ = write_culprits(&mut out, &verdict.culprits);
    let _ = write_changes(&mut out, verdict);
    let _ = write_events(&mut out, events);
    let live = !as_file && rollout.ended_at.is_none();
    if live {
        let _ = write_decisions(&mut out, rollout, verdict);
    }
    let _ = write_foot(&mut out, rollout, verdict);
    let follow = if as_file {
        Follow::Nothing
    } else {
        Follow::Events(if live { format!("/v1/rollouts/{}/events", rollout.id) } else { String::new() })
    };
    page(&format!("{} in {}: {}", verdict.service, verdict.environment, verdict.decision.as_str()), &follow, &out)
}

fn write_head(out: &mut String, rollout: &Rollout, verdict: &Verdict) -> std::fmt::Result {
    let (service, environment) = (text(&verdict.service), text(&verdict.environment));
    write!(out, "<header><p class=\"mute\">Rollout of <strong>{service}</strong> in <strong>{environment}</strong></p>")?;
    write!(
        out,
        "<h1>{} {} against {}</h1>",
        badge(verdict.decision),
        picked(&verdict.canary.selector),
        picked(&verdict.baseline.selector)
    )?;
    let state = rollout.state.as_str().replace('_', " ");
    write!(out, "<p class=\"mute\">{state}; compared from {} to {}</p></header>", text(&verdict.started_at), text(&verdict.data_until))?;
    if let Some(stage) = &verdict.stage {
        write!(out, "<p>Stage {} of {}, at {} % of the traffic.</p>", stage.number, stage.of, stage.traffic * 100.0)?;
    }
    if let Some(approval) = verdict.approval.as_ref().filter(|approval| approval.needed || approval.by.is_some()) {
        match &approval.by {
            Some(by) => write!(out, "<p>Approved by {}: {}</p>", text(by), text(approval.reason.as_deref().unwrap_or_default()))?,
            None => write!(out, "<p>A person has to approve the promotion.</p>")?,
        }
    }
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

/// What a person may decide. The script asks for nothing but the reason; the browser shows the token, if one is asked for.
fn write_decisions(out: &mut String, rollout: &Rollout, verdict: &Verdict) -> std::fmt::Result {
    let awaited = verdict.approval.as_ref().is_some_and(|approval| approval.needed && approval.by.is_none());
    let proven = verdict.decision == VerdictDecision::Promote && !verdict.is_final;
    write!(
        out,
        "<h2>Decide</h2><form data-rollout=\"{}\"><label for=\"reason\">Reason, kept with the rollout and told</label>\
         <input id=\"reason\" name=\"reason\" required maxlength=\"1000\" autocomplete=\"off\"><p>",
        rollout.id
    )?;
    let buttons = [
        ("approve", "Approve the promotion", awaited),
        ("advance", "Go on to the next stage", proven),
        ("promote", "Promote", true),
        ("rollback", "Roll back", true),
    ];
    for (action, label, _) in buttons.into_iter().filter(|(.., shown)| *shown) {
        write!(out, "<button name=\"action\" value=\"{action}\">{label}</button> ")?;
    }
    write!(out, "</p><p role=\"alert\" class=\"worse\"></p></form>")
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
         <a href=\"/v1/rollouts/{0}/report.md\">Markdown</a> · <a href=\"/v1/rollouts/{0}/report.json\">JSON</a> · \
         <a href=\"/v1/rollouts/{0}/evidence\">evidence</a></p></footer>",
        rollout.id,
        verdict.sequence,
        text(&verdict.decided_at),
        verdict.risk.alpha,
    )
}
