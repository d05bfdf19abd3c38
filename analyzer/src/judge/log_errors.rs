//! The check `log_errors`: are more errors and exceptions logged for as many requests, and which?
//!
//! An error that a service catches, logs and hides behind a default answer moves no rate of failed requests. Each distinct error is a stratum:
//! what all of them have in common counts, and so does one that grows among many that do not.

use std::collections::BTreeMap;

use crate::policy::{CheckKind, Policy};

use super::counts::Counts;
use super::evidence::{ErrorCount, Evidence};
use super::judgement::{Comparison, Effect, EffectMeasure, NamedError, Side};
use super::lone::lone_and_brief;
use super::rates::{RateAnswer, RateQuestion, compare};
use super::settle::{Settled, settle};
use super::table::Table;
use super::tally::{Exposure, Sighting, Stream};
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
    /// By number of a stratum: one sight of its error; none for those that are looked at together.
    pub(super) errors: Vec<Option<&'a ErrorCount>>,
}

/// Compares.
pub(super) fn compare_log_errors<'a>(table: &Table<'_>, exposure: &Exposure, policy: &Policy, evidence: &'a Evidence) -> LogErrors<'a> {
    let (streams, errors) = streams(table, exposure, evidence);
    let counts = |without: Option<u32>| Counts {
        strata: streams.iter().enumerate().map(|(number, stream)| exposure.stratum(table, number, stream, PER_REQUEST, without)).collect(),
    };
    let all = counts(None);
    let mut answer = compare(table, &all, &question(&all, policy));
    let suspicious = answer.ln_e >= -0.5 * policy.alpha().ln();
    let rows_of = |number: usize, instance: u32| exposure.rows_of(&streams[number], instance);
    if suspicious && let Some(instance) = lone_and_brief(table, &all, |stratum, instance| rows_of(stratum.operation, instance)) {
        let others = counts(Some(instance));
        answer.ln_e = answer.ln_e.min(compare(table, &others, &question(&others, policy)).ln_e);
    }
    let worst = answer.strata.iter().max_by(|a, b| a.excess().total_cmp(&b.excess())).and_then(|stratum| errors[stratum.operation]);
    let comparison = comparison(table, policy, &all, &answer, worst);
    LogErrors { comparison, answer, errors }
}

/// One stream for each of the most frequent errors, and one for the others, which is there in any case: it carries the requests.
fn streams<'a>(table: &Table<'_>, exposure: &Exposure, evidence: &'a Evidence) -> (Vec<Stream>, Vec<Option<&'a ErrorCount>>) {
    let mut known: BTreeMap<&str, (Stream, &'a ErrorCount)> = BTreeMap::new();
    // What has only a status is a failed request, and counts as one.
    for error in evidence.errors.iter().filter(|error| matches!(&*error.source, "log" | "exception")) {
        let (stream, _) = known.entry(&error.fingerprint).or_insert_with(|| (Stream::default(), error));
        let sighting = Sighting { at: error.at, cohort: error.cohort, instance: &error.instance, count: error.count };
        exposure.add(table, stream, &sighting);
    }
    let mut sorted: Vec<(Stream, &ErrorCount)> = known.into_values().filter(|(stream, _)| stream.total() > 0.0).collect();
    sorted.sort_by(|a, b| b.0.total().total_cmp(&a.0.total()).then_with(|| a.1.fingerprint.cmp(&b.1.fingerprint)));
    let mut rest = Stream::default();
    sorted.iter().skip(DISTINCT_MAX).for_each(|(stream, _)| rest.merge(stream));
    sorted.truncate(DISTINCT_MAX);
    let (mut streams, mut errors): (Vec<Stream>, Vec<_>) = sorted.into_iter().map(|(stream, error)| (stream, Some(error))).unzip();
    if streams.is_empty() || rest.total() > 0.0 {
        streams.push(rest);
        errors.push(None);
    }
    (streams, errors)
}

fn question(counts: &Counts, policy: &Policy) -> RateQuestion {
    RateQuestion {
        nulls: vec![policy.log_error_rollback.ln_1p(); counts.strata.len()],
        promote_null: (2.0 * policy.log_error_rollback).max(0.01).ln_1p(),
        promote_absolute: Some(policy.error_promote.absolute).filter(|margin| *margin > 0.0),
        sigma_prior: SIGMA_PRIOR,
    }
}

fn comparison(table: &Table<'_>, policy: &Policy, counts: &Counts, answer: &RateAnswer, worst: Option<&ErrorCount>) -> Comparison {
    let kind = CheckKind::LogErrors;
    // Every stratum has the same requests.
    let one = counts.strata.first().map(|stratum| stratum.compared).unwrap_or_default();
    let side = |events: f64, requests: f64| Side { value: (requests > 0.0).then(|| events / requests), events, requests };
    let Settled { finding, detectable } = settle(policy, kind, 1.0, table, answer);
    let baseline = side(answer.compared.baseline_events, one.baseline_requests);
    let canary = side(answer.compared.canary_events, one.canary_requests);
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
