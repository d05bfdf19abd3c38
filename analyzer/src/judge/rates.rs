//! The comparison of two rates over all operations, and in each: what errors and latency have in common.

use crate::policy::Policy;
use crate::stats::absolute::ln_non_inferior;
use crate::stats::effect::{RatioInterval, rate_ratio};
use crate::stats::eprocess::{Side, ln_evidence};
use crate::stats::likelihood::{PairCounts, RatioLikelihood, ln_weighted_mean};
use crate::stats::power::{MIXTURE, Traffic};

use super::counts::Counts;
use super::judgement::MeasuredNoise;
use super::noise::{NoiseMeasure, TestNoise};
use super::storms::{LeftOut, Storms};
use super::table::Table;

/// What is asked of the rates.
pub(super) struct RateQuestion {
    /// By stratum: `ln` of the greatest rate ratio that is not rolled back.
    pub(super) nulls: Vec<f64>,
    /// `ln` of the rate ratio that a promotion has to exclude.
    pub(super) promote_null: f64,
    /// The difference of rates that excludes it just as well, if there is one.
    pub(super) promote_absolute: Option<f64>,
    /// The spread between instances to assume where it cannot be measured.
    pub(super) sigma_prior: f64,
}

/// What the rates say.
pub(super) struct RateAnswer {
    pub(super) ln_e: f64,
    pub(super) ln_promote: f64,
    pub(super) strata: Vec<StratumAnswer>,
    pub(super) compared: PairCounts,
    pub(super) ratio: Option<RatioInterval>,
    pub(super) noise: TestNoise,
    pub(super) shown: MeasuredNoise,
    pub(super) traffic: Traffic,
}

impl RateAnswer {
    /// Takes account of what single instances do, before anything is decided: the comparison is asked again with storms cut down, and where one instance alone
    /// is in trouble for a short time, without that one.
    pub(super) fn mind_instances(
        &mut self,
        policy: &Policy,
        storms: Option<&Storms>,
        lone: impl FnOnce() -> Option<u32>,
        ask: impl Fn(LeftOut<'_>) -> Self,
    ) {
        let mut calm = storms.map(|storms| ask(LeftOut { storms: Some(storms), ..LeftOut::default() }));
        let suspicious = self.ln_e.max(calm.as_ref().map_or(0.0, |calm| calm.ln_e)) >= -0.5 * policy.alpha().ln();
        if suspicious && let Some(instance) = lone() {
            let others = |storms| ask(LeftOut { instance: Some(instance), storms }).ln_e;
            self.ln_e = self.ln_e.min(others(None));
            if let Some(calm) = &mut calm {
                calm.ln_e = calm.ln_e.min(others(storms));
            }
        }
        if let Some(calm) = &calm {
            self.with_calm(calm);
        }
    }

    /// The mean with what the same comparison says without storms. What it could show is told by the one of the two that has less noise.
    fn with_calm(&mut self, calm: &Self) {
        let mean = |all: f64, calm: f64| ln_weighted_mean(&[(0.5, all), (0.5, calm)]);
        self.ln_e = mean(self.ln_e, calm.ln_e);
        for (own, calm) in self.strata.iter_mut().zip(&calm.strata) {
            own.ln_e = mean(own.ln_e, calm.ln_e);
        }
        if calm.noise.rollback.phi < self.noise.rollback.phi {
            self.traffic = calm.traffic;
        }
        // Each has half of the evidence.
        self.traffic.cost += std::f64::consts::LN_2;
    }
}

/// What the rates of one operation say.
pub(super) struct StratumAnswer {
    /// Index of the operation.
    pub(super) operation: usize,
    /// `ln` of the evidence that this operation is worse.
    pub(super) ln_e: f64,
    /// What was compared.
    pub(super) compared: PairCounts,
    /// The noise of this operation.
    pub(super) noise: TestNoise,
}

impl StratumAnswer {
    /// Events beyond what the baseline's rate would give.
    pub(super) fn excess(&self) -> f64 {
        let pair = &self.compared;
        pair.canary_events - pair.canary_requests * pair.baseline_events / pair.baseline_requests.max(1.0)
    }
}

/// Compares.
///
/// The evidence is the mean of the stratified test, which sums `ln L(d)` over operations at the same `d` before it mixes (F14), and of the
/// tests of each operation, weighted by the root of its traffic: so that neither a change of the mix creates an effect,
/// nor a fault in one operation drowns in the others.
pub(super) fn compare(table: &Table<'_>, counts: &Counts, question: &RateQuestion) -> RateAnswer {
    let measure = NoiseMeasure::new(table, counts, question.sigma_prior);
    let noise = measure.overall(table, counts);
    let (mut together, mut equal, mut promote) = (RatioLikelihood::default(), RatioLikelihood::default(), RatioLikelihood::default());
    let mut strata = Vec::with_capacity(counts.strata.len());
    let mut parts = Vec::with_capacity(counts.strata.len());
    for (stratum, null) in counts.strata.iter().zip(&question.nulls) {
        let likelihood = RatioLikelihood::new(&stratum.pairs, *null);
        let own = measure.of_operation(stratum);
        let ln_e = ln_evidence(&likelihood, own.rollback, Side::Above);
        together.merge(&likelihood);
        match *null {
            0.0 => equal.merge(&likelihood),
            _ => equal.merge(&RatioLikelihood::new(&stratum.pairs, 0.0)),
        }
        promote.merge(&RatioLikelihood::new(&stratum.promote_pairs, question.promote_null));
        let compared = stratum.compared;
        if compared.canary_requests > 0.0 && compared.baseline_requests > 0.0 {
            parts.push(((compared.canary_requests + compared.baseline_requests).sqrt(), ln_e));
        }
        strata.push(StratumAnswer { operation: stratum.operation, ln_e, compared, noise: own });
    }
    let stratified = ln_evidence(&together, noise.rollback, Side::Above);
    let ln_e = ln_weighted_mean(&[(0.5, stratified), (0.5, ln_weighted_mean(&parts))]);
    let compared = counts.compared();
    RateAnswer {
        ln_e,
        ln_promote: ln_promotion(counts, &promote, question, noise),
        strata,
        ratio: rate_ratio(&equal, noise.rollback),
        noise,
        shown: measure.shown(noise.rollback, table.pairing),
        traffic: traffic(&compared, question, counts, noise),
        compared,
    }
}

/// The mean of the test by ratio and of the test by difference: the margin is the larger of the two, so that both hold under
/// the null.
fn ln_promotion(counts: &Counts, promote: &RatioLikelihood, question: &RateQuestion, noise: TestNoise) -> f64 {
    let by_ratio = ln_evidence(promote, noise.promote, Side::Below);
    match question.promote_absolute {
        Some(margin) => {
            let pairs = counts.strata.iter().flat_map(|stratum| &stratum.promote_pairs);
            ln_weighted_mean(&[(0.5, by_ratio), (0.5, ln_non_inferior(pairs, margin, noise.promote))])
        }
        None => by_ratio,
    }
}

fn traffic(compared: &PairCounts, question: &RateQuestion, counts: &Counts, noise: TestNoise) -> Traffic {
    let weighted = counts.strata.iter().zip(&question.nulls).map(|(stratum, null)| null * stratum.compared.canary_requests);
    Traffic {
        split: compared.canary_requests / compared.baseline_requests.max(1.0),
        baseline_events: compared.baseline_events,
        null: weighted.sum::<f64>() / compared.canary_requests.max(1.0),
        noise: noise.rollback,
        cost: MIXTURE,
    }
}
