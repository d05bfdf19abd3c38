//! Many courses of one world, judged.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use haldane_analyzer::compare::wilson_interval;
use haldane_analyzer::judge::{Culprit, Decision, Role, judge};
use haldane_analyzer::policy::{CheckOverride, Policy, PolicyOverrides};
use haldane_analyzer::recorded::{self, Judge};
use haldane_analyzer::vectors;
use serde_json::json;

use crate::world::{WINDOWS, World};

/// Kayenta is asked after so many windows each.
const KAYENTA_EVERY: i64 = 30;

/// What came of one course.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Minutes until it was rolled back,
    pub(crate) rollback: Option<f64>,
    /// and until it was first promoted, unless it was rolled back before.
    pub(crate) promotion: Option<f64>,
    /// Minutes until Kayenta's judge would have rolled it back.
    pub(crate) kayenta: Option<f64>,
    /// Of the rollback.
    pub(crate) culprits: Vec<Culprit>,
    /// The ratio of error rates that could have been seen after half of the time.
    pub(crate) detectable: Option<f64>,
}

/// A policy with one of the default checks.
pub(crate) fn policy(check: &str) -> Policy {
    policy_of(check, PolicyOverrides::default())
}

/// The same, where any latency that is longer counts.
pub(crate) fn without_margin() -> Policy {
    policy_of("latency", PolicyOverrides { latency_relative: Some(0.0), ..PolicyOverrides::default() })
}

/// A policy that decides on logged errors alone.
pub(crate) fn on_logs() -> Policy {
    let check = |name: &str, weight: f64| CheckOverride {
        name: name.to_owned(),
        required: Some(name == "error_rate"),
        weight: Some(weight),
        group: None,
    };
    let checks = Some(vec![check("error_rate", 0.0), check("log_errors", 1.0)]);
    Policy::default().with(&PolicyOverrides { checks, ..PolicyOverrides::default() }).expect("these checks exist")
}

fn policy_of(check: &str, overrides: PolicyOverrides) -> Policy {
    let checks = Some(vec![CheckOverride { name: check.to_owned(), required: Some(true), weight: Some(1.0), group: None }]);
    Policy::default().with(&PolicyOverrides { checks, ..overrides }).expect("this check exists")
}

/// Judges courses of a world, one for each seed, on all processors.
pub(crate) fn outcomes(world: &World, policy: &Policy, runs: u64) -> Vec<Outcome> {
    let (next, done) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        break;
                    }
                    let outcome = outcome(world, policy, seed + 1);
                    done.lock().expect("no thread panics while it holds it").push(outcome);
                }
            });
        }
    });
    done.into_inner().expect("all threads have ended")
}

/// What could be seen at best where errors are bursty and nothing else is noisy: by the same e-process beyond the same margin (a quarter, or half of a thousandth,
/// which is half of a rate of a thousandth), told how bursty they are.
pub(crate) fn at_best(world: &World, margin: f64, runs: u64) -> Vec<Outcome> {
    // Of groups whose size is geometric with this mean: their mean square by their mean.
    let phi = 2.0 * world.burst - 1.0;
    let of_seed = |seed: u64| {
        let mut course = world.course(seed);
        let evidence = course.up_to(WINDOWS);
        let mut windows = vec![[0.0; 4]; usize::try_from(WINDOWS).expect("a few hundred")];
        for cell in evidence.cells.iter().filter(|cell| cell.at >= evidence.started_at) {
            let window = cell.at.since(evidence.started_at).as_secs() / evidence.window.as_secs();
            let side = if cell.cohort == Role::Canary { 0 } else { 2 };
            let counts = &mut windows[usize::try_from(window).expect("of the hour")];
            counts[side] += cell.requests as f64;
            counts[side + 1] += cell.errors as f64;
        }
        let vector = json!({"function": "eprocess", "input": {"windows": windows, "margin": margin, "phi": phi}});
        let answer = vectors::compute(&serde_json::from_value(json!({"vectors": [vector]})).expect("a vector"));
        let ln_e = answer["results"][0]["result"]["ln_e"].as_array().cloned().unwrap_or_default();
        let found = ln_e.iter().position(|ln_e| ln_e.as_f64().is_some_and(|ln_e| ln_e >= -Policy::default().alpha().ln()));
        Outcome { rollback: found.map(|window| (window + 1) as f64 / 6.0), ..Outcome::default() }
    };
    (1..=runs).map(of_seed).collect()
}

fn outcome(world: &World, policy: &Policy, seed: u64) -> Outcome {
    let mut course = world.course(seed);
    let minutes = |window: i64| Some(window as f64 / 6.0);
    let mut outcome = Outcome::default();
    for window in 1..=WINDOWS {
        let evidence = course.up_to(window);
        if outcome.rollback.is_none() {
            let judgement = judge(policy, evidence);
            if window == WINDOWS / 2 {
                let ratio = judgement.comparisons.first().and_then(|one| one.detectable).and_then(|one| one.ratio);
                outcome.detectable = ratio;
            }
            match judgement.decision {
                Decision::Rollback { .. } => (outcome.rollback, outcome.culprits) = (minutes(window), judgement.culprits),
                Decision::Promote { .. } => outcome.promotion = outcome.promotion.or(minutes(window)),
                Decision::Continue { .. } | Decision::Inconclusive { .. } => {}
            }
        }
        if window % KAYENTA_EVERY == 0 && outcome.kayenta.is_none() {
            let finding = recorded::judge(&recorded::minutes(evidence), Judge::Kayenta);
            outcome.kayenta = minutes(window).filter(|_| finding.rollback);
        }
        if outcome.rollback.is_some() && outcome.kayenta.is_some() {
            break;
        }
    }
    outcome
}

/// How many of some outcomes, and how soon.
pub(crate) struct Share {
    pub(crate) events: u64,
    pub(crate) trials: u64,
    median: Option<f64>,
}

impl Share {
    /// Of those that came to it at all.
    pub(crate) fn of(outcomes: &[Outcome], minutes: impl Fn(&Outcome) -> Option<f64>) -> Self {
        let mut known: Vec<f64> = outcomes.iter().filter_map(minutes).collect();
        known.sort_by(f64::total_cmp);
        Self { events: known.len() as u64, trials: outcomes.len() as u64, median: known.get(known.len() / 2).copied() }
    }

    /// In per cent.
    pub(crate) fn rate(&self) -> f64 {
        100.0 * self.events as f64 / self.trials.max(1) as f64
    }

    /// `0.5 % (≤ 1.4 %)`: with the upper end of Wilson's 95 % interval.
    pub(crate) fn bounded(&self) -> String {
        let (_, high) = wilson_interval(self.events, self.trials, 0.95);
        format!("{:.1} % (≤ {:.1} %)", self.rate(), 100.0 * high)
    }

    /// `97 % 3.4 min`.
    pub(crate) fn timed(&self) -> String {
        let median = self.median.map_or("–".to_owned(), |median| format!("{median:.1} min"));
        format!("{:.0} % {median}", self.rate())
    }
}
