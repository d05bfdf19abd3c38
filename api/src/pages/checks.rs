//! What was compared, one thing after the other: outcome, both sides, the estimate with its interval against the tolerance; and the scores of groups.

use std::fmt::Write as _;

use haldane_analyzer::verdict::{CheckVerdict, Measure, Outcome, Verdict};

use super::frame::{scroll, text};
use crate::report::{effect, group_score, outcome, side};

/// The width of a plot, in its own units.
const PLOT_WIDTH: f64 = 320.0;
/// Plots reach from a quarter to this many times the baseline, on a log scale.
const RATIO_MAX: f64 = 64.0;
const RATIO_MIN: f64 = 0.25;

/// All checks, then the groups.
pub(super) fn write(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    if verdict.checks.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<section id=\"checks\"><h2>Checks</h2><p class=\"small mute\">The bar is the canary over the baseline with its interval; the dashed line is the tolerance.</p>\
         <ul class=\"rows checks\">"
    )?;
    for check in &verdict.checks {
        write_check(out, check)?;
    }
    write!(out, "</ul>")?;
    write_groups(out, verdict)?;
    write!(out, "</section>")
}

fn write_check(out: &mut String, check: &CheckVerdict) -> std::fmt::Result {
    let class = match check.outcome {
        Outcome::Regressed => "worse",
        Outcome::NotWorse => "fine",
        Outcome::Undecided | Outcome::NoData => "mute",
    };
    write!(
        out,
        "<li><div><code>{}</code><br><span class=\"{class}\">{}</span>{}</div>\
         <dl class=\"pair\"><dt>baseline</dt><dd>{}</dd><dt>canary</dt><dd>{}</dd></dl><div>",
        text(&check.name),
        outcome(check.outcome),
        if check.required { "" } else { " <span class=\"mute small\">not required</span>" },
        text(&side(&check.baseline, &check.unit)),
        text(&side(&check.canary, &check.unit)),
    )?;
    write_plot(out, check, class)?;
    write!(out, "<span class=\"mute small\">{}</span></div></li>", text(&check.reason))
}

fn write_groups(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    if verdict.groups.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<h3>Scores of groups, of 100</h3>{}<table><thead><tr><th scope=\"col\">group</th><th scope=\"col\">score</th><th scope=\"col\">checks in it</th></tr></thead><tbody>",
        scroll("Scores of groups")
    )?;
    for group in &verdict.groups {
        let below = group.score.zip(group.min_score).is_some_and(|(score, needed)| score < needed);
        write!(
            out,
            "<tr><th scope=\"row\">{}</th><td{}>{}</td><td class=\"mute\">{}</td></tr>",
            text(&group.name),
            if below { " class=\"worse\"" } else { "" },
            text(&group_score(group)),
            text(&group.checks.join(", "))
        )?;
    }
    write!(out, "</tbody></table></div>")
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
