//! All chance in the shop, from one seed: the same seed and scenario make the same requests.

use std::f64::consts::TAU;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A seeded source of the few distributions that the shop needs.
#[derive(Debug)]
pub(crate) struct Chance(StdRng);

impl Chance {
    /// Chance for one purpose, such as a scenario: other labels give other numbers from the same seed.
    pub(crate) fn new(seed: u64, label: &str) -> Self {
        // FNV-1a keeps the labels apart; nothing rests on its quality.
        let salt = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(StdRng::seed_from_u64(seed ^ salt))
    }

    /// True with this probability.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Uniform on [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    /// One of `count` things, all equally likely; 0 if there are none.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        if count == 0 { 0 } else { self.0.random_range(0..count) }
    }

    /// Standard normal (Box and Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }

    /// The wait until the next arrival of a Poisson process of this many arrivals a second.
    pub(crate) fn wait(&mut self, per_second: f64) -> Duration {
        Duration::from_secs_f64(-(1.0 - self.uniform()).ln() / per_second.max(1e-6))
    }

    /// The place in `weights` of one drawn in proportion to them; the last one if all are zero.
    pub(crate) fn pick(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (at, weight) in weights.iter().enumerate() {
            if left < *weight {
                return at;
            }
            left -= weight;
        }
        weights.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_label_give_the_same_numbers_and_others_do_not() {
        let draw = |seed, label| (0..8).map(|_| Chance::new(seed, label).uniform()).collect::<Vec<_>>();
        assert_eq!(draw(1, "good"), draw(1, "good"));
        assert_ne!(draw(1, "good"), draw(1, "errors"));
        assert_ne!(draw(1, "good"), draw(2, "good"));
    }

    #[test]
    fn the_distributions_have_the_moments_they_should() {
        let mut chance = Chance::new(7, "moments");
        let normals: Vec<f64> = (0..20_000).map(|_| chance.normal()).collect();
        let mean = normals.iter().sum::<f64>() / 20_000.0;
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        let wait = (0..20_000).map(|_| chance.wait(4.0).as_secs_f64()).sum::<f64>() / 20_000.0;
        assert!((wait - 0.25).abs() < 0.01, "{wait}");
        let second = (0..20_000).filter(|_| chance.pick(&[1.0, 3.0]) == 1).count();
        assert!((14_700..15_300).contains(&second), "{second}");
    }
}
