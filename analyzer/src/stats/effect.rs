//! How large a difference is, with an interval that holds however often one looks.

use std::cmp::Ordering;

use super::eprocess::{Noise, ln_smoothed};
use super::likelihood::RatioLikelihood;

/// Confidence level of every interval.
pub(crate) const LEVEL: f64 = 0.99;

/// A ratio with its interval. Infinite where the baseline has no events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RatioInterval {
    /// The most likely ratio.
    pub(crate) estimate: f64,
    /// Lower end.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// The rate ratio of a likelihood whose zero is at equality; `None` without events.
///
/// The interval holds every `d` that the mixture with `d ~ N(0, 1)` does not reject at [`LEVEL`] by the e-process of F10: a confidence
/// sequence (Robbins 1970; Howard et al. 2021, Annals of Statistics 49(2)), valid at all times together.
pub(crate) fn rate_ratio(likelihood: &RatioLikelihood, noise: Noise) -> Option<RatioInterval> {
    let peak = likelihood.peak()?;
    let wide = Noise { phi: noise.phi, tau: noise.tau.hypot(1.0) };
    let mut mode = 0.0;
    let bar = ln_smoothed(likelihood, 0.0, wide, &mut mode) + (1.0 - LEVEL).ln();
    let inside = |d: f64| ln_smoothed(likelihood, d, noise, &mut mode.clone()) >= bar;
    let centre = peak.clamp(-FARTHEST, FARTHEST);
    Some(RatioInterval { estimate: peak.exp(), low: edge(&inside, centre, -FARTHEST).exp(), high: edge(&inside, centre, FARTHEST).exp() })
}

/// Where equality lies from the interval of [`rate_ratio`]: `Less` when the whole interval lies above it, `Equal` when inside.
pub(crate) fn equality(likelihood: &RatioLikelihood, noise: Noise) -> Ordering {
    let Some(peak) = likelihood.peak() else { return Ordering::Equal };
    let wide = Noise { phi: noise.phi, tau: noise.tau.hypot(1.0) };
    let mut mode = 0.0;
    let bar = ln_smoothed(likelihood, 0.0, wide, &mut mode) + (1.0 - LEVEL).ln();
    if ln_smoothed(likelihood, 0.0, noise, &mut mode) >= bar {
        return Ordering::Equal;
    }
    0.0.partial_cmp(&peak).unwrap_or(Ordering::Equal)
}

/// Ratios beyond `e^20` are written as none and as infinite.
const FARTHEST: f64 = 20.0;

/// Where `inside` ends between `from`, which is inside, and `to`; infinite when it does not end.
fn edge(inside: &impl Fn(f64) -> bool, from: f64, to: f64) -> f64 {
    if inside(to) {
        return to.signum() * f64::INFINITY;
    }
    let (mut inner, mut outer) = (from, to);
    for _ in 0..40 {
        let middle = 0.5 * (inner + outer);
        if inside(middle) {
            inner = middle;
        } else {
            outer = middle;
        }
    }
    outer
}

#[cfg(test)]
mod tests;
