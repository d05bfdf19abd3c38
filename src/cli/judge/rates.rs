//! How often the judge was right: by data set, by design, and over all.

use std::collections::{BTreeMap, HashMap};

use haldane_analyzer::compare::wilson_interval;
use serde_json::{Value, json};

use super::cases::Outcome;
use crate::cli::{CliError, out, pretty};

const LEVEL: f64 = 0.95;

/// Of some cases.
#[derive(Default)]
struct Rates {
    without_fault: u64,
    false_positives: u64,
    with_fault: u64,
    detected: u64,
    /// Of those detected: the share of the canary that had been seen.
    seen: Vec<f64>,
}

impl Rates {
    fn count(&mut self, outcome: &Outcome) {
        let rollback = u64::from(outcome.finding.rollback);
        if outcome.case.has_fault {
            self.with_fault += 1;
            self.detected += rollback;
            self.seen.extend(outcome.seen);
        } else {
            self.without_fault += 1;
            self.false_positives += rollback;
        }
    }

    fn median_seen(&self) -> Option<f64> {
        let mut seen = self.seen.clone();
        seen.sort_by(f64::total_cmp);
        seen.get(seen.len() / 2).copied()
    }

    fn json(&self) -> Value {
        let rate = |events: u64, trials: u64| match trials {
            0 => Value::Null,
            _ => {
                let (low, high) = wilson_interval(events, trials, LEVEL);
                json!({"rate": events as f64 / trials as f64, "low": low, "high": high})
            }
        };
        json!({
            "aa": self.without_fault, "false_positives": self.false_positives, "false_positive_rate": rate(self.false_positives, self.without_fault),
            "ab": self.with_fault, "detected": self.detected, "detection_rate": rate(self.detected, self.with_fault),
            "undecided": self.with_fault - self.detected, "median_share_of_canary_seen": self.median_seen(),
        })
    }

    fn line(&self, name: &str) -> String {
        let rate = |events: u64, trials: u64| {
            if trials == 0 {
                return format!("{:>25}", "–");
            }
            let (low, high) = wilson_interval(events, trials, LEVEL);
            let percent = |share: f64| format!("{:.1}", 100.0 * share);
            format!("{:>10} % ({:>4} to {:>5})", percent(events as f64 / trials as f64), percent(low), percent(high))
        };
        let seen = self.median_seen().map_or("–".to_owned(), |seen| format!("{:.0} %", 100.0 * seen));
        format!(
            "{name:24} {:5} {} {:5} {} {:9} {seen:>8}",
            self.without_fault,
            rate(self.false_positives, self.without_fault),
            self.with_fault,
            rate(self.detected, self.with_fault),
            self.with_fault - self.detected,
        )
    }
}

/// The mean of a rate over groups, each counting the same.
fn mean_over(groups: &BTreeMap<&str, Rates>, rate: impl Fn(&Rates) -> (u64, u64)) -> Option<f64> {
    let rates: Vec<f64> =
        groups.values().map(rate).filter(|(_, trials)| *trials > 0).map(|(events, trials)| events as f64 / trials as f64).collect();
    (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
}

pub(super) fn print(outcomes: &[Outcome], designs: &HashMap<String, String>, looks: u32, as_json: bool) -> Result<(), CliError> {
    let (mut by_dataset, mut by_design, mut all) = (BTreeMap::<&str, Rates>::new(), BTreeMap::<&str, Rates>::new(), Rates::default());
    for outcome in outcomes {
        by_dataset.entry(&outcome.case.dataset).or_default().count(outcome);
        if let Some(design) = designs.get(&outcome.case.id) {
            by_design.entry(design).or_default().count(outcome);
        }
        all.count(outcome);
    }
    let false_positives = mean_over(&by_dataset, |rates| (rates.false_positives, rates.without_fault));
    let detection = mean_over(&by_dataset, |rates| (rates.detected, rates.with_fault));
    if as_json {
        let of = |groups: &BTreeMap<&str, Rates>| {
            groups.iter().map(|(name, rates)| ((*name).to_owned(), rates.json())).collect::<serde_json::Map<_, _>>()
        };
        let cases = outcomes.iter().map(|outcome| {
            let (metric, chance) = outcome.finding.loudest.clone().unzip();
            json!({"case_id": outcome.case.id, "dataset": outcome.case.dataset, "decision": if outcome.finding.rollback { "rollback" } else { "continue" },
                "metric": metric, "p_value": chance.flatten(), "share_of_canary_seen": outcome.seen})
        });
        let answer = json!({"looks": looks, "datasets": of(&by_dataset), "designs": of(&by_design), "overall": all.json(),
            "mean_over_datasets": {"false_positive_rate": false_positives, "detection_rate": detection}, "cases": cases.collect::<Vec<_>>()});
        return Ok(out::line(&pretty(&answer))?);
    }
    let mut lines =
        vec![format!("{:24} {:>5} {:>25} {:>5} {:>25} {:>9} {:>8}", "", "aa", "false positives", "ab", "detected", "undecided", "seen")];
    lines.extend(by_dataset.iter().map(|(name, rates)| rates.line(name)));
    lines.push(all.line("all cases"));
    if !by_design.is_empty() {
        lines.push(String::new());
        lines.extend(by_design.iter().map(|(name, rates)| rates.line(name)));
    }
    let percent = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    let times = if looks == 1 { "one look".to_owned() } else { format!("{looks} looks") };
    lines.push(String::new());
    lines.push(format!("mean over data sets, {times}: {} false positives, {} detected", percent(false_positives), percent(detection)));
    Ok(out::line(&lines.join("\n"))?)
}
