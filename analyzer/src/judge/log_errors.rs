//! The check `log_errors`: are more errors and exceptions logged for as many requests, and which?
//!
//! An error that a service catches, logs and hides behind a default answer moves no rate of failed requests. Each distinct error of an operation is a stratum:
//! what all of them have in common counts, and so does one that grows among many that do not.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::{CheckKind, Policy};

use super::counts::Counts;
use super::evidence::{ErrorCount, Evidence};
use super::judgement::{Comparison, Effect, EffectMeasure, NamedError, Side};
use super::lone::lone_and_brief;
use super::rates::{RateAnswer, RateQuestion, compare};
use super::settle::{Settled, settle};
use super::table::Table;
use super::tally::{Exposure, Sighting, Stream, mix_factor};
use super::wording;

/// Instances differ by this much, on the log scale, where it cannot be measured.
const SIGMA_PRIOR: f64 = 0.2;
/// So many distinct errors are looked at one by one, the most frequent ones; the others together.
const DISTINCT_MAX: usize = 50;
/// An error counts once for a request at most: one incident may log a thousand lines.
const PER_REQUEST: f64 = 1.0;

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
    /// The operation in which it is logged, if it is one that is served.
    operation: Option<usize>,
    stream: Stream,
}

/// Compares.
pub(super) fn compare_log_errors<'a>(table: &Table<'_>, all: &Exposure, policy: &Policy, evidence: &'a Evidence) -> LogErrors<'a> {
    let exposures = Exposures::new(table, all, evidence);
    let errors = errors(table, &exposures, evidence);
    let counts = |without: Option<u32>| Counts {
        strata: errors
            .iter()
            .enumerate()
            .map(|(number, error)| exposures.of(error.operation).stratum(table, number, &error.stream, PER_REQUEST, without))
            .collect(),
    };
    let question = question(table, &errors, policy);
    let all = counts(None);
    let mut answer = compare(table, &all, &question);
    let suspicious = answer.ln_e >= -0.5 * policy.alpha().ln();
    let rows_of = |number: usize, instance: u32| exposures.of(errors[number].operation).rows_of(&errors[number].stream, instance);
    if suspicious && let Some(instance) = lone_and_brief(table, &all, |stratum, instance| rows_of(stratum.operation, instance)) {
        answer.ln_e = answer.ln_e.min(compare(table, &counts(Some(instance)), &question).ln_e);
    }
    let worst = answer.strata.iter().max_by(|a, b| a.excess().total_cmp(&b.excess())).and_then(|stratum| errors[stratum.operation].example);
    let comparison = comparison(table, policy, &exposures, &answer, worst);
    LogErrors { comparison, answer, errors }
}

/// The requests that errors are set against.
struct Exposures<'e> {
    all: &'e Exposure,
    by_operation: BTreeMap<usize, Exposure>,
}

impl<'e> Exposures<'e> {
    fn new(table: &Table<'_>, all: &'e Exposure, evidence: &Evidence) -> Self {
        let named: BTreeSet<usize> = logged(evidence).filter_map(|error| table.operation_number(&error.operation)).collect();
        Self { all, by_operation: named.into_iter().map(|number| (number, Exposure::of_operation(table, number))).collect() }
    }

    fn of(&self, operation: Option<usize>) -> &Exposure {
        operation.and_then(|number| self.by_operation.get(&number)).unwrap_or(self.all)
    }
}

/// What has only a status is a failed request, and counts as one.
fn logged(evidence: &Evidence) -> impl Iterator<Item = &ErrorCount> {
    evidence.errors.iter().filter(|error| matches!(&*error.source, "log" | "exception"))
}

/// One for each of the most frequent errors of an operation, then one for the others of each operation, and one of no operation, which is there in any
/// case: it carries the requests.
fn errors<'a>(table: &Table<'_>, exposures: &Exposures<'_>, evidence: &'a Evidence) -> Vec<LoggedError<'a>> {
    let mut known: BTreeMap<(&str, Option<usize>), LoggedError<'a>> = BTreeMap::new();
    for error in logged(evidence) {
        let operation = table.operation_number(&error.operation);
        let place = known.entry((&error.fingerprint, operation));
        let one = place.or_insert_with(|| LoggedError { example: Some(error), operation, stream: Stream::default() });
        let sighting = Sighting { at: error.at, cohort: error.cohort, instance: &error.instance, count: error.count };
        exposures.of(operation).add(table, &mut one.stream, &sighting);
    }
    let mut sorted: Vec<(f64, LoggedError<'a>)> =
        known.into_values().map(|one| (one.stream.total(), one)).filter(|(total, _)| *total > 0.0).collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let rest = sorted.split_off(sorted.len().min(DISTINCT_MAX));
    let mut others: BTreeMap<Option<usize>, Stream> = BTreeMap::from([(None, Stream::default())]);
    for (_, one) in rest {
        others.entry(one.operation).or_default().merge(&one.stream);
    }
    let others = others.into_iter().map(|(operation, stream)| LoggedError { example: None, operation, stream });
    sorted.into_iter().map(|(_, one)| one).chain(others).collect()
}

fn question(table: &Table<'_>, errors: &[LoggedError<'_>], policy: &Policy) -> RateQuestion {
    let (margin, mix) = (policy.log_error_rollback.ln_1p(), mix_factor(table, false).ln());
    RateQuestion {
        nulls: errors.iter().map(|error| if error.operation.is_some() { margin } else { margin + mix }).collect(),
        promote_null: (2.0 * policy.log_error_rollback).max(0.01).ln_1p(),
        promote_absolute: Some(policy.error_promote.absolute).filter(|margin| *margin > 0.0),
        sigma_prior: SIGMA_PRIOR,
    }
}

fn comparison(
    table: &Table<'_>,
    policy: &Policy,
    exposures: &Exposures<'_>,
    answer: &RateAnswer,
    worst: Option<&ErrorCount>,
) -> Comparison {
    let kind = CheckKind::LogErrors;
    // Strata share their requests, so that these do not add up.
    let requests = exposures.all.stratum(table, 0, &Stream::default(), PER_REQUEST, None).compared;
    let side = |events: f64, requests: f64| Side { value: (requests > 0.0).then(|| events / requests), events, requests };
    let Settled { finding, detectable } = settle(policy, kind, 1.0, table, answer);
    let baseline = side(answer.compared.baseline_events, requests.baseline_requests);
    let canary = side(answer.compared.canary_events, requests.canary_requests);
    Comparison {
        kind,
        name: kind.name().into(),
        finding,
        required: policy.check(kind).is_some_and(|check| check.required),
        weight: policy.weight(kind),
        effect: answer.ratio.map(|ratio| Effect::new(EffectMeasure::Rate, ratio)),
        relative: policy.log_error_rollback,
        absolute: None,
        ln_e: answer.ln_e,
        ln_promote: answer.ln_promote,
        noise: Some(answer.shown),
        detectable,
        affected: None,
        reason: wording::log_errors((&baseline, &canary), answer.ratio.as_ref(), worst.map(named).as_ref()),
        baseline,
        canary,
    }
}

/// An error for people.
pub(super) fn named(error: &ErrorCount) -> NamedError {
    NamedError { error_type: error.error_type.clone(), message: error.message.clone() }
}
