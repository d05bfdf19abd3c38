//! The check `log_errors`: are more errors and exceptions logged for as many requests, and which?
//!
//! An error that a service catches, logs and hides behind a default answer moves no rate of failed requests. Each distinct error is a stratum: what all
//! of them have in common counts, and so does one that grows among many that do not. In which operation an error is logged is known only by luck (when its span
//! came in the same batch), so that all requests are its exposure, and the margin allows for what a changed mix of operations does.

use std::collections::BTreeMap;

use crate::policy::{CheckKind, Policy};

use super::counts::Counts;
use super::evidence::{ErrorCount, Evidence};
use super::judgement::{Comparison, Effect, EffectMeasure, NamedError, Side};
use super::lone::lone_and_brief;
use super::rates::{RateAnswer, RateQuestion, compare};
use super::served::Spot;
use super::settle::{Settled, settle};
use super::storms::{LeftOut, Storms};
use super::table::{Part, Table};
use super::tally::{Exposure, Sighting, Stream, mix_factor};
use super::wording;

/// Instances differ by this much, on the log scale, where it cannot be measured.
const SIGMA_PRIOR: f64 = 0.2;
/// So many distinct errors are looked at one by one, the most frequent ones; the others together.
const DISTINCT_MAX: usize = 50;

/// What came of the check.
pub(super) struct LogErrors<'a> {
    pub(super) comparison: Comparison,
    pub(super) answer: RateAnswer,
    /// By number of a stratum.
    pub(super) errors: Vec<LoggedError<'a>>,
}

/// What one stratum counts.
pub(super) struct LoggedError<'a> {
    /// One sight of the error; none for those that are looked at together.
    pub(super) example: Option<&'a ErrorCount>,
    stream: Stream,
}

/// Compares.
pub(super) fn compare_log_errors<'a>(table: &Table<'_>, exposure: &Exposure, policy: &Policy, evidence: &'a Evidence) -> LogErrors<'a> {
    let errors = errors(table, exposure, evidence);
    let counts = |left_out: LeftOut<'_>| Counts {
        strata: errors.iter().enumerate().map(|(number, error)| exposure.stratum(table, number, &error.stream, left_out)).collect(),
    };
    let question = question(table, &errors, policy);
    let all = counts(LeftOut::default());
    let ask = |left_out: LeftOut<'_>| compare(table, &counts(left_out), &question);
    let mut answer = compare(table, &all, &question);
    let storms = Storms::find(table, events(exposure, &all, &errors));
    let rows_of = |number: usize, instance: u32| exposure.rows_of(&errors[number].stream, instance);
    let lone = || lone_and_brief(table, &all, |stratum, instance| rows_of(stratum.operation, instance));
    answer.mind_instances(policy, storms.as_ref(), lone, ask);
    let worst = answer.strata.iter().max_by(|a, b| a.excess().total_cmp(&b.excess())).and_then(|stratum| errors[stratum.operation].example);
    let comparison = comparison(table, policy, exposure, &answer, worst);
    LogErrors { comparison, answer, errors }
}

/// One for each of the most frequent errors, then one for the others, which is there in any case: it carries the requests.
fn errors<'a>(table: &Table<'_>, exposure: &Exposure, evidence: &'a Evidence) -> Vec<LoggedError<'a>> {
    let mut known: BTreeMap<&str, LoggedError<'a>> = BTreeMap::new();
    // What has only a status is a failed request, and counts as one.
    for error in evidence.errors.iter().filter(|error| matches!(&*error.source, "log" | "exception")) {
        let one = known.entry(&error.fingerprint).or_insert_with(|| LoggedError { example: Some(error), stream: Stream::default() });
        let sighting = Sighting { at: error.at, cohort: error.cohort, instance: &error.instance, count: error.count };
        exposure.add(table, &mut one.stream, &sighting);
    }
    let mut sorted: Vec<(f64, LoggedError<'a>)> =
        known.into_values().map(|one| (one.stream.total(), one)).filter(|(total, _)| *total > 0.0).collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut others = LoggedError { example: None, stream: Stream::default() };
    for (_, one) in sorted.split_off(sorted.len().min(DISTINCT_MAX)) {
        others.stream.merge(&one.stream);
    }
    sorted.into_iter().map(|(_, one)| one).chain([others]).collect()
}

/// Where errors were logged, all kinds of them together, and how many the baseline's rates would give.
fn events(exposure: &Exposure, all: &Counts, errors: &[LoggedError<'_>]) -> impl Iterator<Item = (Spot, f64, f64)> {
    let rate: f64 = all.strata.iter().map(|stratum| stratum.expected(Part::Baseline, 1.0)).sum();
    let mut together = Stream::default();
    errors.iter().for_each(|error| together.merge(&error.stream));
    exposure.all(together).map(move |(spot, requests, events)| (spot, events, requests * rate))
}

fn question(table: &Table<'_>, errors: &[LoggedError<'_>], policy: &Policy) -> RateQuestion {
    let mix = mix_factor(table, false).ln();
    RateQuestion {
        nulls: vec![policy.log_error_rollback.ln_1p() + mix; errors.len()],
        promote_null: (2.0 * policy.log_error_rollback).max(0.01).ln_1p() + mix,
        // The strata share their requests: a difference for each would be a multiple of it for all.
        promote_absolute: None,
        sigma_prior: SIGMA_PRIOR,
    }
}

fn comparison(table: &Table<'_>, policy: &Policy, exposure: &Exposure, answer: &RateAnswer, worst: Option<&ErrorCount>) -> Comparison {
    let kind = CheckKind::LogErrors;
    // Strata share their requests, so that these do not add up.
    let requests = exposure.stratum(table, 0, &Stream::default(), LeftOut::default()).compared;
    let side = |events: f64, requests: f64| Side { value: (requests > 0.0).then(|| events / requests), events, requests };
    let Settled { finding, detectable } = settle(policy, kind, 1.0, table, answer);
    let baseline = side(answer.compared.baseline_events, requests.baseline_requests);
    let canary = side(answer.compared.canary_events, requests.canary_requests);
    Comparison {
        finding,
        effect: answer.ratio.map(|ratio| Effect::new(EffectMeasure::Rate, ratio)),
        relative: policy.log_error_rollback,
        ln_e: answer.ln_e,
        ln_promote: answer.ln_promote,
        noise: Some(answer.shown),
        detectable,
        reason: wording::log_errors((&baseline, &canary), answer.ratio.as_ref(), worst.map(named).as_ref()),
        baseline,
        canary,
        ..Comparison::of_check(policy, kind)
    }
}

/// An error for people.
pub(super) fn named(error: &ErrorCount) -> NamedError {
    NamedError { error_type: error.error_type.clone(), message: error.message.clone() }
}
