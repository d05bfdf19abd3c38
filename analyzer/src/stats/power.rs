//! What the traffic can show, and when (F12).

use super::eprocess::Noise;

/// Evidence that the mixture over alternatives costs, in nats.
pub(crate) const MIXTURE: f64 = 2.08; // ln 8

/// What is compared, as far as power goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    /// The canary's requests over the baseline's.
    pub(crate) split: f64,
    /// Events of the baseline so far.
    pub(crate) baseline_events: f64,
    /// The null: the log of the rate ratio that is still tolerated.
    pub(crate) null: f64,
    /// The noise.
    pub(crate) noise: Noise,
    /// What evidence costs for being a mean, in nats: [`MIXTURE`], and more where another comparison has a part of it.
    pub(crate) cost: f64,
}

impl Traffic {
    /// Expected `ln E` for a true log rate ratio `d`, if `growth` times the traffic so far is seen.
    ///
    /// `N KL(theta(d) || theta(null)) / phi` for `N` events, and no more than what `tau` leaves: `(d - null)^2 / (2 tau^2)`.
    pub(crate) fn ln_evidence(&self, d: f64, growth: f64) -> f64 {
        let at = theta(self.split, d);
        let null = theta(self.split, self.null);
        let events = self.baseline_events.max(0.5) * growth * (1.0 + self.split * d.exp());
        let information = events * divergence(at, null) / self.noise.phi;
        let ceiling = (d - self.null).powi(2) / (2.0 * self.noise.tau.powi(2).max(1e-12));
        information * ceiling / (information + ceiling).max(1e-300) - self.cost
    }

    /// The smallest rate ratio that would have led to `ln_e` by now; `None` when not even a thousandfold would.
    pub(crate) fn detectable_ratio(&self, ln_e: f64) -> Option<f64> {
        let top = self.null + 1000_f64.ln();
        let reaches = |d: f64| self.ln_evidence(d, 1.0) >= ln_e;
        if !reaches(top) {
            return None;
        }
        let (mut short, mut enough) = (self.null, top);
        for _ in 0..40 {
            let middle = 0.5 * (short + enough);
            if reaches(middle) {
                enough = middle;
            } else {
                short = middle;
            }
        }
        Some(enough.exp())
    }

    /// How many times the traffic so far it takes until `ln_e` is expected for a log rate ratio `d`; `None` when noise never lets it.
    pub(crate) fn growth_needed(&self, d: f64, ln_e: f64) -> Option<f64> {
        let needed = ln_e + self.cost;
        let ceiling = (d - self.null).powi(2) / (2.0 * self.noise.tau.powi(2).max(1e-12));
        let information = self.ln_evidence_per_growth(d);
        if needed >= ceiling || information <= 0.0 {
            return None;
        }
        Some(needed * ceiling / (ceiling - needed) / information)
    }

    fn ln_evidence_per_growth(&self, d: f64) -> f64 {
        let events = self.baseline_events.max(0.5) * (1.0 + self.split * d.exp());
        events * divergence(theta(self.split, d), theta(self.split, self.null)) / self.noise.phi
    }
}

fn theta(split: f64, d: f64) -> f64 {
    let odds = split * d.exp();
    odds / (1.0 + odds)
}

/// Kullback-Leibler divergence of two Bernoulli distributions.
fn divergence(at: f64, null: f64) -> f64 {
    let term = |p: f64, q: f64| if p > 0.0 { p * (p / q.max(1e-300)).ln() } else { 0.0 };
    (term(at, null) + term(1.0 - at, 1.0 - null)).max(0.0)
}

#[cfg(test)]
mod tests;
