//! The check `latency`: do requests take longer?
//!
//! For each operation and quantile a threshold `T` is learnt from the baseline. The canary's requests above `T (1 + margin)` are then
//! compared with the baseline's above `T`: if the canary is slower by no more than the margin, at all quantiles alike, the first rate
//! is no greater than the second, whatever load does to both. So a margin in time becomes an exact null for the test of rates.
//!
//! `T` comes from history if that is long enough; otherwise from the baseline's first windows of the rollout, which then
//! count as well. That is allowed: order the requests of those windows from slow to fast, the canary's divided by `1 + margin`. Under the
//! null the next one down is the canary's with probability `theta` of its window at most, and `T` is a stopping time of that order
//! (where the baseline's share `1 - q` is reached). The likelihood ratio is a supermartingale along it, so that its mean at `T` is at most one.

use std::time::Duration;

use crate::policy::{CheckKind, Policy};
use crate::stats::effect::equality;
use crate::stats::eprocess::Noise;
use crate::stats::likelihood::{PairCounts, RatioLikelihood};

use super::buckets::Buckets;
use super::cores::at_once;
use super::counts::{Counts, RowCounts, Stratum, StratumBuilder};
use super::durations::{Durations, common_scale, shift_of};
use super::judgement::{Comparison, Effect, EffectMeasure, Finding, Side};
use super::rates::{RateAnswer, RateQuestion, compare};
use super::settle::{Settled, settle};
use super::table::{Part, Row, Table};
use super::wording;

/// Instances differ by this much in the log of their exceedances, at most, where it cannot be measured.
const SIGMA_PRIOR: f64 = 0.2;

/// … and by this much in the log of their durations.
const SPEED_PRIOR: f64 = 0.05;

/// A threshold is not learnt from fewer requests than this.
const LEARN_MIN: f64 = 20.0;

/// An instance is new for so long.
const WARM_UP: Duration = Duration::from_secs(120);
/// New instances are known to be slow at first when so many times the usual share of their requests is slow.
const WARM_UP_FACTOR: f64 = 2.0;

/// What is known of an operation's durations.
pub(super) struct OperationDurations {
    operation: usize,
    scale: i32,
    baseline: Durations,
    canary: Durations,
}

/// One quantile's comparison, with what culprits are found from.
pub(super) struct QuantileAnswer {
    pub(super) q: f64,
    pub(super) comparison: Comparison,
    pub(super) answer: RateAnswer,
    /// By operation that is compared.
    pub(super) thresholds: Vec<Threshold>,
}

/// Above which bucket a request counts as slow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Threshold {
    pub(super) operation: usize,
    pub(super) bucket: i64,
    pub(super) scale: i32,
    /// By how many buckets the rollback margin moves it for the canary.
    pub(super) margin: i64,
    promote_margin: i64,
    tail_index: f64,
}

/// Compares all quantiles.
pub(super) fn compare_latency(table: &Table<'_>, policy: &Policy) -> (Vec<OperationDurations>, Vec<QuantileAnswer>) {
    let operations: Vec<usize> = (0..table.operations.len()).filter(|operation| !table.rows[*operation].is_empty()).collect();
    let (first, second) = operations.split_at(operations.len() / 2);
    let read = |operations: &[usize]| Counted::of(table, policy, operations);
    let (second, first) = at_once(table.is_large(), || read(second), || read(first));
    let Counted { durations, quantiles, warms_up: warms_up_anywhere } = first.and(second);
    let answer = |q: f64, thresholds: &[Threshold], counts: &Counts| {
        let question = RateQuestion {
            nulls: vec![0.0; thresholds.len()],
            promote_null: 0.0,
            promote_absolute: None,
            sigma_prior: sigma_prior(counts, thresholds),
        };
        let answer = compare(table, counts, &question);
        let mut comparison = comparison(table, policy, &durations, (thresholds, &answer), q);
        if warms_up_anywhere {
            comparison.reason.push_str(wording::WARM_UP);
        }
        QuantileAnswer { q, comparison, answer, thresholds: thresholds.to_vec() }
    };
    let asked: Vec<_> = policy.quantiles.iter().zip(&quantiles).collect();
    let (first, second) = asked.split_at(asked.len() / 2);
    let answers = |asked: &[(&f64, &(Vec<Threshold>, Counts))]| -> Vec<QuantileAnswer> {
        asked.iter().map(|(q, (thresholds, counts))| answer(**q, thresholds, counts)).collect()
    };
    let (second, mut all) = at_once(table.is_large(), || answers(second), || answers(first));
    all.extend(second);
    (durations, all)
}

/// What was counted of some operations, in their order.
struct Counted {
    durations: Vec<OperationDurations>,
    /// By quantile, of the operations whose threshold could be learnt.
    quantiles: Vec<(Vec<Threshold>, Counts)>,
    /// Whether instances of any were slow at first.
    warms_up: bool,
}

impl Counted {
    fn of(table: &Table<'_>, policy: &Policy, operations: &[usize]) -> Self {
        let mut builders: Vec<StratumBuilder> = policy.quantiles.iter().map(|_| StratumBuilder::new(table)).collect();
        let quantiles = policy.quantiles.iter().map(|_| (Vec::new(), Counts::default())).collect();
        let mut counted = Self { durations: Vec::with_capacity(operations.len()), quantiles, warms_up: false };
        for operation in operations.iter().copied() {
            let scale = table.scales[operation];
            let compared = Compared { warms_up: warms_up(table, operation, scale) };
            counted.warms_up |= compared.warms_up;
            let learnt = learn(table, policy, operation, (scale, compared));
            let thresholds: Vec<Threshold> = learnt.iter().copied().flatten().collect();
            let (known, strata) = count(table, operation, (scale, compared), &thresholds, &mut builders);
            counted.durations.push(known);
            let of_learnt = counted.quantiles.iter_mut().zip(&learnt).filter(|(_, threshold)| threshold.is_some());
            for (((of_quantile, counts), _), (threshold, stratum)) in of_learnt.zip(thresholds.into_iter().zip(strata)) {
                of_quantile.push(threshold);
                counts.strata.push(stratum);
            }
        }
        counted
    }

    /// With those of the operations that come next.
    fn and(mut self, next: Self) -> Self {
        self.durations.extend(next.durations);
        for ((thresholds, counts), (more, next)) in self.quantiles.iter_mut().zip(next.quantiles) {
            thresholds.extend(more);
            counts.strata.extend(next.strata);
        }
        self.warms_up |= next.warms_up;
        self
    }
}

/// Which rows are compared.
#[derive(Debug, Clone, Copy)]
struct Compared {
    /// Instances of the baseline were slow while they were new, so nobody's first minutes count.
    warms_up: bool,
}

impl Compared {
    fn has(self, table: &Table<'_>, row: &Row) -> bool {
        !(self.warms_up && table.is_young(row, WARM_UP))
    }
}

/// Whether the baseline's own instances, where some began while one was watching, were slower at first.
fn warms_up(table: &Table<'_>, operation: usize, scale: i32) -> bool {
    let is_young = |row: &Row| row.side != Part::Canary && table.is_young(row, WARM_UP);
    if !table.rows[operation].iter().any(is_young) {
        return false;
    }
    let (mut young, mut old) = (Durations::new(scale), Durations::new(scale));
    for row in table.rows[operation].iter().filter(|row| row.side != Part::Canary) {
        if table.is_young(row, WARM_UP) {
            young.add(table.durations(row), row.timed);
        } else {
            old.add(table.durations(row), row.timed);
        }
    }
    if young.total() < LEARN_MIN || old.total() < LEARN_MIN {
        return false;
    }
    let Some(bucket) = old.quantile_bucket(0.95) else { return false };
    let usual = young.total() * old.above(bucket - 1) / old.total();
    young.above(bucket - 1) > WARM_UP_FACTOR * usual + 3.0 * usual.sqrt()
}

/// Counts an operation's requests above each threshold, and merges its durations, in one pass: reading histograms is what costs.
fn count(
    table: &Table<'_>,
    operation: usize,
    (scale, compared): (i32, Compared),
    thresholds: &[Threshold],
    strata: &mut [StratumBuilder],
) -> (OperationDurations, Vec<Stratum>) {
    let mut known = OperationDurations { operation, scale, baseline: Durations::new(scale), canary: Durations::new(scale) };
    let mut cuts = [false, true].map(|is_canary| Cuts::new(thresholds, is_canary));
    for row in table.rows[operation].iter().filter(|row| compared.has(table, row)) {
        let durations = table.durations(row);
        match row.side {
            Part::Canary => known.canary.add(durations, row.timed),
            Part::Baseline => known.baseline.add(durations, row.timed),
            Part::Aside => {}
        }
        let requests = row.timed;
        let counts = cuts[usize::from(row.side == Part::Canary)].count(durations, scale);
        for ([events, promote_events], stratum) in counts.iter().zip(&mut *strata) {
            stratum.add(table, row.spot(), RowCounts { requests, events: *events, promote_events: *promote_events });
        }
    }
    (known, thresholds.iter().zip(strata).map(|(_, stratum)| stratum.finish(operation)).collect())
}

/// The buckets above which a cohort's requests are counted: by threshold that was learnt, against the rollback margin and against the promotion margin.
struct Cuts {
    /// The highest first, with the threshold and which of its margins.
    indices: Vec<(i64, usize, usize)>,
    counts: Vec<[f64; 2]>,
}

impl Cuts {
    fn new(thresholds: &[Threshold], is_canary: bool) -> Self {
        let of = |(place, threshold): (usize, &Threshold)| {
            let margins = if is_canary { [threshold.margin, threshold.promote_margin] } else { [0, 0] };
            [0, 1].map(|which| (threshold.bucket + margins[which], place, which))
        };
        let mut indices: Vec<_> = thresholds.iter().enumerate().flat_map(of).collect();
        indices.sort_by_key(|(index, ..)| std::cmp::Reverse(*index));
        Self { indices, counts: vec![[0.0; 2]; thresholds.len()] }
    }

    fn count(&mut self, durations: Buckets<'_>, scale: i32) -> &[[f64; 2]] {
        let above = durations.above_each(self.indices.iter().map(|(index, ..)| *index), scale);
        for ((_, place, which), above) in self.indices.iter().zip(above) {
            self.counts[*place][*which] = above;
        }
        &self.counts
    }
}

/// The thresholds of an operation, by quantile: from history, else from the first windows of the baseline that hold enough requests. What
/// is enough depends on the number of requests only, never on how long they took.
fn learn(table: &Table<'_>, policy: &Policy, operation: usize, (scale, compared): (i32, Compared)) -> Vec<Option<Threshold>> {
    let rows = || table.rows[operation].iter().filter(|row| compared.has(table, row));
    let mut history = Durations::new(scale);
    for row in rows().take_while(|row| row.window < table.clock.start).filter(|row| row.side != Part::Canary) {
        history.add(table.durations(row), row.timed);
    }
    let threshold = |q: f64| {
        let enough = (5.0 / (1.0 - q)).clamp(LEARN_MIN, 200.0);
        let first;
        let learnt = if history.total() >= enough {
            &history
        } else {
            first = first_windows(table, rows(), scale, enough)?;
            &first
        };
        let bucket = learnt.quantile_bucket(q)? - 1;
        Some(Threshold {
            operation,
            bucket,
            scale,
            margin: shift_of(policy.latency_rollback, scale, f64::ceil),
            promote_margin: shift_of(policy.latency_promote, scale, f64::floor),
            tail_index: learnt.tail_index(bucket, 0.25),
        })
    };
    policy.quantiles.iter().map(|q| threshold(*q)).collect()
}

fn first_windows<'a>(table: &Table<'_>, rows: impl Iterator<Item = &'a Row>, scale: i32, enough: f64) -> Option<Durations> {
    let patience = table.clock.windows(Duration::from_secs(60));
    let mut learnt = Durations::new(scale);
    let mut window = table.clock.start;
    for row in rows.filter(|row| row.side == Part::Baseline) {
        if row.window != window {
            if learnt.total() >= enough {
                return Some(learnt);
            }
            window = row.window;
        }
        let waited = row.window.saturating_sub(table.clock.start);
        if waited >= patience && learnt.total() >= LEARN_MIN {
            return Some(learnt);
        }
        learnt.add(table.durations(row), row.timed);
    }
    let waited = table.clock.end.saturating_sub(table.clock.start);
    let least = if waited >= patience { LEARN_MIN } else { enough };
    (learnt.total() >= least).then_some(learnt)
}

/// What a difference in speed between instances means for exceedances depends on how steep the tail is at the thresholds.
fn sigma_prior(counts: &Counts, thresholds: &[Threshold]) -> f64 {
    let (weight, sum) = counts.strata.iter().zip(thresholds).fold((0.0, 0.0), |(weight, sum), (stratum, threshold)| {
        let requests = stratum.compared.canary_requests;
        (weight + requests, sum + requests * threshold.tail_index)
    });
    if weight > 0.0 { (SPEED_PRIOR * sum / weight).clamp(0.02, SIGMA_PRIOR) } else { SIGMA_PRIOR }
}

fn comparison(
    table: &Table<'_>,
    policy: &Policy,
    durations: &[OperationDurations],
    (thresholds, answer): (&[Threshold], &RateAnswer),
    q: f64,
) -> Comparison {
    let kind = CheckKind::Latency;
    let part = 1.0 / policy.quantiles.len().max(1) as f64;
    let Settled { finding, detectable } = settle(policy, kind, part, table, answer);
    let (baseline, canary) = standardised(durations);
    let effect = shift_interval(durations, thresholds, answer, answer.noise.rollback);
    let compared = &answer.compared;
    let name = format!("latency_{}", wording::quantile(q));
    let sides = [&baseline, &canary].map(|side| side.quantile_seconds(q));
    Comparison {
        kind,
        finding,
        required: policy.check(kind).is_some_and(|check| check.required),
        weight: policy.weight(kind) * part,
        baseline: Side { value: sides[0], events: compared.baseline_events, requests: compared.baseline_requests },
        canary: Side { value: sides[1], events: compared.canary_events, requests: compared.canary_requests },
        effect,
        relative: policy.latency_rollback,
        absolute: None,
        ln_e: answer.ln_e,
        broken: false,
        ln_promote: answer.ln_promote,
        noise: (finding != Finding::NoData).then_some(answer.shown),
        // The ratio of exceedances says little to people; the time to a decision does.
        detectable: detectable.map(|detectable| super::judgement::Detectable { ratio: None, ..detectable }),
        affected: None,
        reason: wording::latency(q, effect.as_ref(), sides, None),
        name,
    }
}

/// The two cohorts' durations, the baseline's weighted so that its mix of operations is the canary's.
fn standardised(durations: &[OperationDurations]) -> (Durations, Durations) {
    let scale = common_scale(durations.iter().map(|known| known.scale));
    let (mut baseline, mut canary) = (Durations::new(scale), Durations::new(scale));
    for known in durations.iter().filter(|known| known.baseline.total() > 0.0 && known.canary.total() > 0.0) {
        baseline.add_weighted(&known.baseline, known.canary.total() / known.baseline.total());
        canary.add_weighted(&known.canary, 1.0);
    }
    (baseline, canary)
}

/// The quantiles of one operation in seconds: baseline, canary.
pub(super) fn quantiles_of(durations: &[OperationDurations], operation: usize, q: f64) -> [Option<f64>; 2] {
    match durations.iter().find(|known| known.operation == operation) {
        Some(known) => [known.baseline.quantile_seconds(q), known.canary.quantile_seconds(q)],
        None => [None, None],
    }
}

/// The factors by which the canary's durations may exceed the baseline's: those at which the rates of exceedance do not
/// differ, by the interval of the rate ratio turned round. Operations together; pass one threshold for one operation.
pub(super) fn shift_interval(
    durations: &[OperationDurations],
    thresholds: &[Threshold],
    answer: &RateAnswer,
    noise: Noise,
) -> Option<Effect> {
    let judged: Vec<(&Threshold, &OperationDurations, PairCounts)> = thresholds
        .iter()
        .filter_map(|threshold| {
            // Both in the order of operations.
            let known = &durations[durations.binary_search_by_key(&threshold.operation, |known| known.operation).ok()?];
            let stratum = &answer.strata[answer.strata.binary_search_by_key(&threshold.operation, |stratum| stratum.operation).ok()?];
            (stratum.compared.canary_requests > 0.0 && known.canary.total() > 0.0).then_some((threshold, known, stratum.compared))
        })
        .collect();
    let scale = common_scale(judged.iter().map(|(threshold, ..)| threshold.scale));
    if judged.is_empty() || answer.compared.baseline_events <= 0.0 {
        return None;
    }
    let at = |shift: i64| {
        let pairs: Vec<PairCounts> = judged
            .iter()
            .map(|(threshold, known, compared)| {
                let bucket = threshold.bucket + shift * (1_i64 << (threshold.scale - scale).clamp(0, 31));
                let part = compared.canary_requests / known.canary.total();
                PairCounts { canary_events: known.canary.above(bucket) * part, ..*compared }
            })
            .collect();
        RatioLikelihood::new(&pairs, 0.0)
    };
    // Exceedances fall as the shift grows: look for where they stop being too many, just right, and start being too few.
    let first = |fits: &dyn Fn(i64) -> bool| {
        let (mut low, mut high) = (-SHIFT_MAX, SHIFT_MAX);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if fits(middle) { high = middle } else { low = middle }
        }
        high
    };
    let factor = |shift: f64| match shift {
        shift if shift >= (SHIFT_MAX - 1) as f64 => f64::INFINITY,
        shift if shift <= (1 - SHIFT_MAX) as f64 => 0.0,
        shift => (shift * (-f64::from(scale)).exp2()).exp2(),
    };
    let low = first(&|shift| equality(&at(shift), noise).is_ge()) - 1;
    let high = first(&|shift| equality(&at(shift), noise).is_gt());
    let middle = first(&|shift| at(shift).peak().is_none_or(|peak| peak <= 0.0));
    let estimate = factor(middle as f64 - 0.5).clamp(factor(low as f64), factor(high as f64));
    Some(Effect {
        measure: EffectMeasure::Quantile,
        estimate,
        low: factor(low as f64),
        high: factor(high as f64),
        level: crate::stats::effect::LEVEL,
    })
}

/// Shifts are looked for up to this many buckets: a factor of 2^16 at scale 6.
const SHIFT_MAX: i64 = 1 << 10;
