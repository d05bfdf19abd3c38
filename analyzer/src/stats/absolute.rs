//! Evidence that the canary's rate exceeds the baseline's by less than an absolute difference.
//!
//! A rate ratio says nothing where there are no events. This test lets a release without errors be promoted.

use super::eprocess::Noise;
use super::likelihood::{PairCounts, ln_sum_exp};

/// The bets that are mixed: how strongly a canary event counts against the canary.
const BETS: [f64; 6] = [0.05, 0.1, 0.2, 0.35, 0.55, 0.8];

/// `ln E` against `p_c >= p_b + margin`, over all strata together.
///
/// For a bet `e` in (0, 1) a pair contributes `x ln(1-e) + y ln(1 + g e n_c/n_b) + n_c g margin e`. Its mean is at most one when
/// `sum n_c p_c >= g sum n_c (p_b + margin)`, for Bernoulli and Poisson events (`1 + p(a-1) <= exp(p(a-1))`), any `p_b`, and any drift:
/// the excess is standardised to the canary's mix of strata, so that a change of the mix does not matter. `g = exp(-1.28 tau)` allows for
/// a canary whose instances happen to be good ones; `phi` tempers as in F10. Unlike a rate ratio it also grows without any event.
pub(crate) fn ln_non_inferior<'a>(pairs: impl Iterator<Item = &'a PairCounts> + Clone, margin: f64, noise: Noise) -> f64 {
    let luck = (-1.28 * noise.tau).exp();
    let terms = BETS.map(|bet| {
        let gains = pairs.clone().filter(|pair| pair.canary_requests > 0.0 && pair.baseline_requests > 0.0).map(|pair| {
            let split = luck * pair.canary_requests / pair.baseline_requests;
            pair.canary_events * (-bet).ln_1p() + pair.baseline_events * (bet * split).ln_1p() + pair.canary_requests * luck * margin * bet
        });
        gains.sum::<f64>() / noise.phi
    });
    ln_sum_exp(&terms) - (BETS.len() as f64).ln()
}

#[cfg(test)]
mod tests;
