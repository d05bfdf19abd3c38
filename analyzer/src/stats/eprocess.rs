//! Evidence that may be looked at after every window: e-processes for a rate ratio (F1, F10, F11).
//!
//! Under the null hypothesis the chance that `E` ever reaches `1 / alpha` is at most `alpha` (Ville's inequality), however
//! often and for whatever reason one looks.

use std::sync::LazyLock;

use super::likelihood::{PairCounts, RatioLikelihood, ln_sum_exp, newton};

/// How many alternatives are mixed.
const ALTERNATIVES: usize = 24;

/// The alternatives, as distances from the null on the log scale: rate ratios from 1.1 to 64 beyond the margin.
static GRID: LazyLock<[f64; ALTERNATIVES]> = LazyLock::new(|| grid(64.0_f64.ln()));

/// The alternatives for an event that the baseline does not have at all: up to ten thousand times.
static WIDE_GRID: LazyLock<[f64; ALTERNATIVES]> = LazyLock::new(|| grid(1e4_f64.ln()));

fn grid(top: f64) -> [f64; ALTERNATIVES] {
    let (low, high) = (1.1_f64.ln().ln(), top.ln());
    std::array::from_fn(|k| (low + (high - low) * k as f64 / (ALTERNATIVES - 1) as f64).exp())
}

/// The noise that a null hypothesis allows for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Noise {
    /// Burstiness: the variance of events over that of independent ones, 1 or more.
    pub(crate) phi: f64,
    /// Standard deviation of the log rate ratio of two cohorts of one version.
    pub(crate) tau: f64,
}

impl Noise {
    /// Independent events and identical instances.
    pub(crate) const NONE: Self = Self { phi: 1.0, tau: 0.0 };
}

/// Which way the alternatives lie from the null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The canary's rate is greater than the null allows (F10).
    Above,
    /// It is less (F11).
    Below,
    /// It is greater, by up to ten thousand times (F17).
    FarAbove,
}

/// `ln E` of a likelihood whose zero is at the null: F10, and F1 where `tau` is 0 and `phi` is 1.
///
/// `E = mean_k h(d_k) / h(0)` with `h(m) = integral of exp(ln L(d) / phi)` over `d ~ N(m, tau^2)`. The null thus draws the
/// difference between the two cohorts' instances at random. It is a test martingale under that null (prior predictive) for
/// `phi = 1`, and a quasi-likelihood otherwise. Windows may differ in size and rate in any way; a window with an
/// empty arm adds nothing. Derivation of F1: for Poisson or Bernoulli events with `p_c <= e^null p_b`, the mean of a window's
/// factor is at most `exp(n_c p_c (t1/t0 - 1) + n_b p_b ((1-t1)/(1-t0) - 1)) <= 1`.
pub(crate) fn ln_evidence(likelihood: &RatioLikelihood, noise: Noise, side: Side) -> f64 {
    if likelihood.is_empty() {
        return 0.0;
    }
    let (grid, sign) = alternatives(side);
    let mut mode = 0.0;
    let null = ln_smoothed(likelihood, 0.0, noise, &mut mode);
    let terms: Vec<f64> = grid.iter().map(|distance| ln_smoothed(likelihood, sign * distance, noise, &mut mode)).collect();
    ln_sum_exp(&terms) - (ALTERNATIVES as f64).ln() - null
}

/// F1, window by window and without any approximation: for checking the rest against reference tables. Tempered by `phi`.
pub(crate) fn ln_evidence_exact(pairs: &[PairCounts], null: f64, phi: f64, side: Side) -> f64 {
    let (grid, sign) = alternatives(side);
    let ln_likelihood = |distance: f64| {
        let pairs = pairs.iter().filter(|pair| pair.is_informative());
        let of = |pair: &PairCounts| {
            let ln_share = |d: f64| {
                let odds = pair.canary_requests / pair.baseline_requests * d.exp();
                ((odds / (1.0 + odds)).ln(), -odds.ln_1p())
            };
            let ((canary, baseline), (canary_null, baseline_null)) = (ln_share(null + sign * distance), ln_share(null));
            pair.canary_events * (canary - canary_null) + pair.baseline_events * (baseline - baseline_null)
        };
        pairs.map(of).sum::<f64>() / phi
    };
    let terms: Vec<f64> = grid.iter().map(|distance| ln_likelihood(*distance)).collect();
    ln_sum_exp(&terms) - (ALTERNATIVES as f64).ln()
}

/// How far the alternatives of a side lie from the null, and which way.
fn alternatives(side: Side) -> (&'static [f64], f64) {
    match side {
        Side::Above => (&*GRID, 1.0),
        Side::Below => (&*GRID, -1.0),
        Side::FarAbove => (&*WIDE_GRID, 1.0),
    }
}

/// `ln h(mean)`: the likelihood, tempered by `phi`, averaged over `d ~ N(mean, tau^2)`.
///
/// The integrand is log-concave; Gauss-Hermite nodes are laid around its own peak (Liu and Pierce 1994, Biometrika 81(3)),
/// so that the result is right when the likelihood is far narrower than `tau` as well as when it is far wider. `mode` is where to
/// look for the peak first, and is left at it.
pub(crate) fn ln_smoothed(likelihood: &RatioLikelihood, mean: f64, noise: Noise, mode: &mut f64) -> f64 {
    if noise.tau < 1e-6 {
        return likelihood.value(mean) / noise.phi;
    }
    let precision = noise.tau.powi(-2);
    *mode = newton(*mode, |d| {
        let (score, information) = likelihood.slope(d);
        (score / noise.phi - (d - mean) * precision, information / noise.phi + precision)
    });
    let width = (likelihood.slope(*mode).1 / noise.phi + precision).powf(-0.5);
    let terms = NODES.map(|(node, weight)| {
        let d = *mode + std::f64::consts::SQRT_2 * width * node;
        let ln_density = -0.5 * (d - mean).powi(2) * precision;
        likelihood.value(d) / noise.phi + ln_density + node * node + weight.ln()
    });
    ln_sum_exp(&terms) + (width / noise.tau).ln() - 0.5 * std::f64::consts::PI.ln()
}

/// Nodes and weights of Gauss-Hermite quadrature, n = 7 (Abramowitz and Stegun, table 25.10).
const NODES: [(f64, f64); 7] = [
    (-2.651_961_356_835_233, 9.717_812_450_995_192e-4),
    (-1.673_551_628_767_471, 5.451_558_281_912_703e-2),
    (-0.816_287_882_858_964_7, 4.256_072_526_101_278e-1),
    (0.0, 8.102_646_175_568_073e-1),
    (0.816_287_882_858_964_7, 4.256_072_526_101_278e-1),
    (1.673_551_628_767_471, 5.451_558_281_912_703e-2),
    (2.651_961_356_835_233, 9.717_812_450_995_192e-4),
];

#[cfg(test)]
mod tests;
