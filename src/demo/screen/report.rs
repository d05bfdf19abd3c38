//! A verdict in lines of text: why, each check with its numbers, the culprits, and at the end the table of all scenarios.

use haldane_analyzer::verdict::{CheckVerdict, CulpritKind, CulpritVerdict, Measure, Outcome, Verdict};

use crate::demo::expectation::word;
use crate::demo::play::Played;
use crate::demo::shop::Counted;

/// Culprits that are shown.
const CULPRITS_MAX: usize = 4;

/// The report of one scenario.
pub(super) fn scenario(played: &Played) -> Vec<String> {
    let got = played.verdict.as_ref().map_or("no verdict", |verdict| word(verdict.decision));
    let judged = if played.faults.is_empty() { "right" } else { "WRONG" };
    let minutes = played.rollout.as_secs_f64() / 60.0;
    let mut lines = vec![format!("  {} → {got} after {minutes:.1} min of traffic: {judged}", played.scenario.name)];
    lines.extend(played.verdict.as_ref().filter(|verdict| !verdict.is_final).map(|verdict| {
        format!(
            "    ended     the scenario's time is over, without a decision after {} requests to the new version",
            verdict.canary.requests
        )
    }));
    lines.extend(played.faults.iter().map(|fault| format!("    wrong     {fault}")));
    if let Some(verdict) = &played.verdict {
        lines.extend(why(verdict));
    }
    lines.push(format!(
        "    sent      {} requests, {} spans, {} log records, {} metric points; all acknowledged, {:.1} s",
        played.tally.get(Counted::Request),
        played.tally.get(Counted::Span),
        played.tally.get(Counted::Log),
        played.tally.get(Counted::PointAcknowledged),
        played.took.as_secs_f64()
    ));
    lines
}

fn why(verdict: &Verdict) -> Vec<String> {
    let reason = [&verdict.reason, &verdict.progress].into_iter().find(|text| !text.is_empty()).map_or("none given", String::as_str);
    let mut lines = vec![format!("    why       {reason}")];
    lines.extend(verdict.reasons.iter().filter(|other| other.as_str() != reason).map(|other| format!("              {other}")));
    lines.extend(verdict.checks.iter().map(|check| format!("    check     {}", check_line(check, verdict))));
    for culprit in verdict.culprits.iter().take(CULPRITS_MAX) {
        lines.push(format!("    culprit   {}", culprit_line(culprit)));
        lines.extend(culprit.trace_ids.first().map(|trace| format!("              for example trace {trace}")));
    }
    lines
}

/// One check with its numbers.
pub(super) fn check_line(check: &CheckVerdict, verdict: &Verdict) -> String {
    let (risk, promotion) = (1.0 / verdict.risk.alpha.max(1e-9), 1.0 / verdict.promotion.beta.max(1e-9));
    format!(
        "{:13} {:9} {:44} worse: e {} of {}, not worse: e {} of {}",
        short_name(&check.name),
        outcome_word(check.outcome),
        comparison(check),
        number(check.e_value),
        number(risk),
        number(check.promote_e_value),
        number(promotion)
    )
}

/// Both values and the ratio with its interval.
pub(super) fn comparison(check: &CheckVerdict) -> String {
    let value = |value: Option<f64>| match (value, check.unit.as_str()) {
        (None, _) => "–".to_owned(),
        (Some(value), "s") => format!("{:.0} ms", value * 1e3),
        (Some(value), _) if check.name == "throughput" => format!("{value:.0}"),
        (Some(value), _) => format!("{:.2} %", value * 100.0),
    };
    let mut text = format!("{} → {}", value(check.baseline.value), value(check.canary.value));
    if let Some(effect) = &check.effect {
        let sign = match effect.measure {
            Measure::RateRatio | Measure::QuantileRatio | Measure::MeanRatio | Measure::ShareRatio => "×",
        };
        let estimate = effect.estimate.map_or_else(|| "∞".to_owned(), |estimate| format!("{estimate:.2}"));
        let high = effect.high.map_or_else(|| "∞".to_owned(), |high| format!("{high:.2}"));
        text.push_str(&format!(", {sign}{estimate} ({:.2} to {high})", effect.low));
    }
    text
}

fn culprit_line(culprit: &CulpritVerdict) -> String {
    let kind = match culprit.kind {
        CulpritKind::Operation => "operation",
        CulpritKind::Instance => "instance",
        CulpritKind::Error => "error",
    };
    let message = culprit.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
    let name = match (culprit.kind, &culprit.error_type) {
        (CulpritKind::Error, Some(error)) => format!("{error}{message}"),
        (CulpritKind::Operation | CulpritKind::Instance, Some(error)) => format!("{} by {error}{message}", culprit.name),
        (CulpritKind::Operation | CulpritKind::Instance | CulpritKind::Error, None) => culprit.name.clone(),
    };
    format!("{kind} {name} ({}, {:.0} % of the excess, e {})", culprit.check, culprit.share * 100.0, number(culprit.e_value))
}

/// The table at the end.
pub(super) fn table(played: &[Played]) -> Vec<String> {
    if played.is_empty() {
        return vec!["  stopped before a verdict".to_owned()];
    }
    let mut lines = vec![String::new(), format!("{:15} {:12} {:13} {:>8}", "scenario", "expected", "got", "seconds")];
    for one in played {
        let got = one.verdict.as_ref().map_or("no verdict", |verdict| word(verdict.decision));
        let mark = if one.faults.is_empty() { String::new() } else { format!("  WRONG: {}", one.faults.join("; ")) };
        lines.push(format!(
            "{:15} {:12} {got:13} {:>8.1}{mark}",
            one.scenario.name,
            one.scenario.expected.describe(),
            one.took.as_secs_f64()
        ));
    }
    lines
}

/// The name of a check, short enough for its column.
pub(super) fn short_name(name: &str) -> String {
    name.replace('_', " ")
}

/// An outcome in a word.
pub(super) const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Regressed => "worse",
        Outcome::NotWorse => "not worse",
        Outcome::Undecided => "open",
        Outcome::NoData => "no data",
    }
}

/// A number of any size in a few characters.
pub(super) fn number(value: f64) -> String {
    match value {
        _ if !value.is_finite() => "–".to_owned(),
        _ if value >= 9_999.5 => format!("{value:.0e}"),
        _ if value >= 9.95 => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        assert_eq!([0.04, 1.0, 9.97, 1234.4, 1.3e7].map(number), ["0.0", "1.0", "10", "1234", "1e7"]);
        assert_eq!(number(f64::NAN), "–");
    }
}
