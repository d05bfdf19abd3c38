//! How often the judge was right: by data set, by design, and over all.

use std::collections::BTreeMap;

use haldane_analyzer::compare::wilson_interval;
use serde_json::{Value, json};

use super::cases::{Index, Outcome};
use crate::cli::{CliError, out, pretty};

const LEVEL: f64 = 0.95;

/// Of some cases.
#[derive(Default)]
struct Rates {
    without_fault: u64,
    false_positives: u64,
    with_fault: u64,
    detected: u64,
    /// Of those detected: the share of the canary that had been seen,
    seen: Vec<f64>,
    /// and the seconds since the fault began, where that is known.
    delays: Vec<f64>,
    /// Without a fault, with one.
    promoted: [u64; 2],
}

impl Rates {
    fn count(&mut self, outcome: &Outcome, index: &Index) {
        let rollback = u64::from(outcome.seen.is_some());
        self.promoted[usize::from(outcome.head.has_fault)] += u64::from(outcome.promoted);
        if outcome.head.has_fault {
            self.with_fault += 1;
            self.detected += rollback;
            self.seen.extend(outcome.seen);
            self.delays.extend(delay(outcome, index));
        } else {
            self.without_fault += 1;
            self.false_positives += rollback;
        }
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
            "undecided": self.with_fault - self.detected, "median_share_of_canary_seen": median(&self.seen), "median_delay_seconds": median(&self.delays),
            "promoted": {"aa": self.promoted[0], "ab": self.promoted[1]},
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
        let seen = median(&self.seen).map_or("–".to_owned(), |seen| format!("{:.0} %", 100.0 * seen));
        let delay = median(&self.delays).map_or("–".to_owned(), |delay| format!("{delay:.0} s"));
        format!(
            "{name:24} {:5} {} {:5} {} {:9} {seen:>8} {delay:>9}",
            self.without_fault,
            rate(self.false_positives, self.without_fault),
            self.with_fault,
            rate(self.detected, self.with_fault),
            self.with_fault - self.detected,
        )
    }
}

/// The middle one, the upper of two.
fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Seconds from the beginning of the fault to the end of what the judge had seen when it rolled back.
fn delay(outcome: &Outcome, index: &Index) -> Option<f64> {
    let (until, onset) = (outcome.look.until?, index.onset_ms(&outcome.head.id)?);
    outcome.seen.map(|_| until.saturating_sub(onset).max(0) as f64 / 1e3)
}

/// The mean of a rate over groups, each counting the same.
fn mean_over(groups: &BTreeMap<&str, Rates>, rate: impl Fn(&Rates) -> (u64, u64)) -> Option<f64> {
    let rates: Vec<f64> =
        groups.values().map(rate).filter(|(_, trials)| *trials > 0).map(|(events, trials)| events as f64 / trials as f64).collect();
    (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
}

pub(super) fn print(outcomes: &[Outcome], index: &Index, looks: u32, as_json: bool) -> Result<(), CliError> {
    let (mut by_dataset, mut by_design, mut all) = (BTreeMap::<&str, Rates>::new(), BTreeMap::<&str, Rates>::new(), Rates::default());
    for outcome in outcomes {
        by_dataset.entry(&outcome.head.dataset).or_default().count(outcome, index);
        if let Some(design) = index.design(&outcome.head.id) {
            by_design.entry(design).or_default().count(outcome, index);
        }
        all.count(outcome, index);
    }
    let false_positives = mean_over(&by_dataset, |rates| (rates.false_positives, rates.without_fault));
    let detection = mean_over(&by_dataset, |rates| (rates.detected, rates.with_fault));
    if as_json {
        let of = |groups: &BTreeMap<&str, Rates>| {
            groups.iter().map(|(name, rates)| ((*name).to_owned(), rates.json())).collect::<serde_json::Map<_, _>>()
        };
        let answer = json!({"looks": looks, "datasets": of(&by_dataset), "designs": of(&by_design), "overall": all.json(),
            "mean_over_datasets": {"false_positive_rate": false_positives, "detection_rate": detection},
            "cases": outcomes.iter().map(|outcome| case(outcome, index)).collect::<Vec<_>>()});
        return Ok(out::line(&pretty(&answer))?);
    }
    let head = ["", "aa", "false positives", "ab", "detected", "undecided", "seen", "delay"];
    let [a, b, c, d, e, f, g, h] = head;
    let mut lines = vec![format!("{a:24} {b:>5} {c:>25} {d:>5} {e:>25} {f:>9} {g:>8} {h:>9}")];
    lines.extend(by_dataset.iter().map(|(name, rates)| rates.line(name)));
    lines.push(all.line("all cases"));
    if !by_design.is_empty() {
        lines.push(String::new());
        lines.extend(by_design.iter().map(|(name, rates)| rates.line(name)));
    }
    lines.push(String::new());
    if all.promoted != [0, 0] {
        let [good, bad] = all.promoted;
        lines.push(format!("promoted: {good} of {} without a fault, {bad} of {} with one", all.without_fault, all.with_fault));
    }
    let percent = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    let times = if looks == 1 { "one look".to_owned() } else { format!("{looks} looks") };
    lines.push(format!("mean over data sets, {times}: {} false positives, {} detected", percent(false_positives), percent(detection)));
    Ok(out::line(&lines.join("\n"))?)
}

/// What came of one case.
fn case(outcome: &Outcome, index: &Index) -> Value {
    let look = &outcome.look;
    json!({"case_id": outcome.head.id, "dataset": outcome.head.dataset, "decision": look.decision, "promoted": outcome.promoted, "metric": look.loudest,
        "p_value": look.p_value, "reason": look.reason, "share_of_canary_seen": outcome.seen, "delay_seconds": delay(outcome, index)})
}
