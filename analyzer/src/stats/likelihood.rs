//! The likelihood of a log rate ratio, from paired windows, with the common rate of each window conditioned out.
//!
//! Given that a window pair has `x + y` events, `x` of them are the canary's with probability
//! `theta(d) = n_c e^d / (n_c e^d + n_b)`, whatever the rate was in that window: load and a slow database cancel.
//! Relative to `d = 0` this is `ln L(d) = sum x d - (x + y) (softplus(r + d) - softplus(r))` with `r = ln(n_c / n_b)`.

/// One window, or several joined, in which both cohorts served.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct PairCounts {
    /// The canary's requests.
    pub(crate) canary_requests: f64,
    /// The canary's events.
    pub(crate) canary_events: f64,
    /// The baseline's requests.
    pub(crate) baseline_requests: f64,
    /// The baseline's events.
    pub(crate) baseline_events: f64,
}

impl PairCounts {
    /// Both together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            canary_requests: self.canary_requests + other.canary_requests,
            canary_events: self.canary_events + other.canary_events,
            baseline_requests: self.baseline_requests + other.baseline_requests,
            baseline_events: self.baseline_events + other.baseline_events,
        }
    }

    /// Whether the pair says anything: an empty arm or no event at all does not.
    pub(crate) fn is_informative(&self) -> bool {
        self.canary_requests > 0.0 && self.baseline_requests > 0.0 && self.canary_events + self.baseline_events > 0.0
    }
}

/// Width of a bin of `r`. Splitting a pair between its two neighbouring bins puts `ln L` off by at most
/// `WIDTH^2 / 32` an event, and an hour costs as much as a few windows.
const WIDTH: f64 = 1.0 / 16.0;

/// `ln L(d)`, concave in `d`. Cost of a value: one logarithm a bin, about as many bins as the split of the traffic varied.
#[derive(Debug, Clone, Default)]
pub(crate) struct RatioLikelihood {
    canary_events: f64,
    baseline_events: f64,
    /// Events by bin of `r`, sorted by bin.
    bins: Vec<(i32, f64)>,
}

impl RatioLikelihood {
    /// From pairs, with `d` counted from `null`: `value(0.0)` is at a rate ratio of `e^null`.
    pub(crate) fn new<'a>(pairs: impl IntoIterator<Item = &'a PairCounts>, null: f64) -> Self {
        let mut likelihood = Self::default();
        for pair in pairs {
            likelihood.add(pair, null);
        }
        likelihood
    }

    fn add(&mut self, pair: &PairCounts, null: f64) {
        if !pair.is_informative() {
            return;
        }
        self.canary_events += pair.canary_events;
        self.baseline_events += pair.baseline_events;
        let events = pair.canary_events + pair.baseline_events;
        let place = ((pair.canary_requests / pair.baseline_requests).ln() + null).clamp(-60.0, 60.0) / WIDTH;
        let below = place.floor();
        let upper_part = place - below;
        #[expect(clippy::cast_possible_truncation, reason = "clamped to 60 / WIDTH above")]
        let bin = below as i32;
        self.put(bin, events * (1.0 - upper_part));
        self.put(bin + 1, events * upper_part);
    }

    fn put(&mut self, bin: i32, events: f64) {
        if events > 0.0 {
            match self.bins.binary_search_by_key(&bin, |(bin, _)| *bin) {
                Ok(at) => self.bins[at].1 += events,
                Err(at) => self.bins.insert(at, (bin, events)),
            }
        }
    }

    /// Adds the evidence of another stratum at the same `d`.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.canary_events += other.canary_events;
        self.baseline_events += other.baseline_events;
        for (bin, events) in &other.bins {
            self.put(*bin, *events);
        }
    }

    /// Whether there is no event.
    pub(crate) fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// `ln L(d) - ln L(0)`.
    pub(crate) fn value(&self, d: f64) -> f64 {
        let spent: f64 = self.bins.iter().map(|(bin, events)| events * (softplus(ratio(*bin) + d) - softplus(ratio(*bin)))).sum();
        self.canary_events * d - spent
    }

    /// First derivative, and the negative of the second: the score and the information.
    pub(crate) fn slope(&self, d: f64) -> (f64, f64) {
        let (mut score, mut information) = (self.canary_events, 0.0);
        for (bin, events) in &self.bins {
            let theta = logistic(ratio(*bin) + d);
            score -= events * theta;
            information += events * theta * (1.0 - theta);
        }
        (score, information)
    }

    /// Where the likelihood is greatest: minus infinity without canary events, plus infinity without baseline events.
    pub(crate) fn peak(&self) -> Option<f64> {
        match (self.canary_events > 0.0, self.baseline_events > 0.0) {
            (false, false) => None,
            (false, true) => Some(f64::NEG_INFINITY),
            (true, false) => Some(f64::INFINITY),
            (true, true) => Some(newton(0.0, |d| self.slope(d))),
        }
    }
}

/// The root of a falling function from its value and its negative derivative. Steps are kept to 2, so that it cannot run away.
pub(crate) fn newton(start: f64, slope: impl Fn(f64) -> (f64, f64)) -> f64 {
    let mut at = start;
    for _ in 0..80 {
        let (score, information) = slope(at);
        let step = (score / information.max(1e-300)).clamp(-2.0, 2.0);
        if !step.is_finite() {
            return at;
        }
        at += step;
        if step.abs() < 1e-8 {
            break;
        }
    }
    at
}

fn ratio(bin: i32) -> f64 {
    f64::from(bin) * WIDTH
}

/// `ln(1 + e^x)` without overflow.
fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
}

/// `e^x / (1 + e^x)`.
fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(sum e^x)` without overflow; minus infinity for nothing.
pub(crate) fn ln_sum_exp(terms: &[f64]) -> f64 {
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return top;
    }
    top + terms.iter().map(|term| (term - top).exp()).sum::<f64>().ln()
}

/// `ln` of a weighted mean of evidence, from pairs of weight and `ln_e`. Weights need not add up to one.
pub(crate) fn ln_weighted_mean(parts: &[(f64, f64)]) -> f64 {
    let total: f64 = parts.iter().map(|(weight, _)| weight).sum();
    if total.is_nan() || total <= 0.0 {
        return 0.0;
    }
    let terms: Vec<f64> = parts.iter().filter(|(weight, _)| *weight > 0.0).map(|(weight, ln_e)| weight.ln() + ln_e).collect();
    ln_sum_exp(&terms) - total.ln()
}
