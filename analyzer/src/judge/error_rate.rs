//! The check `error_rate`: does a larger share of requests fail?

use crate::policy::{CheckKind, Margin, Policy};

use super::counts::{Counts, RowCounts, Stratum, StratumBuilder};
use super::judgement::{Affected, Comparison, Effect, EffectMeasure, Finding, Side};
use super::lone::lone_and_brief;
use super::rates::{RateAnswer, RateQuestion, compare};
use super::served::Spot;
use super::settle::{Settled, settle};
use super::storms::{LeftOut, Storms};
use super::table::{Part, Table};
use super::wording;

/// Instances differ by this much, on the log scale, where it cannot be measured (F19).
const SIGMA_PRIOR: f64 = 0.2;

/// As many requests as the service's rate is worth for the rate of one operation.
const SHRINK_REQUESTS: f64 = 100.0;

/// Compares the rates of failed requests.
pub(super) fn compare_errors(table: &Table<'_>, policy: &Policy) -> (Comparison, RateAnswer) {
    let counts = count(table, LeftOut::default());
    let ask = |left_out: LeftOut<'_>| {
        let counts = count(table, left_out);
        compare(table, &counts, &question(&counts, policy))
    };
    let mut answer = compare(table, &counts, &question(&counts, policy));
    let storms = Storms::find(table, events(table, &counts));
    let lone = || lone_and_brief(table, &counts, |stratum, instance| rows_of(table, stratum, instance));
    answer.mind_instances(policy, storms.as_ref(), lone, ask);
    let comparison = Comparison { affected: affected(&counts, policy), ..comparison(table, policy, &answer) };
    (comparison, answer)
}

/// Requests and errors.
fn count(table: &Table<'_>, left_out: LeftOut<'_>) -> Counts {
    let mut stratum = StratumBuilder::new(table);
    let of_operation = |operation: usize| {
        for row in &table.rows[operation] {
            let spot = row.spot();
            if left_out.has(&spot) {
                continue;
            }
            let events = row.errors * left_out.factor(&spot);
            stratum.add(table, spot, RowCounts { requests: row.requests, events, promote_events: events });
        }
        stratum.finish(operation)
    };
    let serves = |stratum: &Stratum| stratum.canary.expected > 0.0 || stratum.known.expected > 0.0;
    Counts { strata: (0..table.operations.len()).map(of_operation).filter(serves).collect() }
}

/// Where errors were, and how many the baseline's rates would give, of the operations of which it has one.
fn events(table: &Table<'_>, counts: &Counts) -> impl Iterator<Item = (Spot, f64, f64)> {
    counts.strata.iter().filter(|stratum| stratum.known.expected > 0.0).flat_map(|stratum| {
        let rate = stratum.expected(Part::Baseline, 1.0);
        table.rows[stratum.operation].iter().map(move |row| (row.spot(), row.errors, row.requests * rate))
    })
}

fn question(counts: &Counts, policy: &Policy) -> RateQuestion {
    RateQuestion {
        nulls: nulls(counts, policy.error_rollback),
        promote_null: policy.error_promote.relative.ln_1p(),
        promote_absolute: Some(policy.error_promote.absolute).filter(|margin| *margin > 0.0),
        sigma_prior: SIGMA_PRIOR,
    }
}

/// Windows, requests and errors of an instance of the canary in one operation.
fn rows_of(table: &Table<'_>, stratum: &Stratum, instance: u32) -> Vec<(i64, f64, f64)> {
    let rows = table.rows[stratum.operation].iter();
    rows.filter(|row| row.side == Part::Canary && row.instance == instance).map(|row| (row.window, row.requests, row.errors)).collect()
}

/// The canary's instances whose errors are beyond the margin.
fn affected(counts: &Counts, policy: &Policy) -> Option<Affected> {
    let instances = counts.canary_instances();
    let worse = instances.values().filter(|(events, expected)| *events > expected * (1.0 + policy.error_rollback.relative)).count();
    (!instances.is_empty()).then_some(Affected { instances: worse, of: instances.len() })
}

/// By operation: `ln` of the rate ratio at the margin, the larger of the relative and the absolute one.
///
/// The absolute margin as a ratio needs the baseline's rate. It is estimated from all of the baseline; an error in it moves
/// the null between margins, but never below the relative one, so that equal versions keep their guarantee.
fn nulls(counts: &Counts, margin: Margin) -> Vec<f64> {
    let (requests, events) =
        counts.strata.iter().fold((1.0, 0.5), |(n, y), stratum| (n + stratum.known.expected, y + stratum.known.events));
    let overall: f64 = events / requests;
    counts
        .strata
        .iter()
        .map(|stratum| {
            let rate = (stratum.known.events + SHRINK_REQUESTS * overall) / (stratum.known.expected + SHRINK_REQUESTS);
            margin.relative.max(margin.absolute / rate).ln_1p()
        })
        .collect()
}

fn comparison(table: &Table<'_>, policy: &Policy, answer: &RateAnswer) -> Comparison {
    let kind = CheckKind::ErrorRate;
    let compared = &answer.compared;
    let rate = |events: f64, requests: f64| (requests > 0.0).then(|| events / requests);
    let effect = answer.ratio.map(|ratio| Effect::new(EffectMeasure::Rate, ratio));
    let Settled { finding, detectable } = settle(policy, kind, 1.0, table, answer);
    Comparison {
        finding,
        baseline: Side {
            value: rate(compared.baseline_events, compared.baseline_requests),
            events: compared.baseline_events,
            requests: compared.baseline_requests,
        },
        canary: Side {
            value: rate(compared.canary_events, compared.canary_requests),
            events: compared.canary_events,
            requests: compared.canary_requests,
        },
        effect,
        relative: policy.error_rollback.relative,
        absolute: Some(policy.error_rollback.absolute),
        ln_e: answer.ln_e,
        ln_promote: answer.ln_promote,
        noise: (finding != Finding::NoData).then_some(answer.shown),
        detectable,
        reason: wording::errors(compared, answer.ratio.as_ref(), None),
        ..Comparison::of_check(policy, kind)
    }
}
