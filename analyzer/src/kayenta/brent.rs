//! Brent's root finder as R and Kayenta have it, with its absolute tolerance: where it stops is part of the judge's answer.

const TOLERANCE: f64 = 1e-4;
const STEPS_MAX: usize = 1_001;

/// A root between `low` and `high`, at which the function has different signs.
///
/// Source: Brent (1973), Algorithms for Minimization without Derivatives, chapter 4; `zeroin` of Netlib, as in R's `uniroot`.
pub(super) fn root(function: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    let (mut before, mut best) = (low, high);
    let (mut at_before, mut at_best) = (function(low), function(high));
    let (mut other, mut at_other) = (before, at_before);
    if at_before == 0.0 {
        return before;
    }
    for _ in 0..STEPS_MAX {
        let last_step = best - before;
        if at_other.abs() < at_best.abs() {
            (before, best, other) = (best, other, best);
            (at_before, at_best, at_other) = (at_best, at_other, at_best);
        }
        let tolerance = 2.0 * f64::EPSILON * best.abs() + TOLERANCE / 2.0;
        let middle = (other - best) / 2.0;
        if middle.abs() <= tolerance || at_best == 0.0 {
            return best;
        }
        let mut step = middle;
        if last_step.abs() >= tolerance && at_before.abs() > at_best.abs() {
            step = interpolated((before, at_before), (best, at_best), (other, at_other), tolerance, last_step).unwrap_or(middle);
        }
        if step.abs() < tolerance {
            step = if step > 0.0 { tolerance } else { -tolerance };
        }
        (before, at_before) = (best, at_best);
        best += step;
        at_best = function(best);
        if (at_best > 0.0 && at_other > 0.0) || (at_best < 0.0 && at_other < 0.0) {
            (other, at_other) = (before, at_before);
        }
    }
    best
}

/// The step to where a line, or an inverse parabola, through the points is zero, if it is a good one.
#[expect(clippy::float_cmp, reason = "two points are one when they are the same number")]
fn interpolated((a, fa): (f64, f64), (b, fb): (f64, f64), (c, fc): (f64, f64), tolerance: f64, last_step: f64) -> Option<f64> {
    let across = c - b;
    let (mut p, mut q) = if a == c {
        let t = fb / fa;
        (across * t, 1.0 - t)
    } else {
        let (q, t1, t2) = (fa / fc, fb / fc, fb / fa);
        (t2 * (across * q * (q - t1) - (b - a) * (t1 - 1.0)), (q - 1.0) * (t1 - 1.0) * (t2 - 1.0))
    };
    if p > 0.0 {
        q = -q;
    } else {
        p = -p;
    }
    (p < 0.75 * across * q - (tolerance * q).abs() / 2.0 && p < (last_step * q / 2.0).abs()).then(|| p / q)
}
