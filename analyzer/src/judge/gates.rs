//! The checks `slo`, `resource`, `probe` and `min_traffic`: limits that hold whatever the baseline does.
//!
//! Always holds: a limit that is passed, or of which nothing is known, stands in the way of a promotion. It demands a rollback only where the policy calls it
//! critical and the baseline keeps it: where both versions are beyond it, going back mends nothing.

use haldane_store::UnixNanos;
use haldane_store::histogram::bucket_index;

use crate::policy::{Gate, Limit, Policy};
use crate::stats::eprocess::{Noise, Side as Alternative, ln_evidence};
use crate::stats::likelihood::{PairCounts, RatioLikelihood};

use super::durations::{Durations, common_scale};
use super::evidence::{Evidence, Pairing, Role, Sample};
use super::judgement::{Comparison, Finding, Side};
use super::metric::MINUTE;
use super::settle;
use super::table::{Part, Row, Table};
use super::wording;

/// A limit is known exactly: it counts as a cohort of so many times the canary's requests.
const EXACTLY: f64 = 1e4;
/// Events come in groups of this size where it is not known better.
const BURST: f64 = 2.0;
/// So many minutes in a row have to be beyond the limit of a resource.
const MINUTES: usize = 5;
/// A number that was told within so many minutes is the present one.
const RECENT: u32 = 6;

/// Compares the canary with one limit. `others` are the comparisons of the policy's checks.
pub(super) fn compare_gate(gate: &Gate, policy: &Policy, evidence: &Evidence, table: &Table<'_>, others: &[Comparison]) -> Comparison {
    match &gate.limit {
        Limit::ErrorRate { max } => {
            let counts = |part| count(table, part, |row| (row.requests, row.errors));
            let value = |part| rate(counts(part));
            slo(
                gate,
                policy,
                others,
                *max,
                &[Part::Baseline, Part::Canary].map(|part| Level { value: value(part), counts: counts(part), max: *max }),
            )
        }
        Limit::Latency { quantile, max_seconds } => {
            let scale = common_scale(table.scales.iter().copied());
            let index = i64::from(bucket_index(max_seconds * 1e9, scale));
            let level = |part| {
                let mut all = Durations::new(scale);
                table.all().filter(|row| row.side == part).for_each(|row| all.add(table.durations(row), row.timed));
                let counts = count(table, part, |row| (row.timed, table.durations(row).above(index, scale)));
                Level { value: all.quantile_seconds(*quantile), counts, max: *max_seconds }
            };
            slo(gate, policy, others, 1.0 - quantile, &[Part::Baseline, Part::Canary].map(level))
        }
        Limit::Resource { max, unit, .. } => resource(gate, evidence, *max, unit),
        Limit::Probe { failures, .. } => probe(gate, evidence, *failures),
        Limit::Traffic { min_per_second } => traffic(gate, table, *min_per_second),
    }
}

/// What one cohort shows of a service level.
struct Level {
    value: Option<f64>,
    /// Requests, and those that count against it.
    counts: (f64, f64),
    max: f64,
}

impl Level {
    fn side(&self) -> Side {
        Side { value: self.value, events: self.counts.1, requests: self.counts.0 }
    }
}

fn count(table: &Table<'_>, part: Part, of: impl Fn(&Row) -> (f64, f64)) -> (f64, f64) {
    let rows = table.all().filter(|row| row.side == part);
    rows.map(of).fold((0.0, 0.0), |(requests, events), (n, x)| (requests + n, events + x))
}

fn rate((requests, events): (f64, f64)) -> Option<f64> {
    (requests > 0.0).then(|| events / requests)
}

/// At most the share `allowed` of requests may count against the level.
fn slo(gate: &Gate, policy: &Policy, others: &[Comparison], allowed: f64, [baseline, canary]: &[Level; 2]) -> Comparison {
    let (requests, events) = canary.counts;
    let limit = requests * EXACTLY;
    let pair = PairCounts { canary_requests: requests, canary_events: events, baseline_requests: limit, baseline_events: limit * allowed };
    let phi = others.iter().filter_map(|one| one.noise).map(|noise| noise.phi).fold(BURST, f64::max);
    let both = rate(baseline.counts).is_some_and(|rate| rate > allowed);
    let ln_e = if both { 0.0 } else { ln_evidence(&RatioLikelihood::new([&pair], 0.0), Noise { phi, tau: 0.0 }, Alternative::Above) };
    let weight = policy.gate_weight(gate);
    let within = rate(canary.counts).map(|rate| rate <= allowed);
    let finding = match within {
        None => Finding::NoData,
        Some(true) => Finding::NotWorse,
        // Of what only holds a promotion nothing is proved.
        Some(false) => settle::finding(policy, ln_e + weight.ln(), 0.0),
    };
    Comparison {
        finding,
        weight,
        ln_e,
        baseline: baseline.side(),
        canary: canary.side(),
        absolute: Some(canary.max),
        reason: wording::slo(gate, canary.value, canary.counts, both),
        ..Comparison::new(gate.kind(), gate.name.clone())
    }
}

fn resource(gate: &Gate, evidence: &Evidence, max: f64, unit: &str) -> Comparison {
    let minutes = |role: Role| -> Vec<(UnixNanos, f64)> {
        let mut sums: std::collections::BTreeMap<UnixNanos, (f64, f64)> = std::collections::BTreeMap::new();
        // Without a baseline beside the canary, what it did before tells whether it kept the limit.
        let before = role == Role::Baseline && evidence.pairing == Pairing::Preceding;
        let in_time = |at: UnixNanos| if before { at < evidence.started_at } else { at >= evidence.started_at };
        let counts = |sample: &&Sample| in_time(sample.at) && sample.at.plus(MINUTE) <= evidence.until && sample.value.is_finite();
        for sample in samples(evidence, gate).filter(|sample| sample.cohort == role).filter(counts) {
            let (sum, number) = sums.entry(sample.at).or_default();
            (*sum, *number) = (*sum + sample.value, *number + 1.0);
        }
        sums.into_iter().map(|(at, (sum, number))| (at, sum / number)).collect()
    };
    let (baseline, canary) = (minutes(Role::Baseline), minutes(Role::Canary));
    let beyond = |minutes: &[(UnixNanos, f64)]| {
        let last = &minutes[minutes.len().saturating_sub(MINUTES)..];
        let in_a_row = last.windows(2).all(|pair| pair[1].0.since(pair[0].0) <= MINUTE);
        last.len() == MINUTES && in_a_row && last.iter().all(|(_, value)| *value > max)
    };
    // What stopped being told a while ago is not known.
    let is_recent = |at: UnixNanos| at.plus(MINUTE * RECENT) >= evidence.until;
    let latest = canary.last().filter(|(at, _)| is_recent(*at)).map(|(_, value)| *value);
    let (passed, both) = (latest.is_some() && beyond(&canary), beyond(&baseline));
    let broken = passed && !both && gate.critical;
    let side = |value: Option<f64>| Side { value, events: 0.0, requests: 0.0 };
    Comparison {
        finding: finding_of(latest.map(|value| value <= max), broken),
        broken,
        baseline: side(baseline.last().map(|(_, value)| *value)),
        canary: side(latest),
        absolute: Some(max),
        reason: wording::resource(gate, latest, (max, unit), passed && both, why_unknown(evidence, gate)),
        ..Comparison::new(gate.kind(), gate.name.clone())
    }
}

fn probe(gate: &Gate, evidence: &Evidence, failures: u32) -> Comparison {
    let answers: Vec<bool> = samples(evidence, gate).map(|sample| sample.value > 0.5).collect();
    let wrong = answers.iter().rev().take_while(|right| !**right).count();
    let broken = gate.critical && wrong >= failures as usize;
    let (asked, failed) = (answers.len() as f64, answers.iter().filter(|right| !**right).count() as f64);
    Comparison {
        finding: finding_of(answers.last().copied(), broken),
        broken,
        canary: Side { value: rate((asked, failed)), events: failed, requests: asked },
        reason: wording::probe(gate, (!answers.is_empty()).then_some(wrong), why_unknown(evidence, gate)),
        ..Comparison::new(gate.kind(), gate.name.clone())
    }
}

fn traffic(gate: &Gate, table: &Table<'_>, least: f64) -> Comparison {
    let seconds = table.clock.duration(table.clock.end.saturating_sub(table.clock.start)).as_secs_f64();
    let per_second = |part| {
        let requests = table.served.iter().filter(|served| served.spot.side == part).map(|served| served.requests).sum();
        Side { value: (seconds > 0.0).then(|| requests / seconds), events: 0.0, requests }
    };
    let canary = per_second(Part::Canary);
    Comparison {
        finding: finding_of(canary.value.map(|value| value >= least), false),
        baseline: per_second(Part::Baseline),
        canary,
        absolute: Some(least),
        reason: wording::traffic(gate, canary.value, least),
        ..Comparison::new(gate.kind(), gate.name.clone())
    }
}

fn finding_of(within: Option<bool>, broken: bool) -> Finding {
    match within {
        _ if broken => Finding::Regressed,
        None => Finding::NoData,
        Some(true) => Finding::NotWorse,
        Some(false) => Finding::Undecided,
    }
}

fn samples<'e>(evidence: &'e Evidence, gate: &Gate) -> impl Iterator<Item = &'e Sample> {
    let name = gate.name.clone();
    evidence.samples.iter().filter(move |sample| *sample.check == *name)
}

fn why_unknown<'e>(evidence: &'e Evidence, gate: &Gate) -> Option<&'e str> {
    evidence.unreadable.iter().find(|(name, _)| **name == *gate.name).map(|(_, why)| why.as_str())
}
