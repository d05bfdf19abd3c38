//! Where the harm is: which operation, which instance, and by which error (F15).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::policy::Policy;
use crate::stats::attribution::e_bh;
use crate::stats::effect::rate_ratio;
use crate::stats::eprocess::{Noise, Side as Alternative, ln_evidence};
use crate::stats::likelihood::{PairCounts, RatioLikelihood};

use super::judgement::{Comparison, Culprit, CulpritKind, Side};
use super::latency::{OperationDurations, QuantileAnswer, Threshold, quantiles_of, shift_interval};
use super::log_errors::{self, LogErrors};
use super::new_errors::DistinctError;
use super::rates::{RateAnswer, StratumAnswer};
use super::table::{Part, Row, Table};
use super::trace_id::TraceId;
use super::wording;

/// At most this many example traces are named.
const TRACES_MAX: usize = 5;

/// The operations whose errors grew, those with evidence of their own; else the one with most of the excess.
pub(super) fn of_errors(
    table: &Table<'_>,
    policy: &Policy,
    answer: &RateAnswer,
    errors: &[DistinctError<'_>],
    comparison: &Comparison,
) -> Vec<Culprit> {
    let mut culprits: Vec<Culprit> = suspects(answer, policy.alpha())
        .into_iter()
        .map(|(stratum, share)| {
            let operation = table.operation(stratum.operation);
            let behind = behind(errors, operation);
            let likelihood = RatioLikelihood::new([&stratum.compared], 0.0);
            let ratio = rate_ratio(&likelihood, stratum.noise.rollback);
            let mut traces = latest_traces(table, &table.rows[stratum.operation]);
            if let Some(error) = behind {
                // Its own first: the error's may be of other operations.
                traces.extend(error.traces().iter().cloned());
            }
            Culprit {
                kind: CulpritKind::Operation,
                name: operation.clone(),
                comparison: comparison.name.clone(),
                ln_e: stratum.ln_e,
                excess: stratum.excess(),
                share,
                error: behind.map(DistinctError::named),
                traces: first_distinct(traces),
                reason: wording::errors(&stratum.compared, ratio.as_ref(), Some(operation)),
            }
        })
        .collect();
    let count = |_: usize, row: &Row| (row.requests, row.errors);
    let trace = |row: &Row| table.cell(row).error_trace.map(TraceId::text);
    culprits.extend(instance(table, policy, comparison, (&count, &trace)));
    culprits
}

/// The operations whose latency grew.
pub(super) fn of_latency(table: &Table<'_>, policy: &Policy, quantile: &QuantileAnswer, durations: &[OperationDurations]) -> Vec<Culprit> {
    let (q, comparison) = (quantile.q, &quantile.comparison);
    let mut culprits: Vec<Culprit> = suspects(&quantile.answer, policy.alpha())
        .into_iter()
        .map(|(stratum, share)| {
            let operation = table.operation(stratum.operation);
            let own: Vec<Threshold> =
                quantile.thresholds.iter().copied().filter(|threshold| threshold.operation == stratum.operation).collect();
            let effect = shift_interval(durations, &own, &quantile.answer, stratum.noise.rollback);
            let sides = quantiles_of(durations, stratum.operation, q);
            Culprit {
                kind: CulpritKind::Operation,
                name: operation.clone(),
                comparison: comparison.name.clone(),
                ln_e: stratum.ln_e,
                excess: stratum.excess(),
                share,
                error: None,
                traces: slow_traces(table, &table.rows[stratum.operation], own.first()),
                reason: wording::latency(q, effect.as_ref(), sides, Some(operation)),
            }
        })
        .collect();
    let mut thresholds: Vec<Option<&Threshold>> = vec![None; table.operations.len()];
    quantile.thresholds.iter().for_each(|threshold| thresholds[threshold.operation] = Some(threshold));
    let count = |operation: usize, row: &Row| match thresholds[operation] {
        Some(Threshold { bucket, margin, scale, .. }) => (row.timed, table.durations(row).above(bucket + margin, *scale)),
        None => (0.0, 0.0),
    };
    let trace = |row: &Row| table.cell(row).slow_trace.map(TraceId::text);
    culprits.extend(instance(table, policy, comparison, (&count, &trace)));
    culprits
}

/// The errors that are logged more often.
pub(super) fn of_log_errors(policy: &Policy, known: &LogErrors<'_>, distinct: &[DistinctError<'_>]) -> Vec<Culprit> {
    let suspects = suspects(&known.answer, policy.alpha()).into_iter();
    let named = suspects.filter_map(|(stratum, share)| {
        let error = known.errors[stratum.operation].example?;
        let traces = distinct.iter().find(|one| one.fingerprint() == &error.fingerprint).map(|one| one.traces().to_vec());
        let (pair, named) = (&stratum.compared, log_errors::named(error));
        let ratio = rate_ratio(&RatioLikelihood::new([pair], 0.0), stratum.noise.rollback);
        let side = |events, requests| Side { value: None, events, requests };
        let sides = (&side(pair.baseline_events, pair.baseline_requests), &side(pair.canary_events, pair.canary_requests));
        Some(Culprit {
            kind: CulpritKind::Error,
            name: error.fingerprint.clone(),
            comparison: known.comparison.name.clone(),
            ln_e: stratum.ln_e,
            excess: stratum.excess(),
            share,
            traces: traces.unwrap_or_default(),
            reason: wording::log_errors(sides, ratio.as_ref(), Some(&named)),
            error: Some(named),
        })
    });
    named.collect()
}

/// Operations to name, with their part of all excess events, the strongest first.
fn suspects(answer: &RateAnswer, alpha: f64) -> Vec<(&StratumAnswer, f64)> {
    let strata: Vec<&StratumAnswer> = answer.strata.iter().filter(|stratum| stratum.compared.canary_requests > 0.0).collect();
    let total: f64 = strata.iter().map(|stratum| stratum.excess().max(0.0)).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let ln_e: Vec<f64> = strata.iter().map(|stratum| stratum.ln_e).collect();
    let mut named = e_bh(&ln_e, alpha);
    if named.is_empty() {
        let most = (0..strata.len()).max_by(|a, b| strata[*a].excess().total_cmp(&strata[*b].excess()));
        named = most.filter(|index| strata[*index].excess() >= 0.5 * total).into_iter().collect();
    }
    named.sort_by(|a, b| strata[*b].excess().total_cmp(&strata[*a].excess()).then(a.cmp(b)));
    named.into_iter().map(|index| (strata[index], (strata[index].excess() / total).clamp(0.0, 1.0))).collect()
}

/// The error that the canary has most often in this operation, more often than the baseline anywhere.
fn behind<'e, 'a>(errors: &'e [DistinctError<'a>], operation: &str) -> Option<&'e DistinctError<'a>> {
    let known = |error: &&DistinctError<'_>| error.count_in(operation) > 0 && error.ln_e > 0.0;
    let weight = |error: &&DistinctError<'_>| error.count_in(operation);
    errors.iter().filter(known).max_by_key(weight).or_else(|| errors.iter().filter(|e| e.count_in(operation) > 0).max_by_key(weight))
}

type CountAndTrace<'f> = (&'f dyn Fn(usize, &Row) -> (f64, f64), &'f dyn Fn(&Row) -> Option<Arc<str>>);

/// The one instance of the canary that has nearly all of the excess while the others are well, if there is one.
fn instance(table: &Table<'_>, policy: &Policy, comparison: &Comparison, (count, trace): CountAndTrace<'_>) -> Option<Culprit> {
    let mut arms: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    let canary = table.rows.iter().enumerate().flat_map(|(operation, rows)| rows.iter().map(move |row| (operation, row)));
    for (operation, row) in canary.filter(|(_, row)| row.side == Part::Canary) {
        let (requests, events) = count(operation, row);
        let arm = arms.entry(row.instance).or_default();
        *arm = (arm.0 + requests, arm.1 + events);
    }
    let rate = comparison.baseline.events / comparison.baseline.requests.max(1.0);
    let excess = |(requests, events): (f64, f64)| events - requests * rate;
    let total: f64 = arms.values().map(|arm| excess(*arm).max(0.0)).sum();
    let (worst, arm) = arms.iter().max_by(|a, b| excess(*a.1).total_cmp(&excess(*b.1)))?;
    let share = excess(*arm) / total.max(1e-9);
    if arms.len() < 2 || share < 0.9 {
        return None;
    }
    let (all, events) = arms.values().fold((0.0, 0.0), |sum, arm| (sum.0 + arm.0, sum.1 + arm.1));
    let pair = PairCounts { canary_requests: arm.0, canary_events: arm.1, baseline_requests: all - arm.0, baseline_events: events - arm.1 };
    let phi = comparison.noise.map_or(1.0, |noise| noise.phi);
    // Against the canary's other instances, each of which might have been the worst.
    let ln_e = ln_evidence(&RatioLikelihood::new([&pair], 2.0_f64.ln()), Noise { phi, tau: 0.2 }, Alternative::Above);
    if ln_e < (arms.len() as f64 / policy.alpha()).ln() {
        return None;
    }
    let name = table.instances[*worst as usize].clone();
    let ratio = rate_ratio(&RatioLikelihood::new([&pair], 0.0), Noise { phi, tau: 0.0 });
    let rows: Vec<&Row> = table.all().filter(|row| row.side == Part::Canary && row.instance == *worst).collect();
    Some(Culprit {
        kind: CulpritKind::Instance,
        comparison: comparison.name.clone(),
        ln_e,
        excess: excess(*arm),
        share: share.clamp(0.0, 1.0),
        error: None,
        traces: first_distinct(rows.iter().rev().filter_map(|row| trace(row)).collect()),
        reason: wording::instance(&name, ratio.as_ref(), &pair),
        name,
    })
}

/// The latest traces that failed.
fn latest_traces(table: &Table<'_>, rows: &[Row]) -> Vec<Arc<str>> {
    let failed = rows.iter().rev().filter(|row| row.side == Part::Canary).filter_map(|row| table.cell(row).error_trace);
    failed.take(TRACES_MAX).map(TraceId::text).collect()
}

/// Traces of the windows with the slowest requests.
fn slow_traces(table: &Table<'_>, rows: &[Row], threshold: Option<&Threshold>) -> Vec<Arc<str>> {
    let Some(threshold) = threshold else { return Vec::new() };
    let mut slow: Vec<(f64, &TraceId)> = rows
        .iter()
        .filter(|row| row.side == Part::Canary)
        .filter_map(|row| table.cell(row).slow_trace.map(|trace| (row, trace)))
        .map(|(row, trace)| (table.durations(row).above(threshold.bucket + threshold.margin, threshold.scale), trace))
        .filter(|(count, _)| *count > 0.0)
        .collect();
    slow.sort_by(|a, b| b.0.total_cmp(&a.0));
    first_distinct(slow.into_iter().map(|(_, trace)| trace.text()).take(4 * TRACES_MAX).collect())
}

fn first_distinct(traces: Vec<Arc<str>>) -> Vec<Arc<str>> {
    let mut kept: Vec<Arc<str>> = Vec::new();
    for trace in traces {
        if kept.len() < TRACES_MAX && !trace.is_empty() && !kept.contains(&trace) {
            kept.push(trace);
        }
    }
    kept
}
