//! Durations of one operation, merged, on one scale. Reads histograms that may be damaged: indices and counts are bounded.

use haldane_store::histogram::bucket_middle;

use super::buckets::Buckets;

/// The finest scale kept; that of the roll-ups.
pub(super) const SCALE_MAX: i32 = 6;

/// Indices beyond this are no durations: at scale 6 it is 2^1024.
const INDEX_MAX: i64 = 1 << 16;

/// Counts of durations by bucket; bucket `i` holds values in `(2^(i / 2^scale), 2^((i+1) / 2^scale)]`.
#[derive(Debug, Clone)]
pub(super) struct Durations {
    scale: i32,
    low: i64,
    counts: Vec<u64>,
    total: f64,
}

/// The scale on which histograms of these scales can be read together.
pub(super) fn common_scale(scales: impl Iterator<Item = i32>) -> i32 {
    scales.min().unwrap_or(SCALE_MAX).min(SCALE_MAX)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, and the cast stops at the ends of the type")]
pub(super) fn whole(count: f64) -> u64 {
    count.round() as u64
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
}

impl Durations {
    pub(super) fn new(scale: i32) -> Self {
        Self { scale, low: 0, counts: Vec::new(), total: 0.0 }
    }

    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// Adds what is on this scale or a finer one, and holds so many values.
    pub(super) fn add(&mut self, buckets: Buckets<'_>, total: f64) {
        self.total += total;
        let shift = (buckets.scale() - self.scale).clamp(0, 31);
        let (Some(first), Some(last)) = (buckets.filled().first(), buckets.filled().last()) else { return };
        let (low, high) = (i64::from(first.index) >> shift, i64::from(last.index) >> shift);
        if low < -INDEX_MAX || high > INDEX_MAX {
            buckets.filled().iter().for_each(|bucket| self.put(i64::from(bucket.index) >> shift, u64::from(bucket.count)));
            return;
        }
        self.reach(low);
        self.reach(high);
        // Most of the time of a judgement is spent here.
        let from = usize::try_from(low - self.low).unwrap_or(0);
        let counts = &mut self.counts[from..];
        for bucket in buckets.filled() {
            let place = usize::try_from((i64::from(bucket.index) >> shift) - low).unwrap_or(0);
            if let Some(sum) = counts.get_mut(place) {
                *sum = sum.wrapping_add(u64::from(bucket.count));
            }
        }
    }

    /// Adds the same durations, each counted `weight` times, on this scale or a coarser one. Counts are kept in steps of 2^-10.
    pub(super) fn add_weighted(&mut self, other: &Self, weight: f64) {
        let steps = weight * 1024.0;
        self.total += other.total * steps;
        let shift = (other.scale - self.scale).clamp(0, 31);
        for (place, count) in (0_i64..).zip(&other.counts).filter(|(_, count)| **count > 0) {
            self.put((other.low + place) >> shift, whole(*count as f64 * steps));
        }
    }

    fn put(&mut self, index: i64, count: u64) {
        let index = index.clamp(-INDEX_MAX, INDEX_MAX);
        self.reach(index);
        let place = usize::try_from(index - self.low).unwrap_or(0);
        self.counts[place] = self.counts[place].saturating_add(count);
    }

    /// Makes room for bucket `index`.
    fn reach(&mut self, index: i64) {
        if self.counts.is_empty() {
            self.low = index;
        }
        if index < self.low {
            let missing = usize::try_from(self.low - index).unwrap_or(0);
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.low = index;
        }
        let place = usize::try_from(index - self.low).unwrap_or(0);
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
    }

    /// Values above bucket `index`.
    pub(super) fn above(&self, index: i64) -> f64 {
        let skipped = usize::try_from((index + 1 - self.low).max(0)).unwrap_or(usize::MAX).min(self.counts.len());
        sum(&self.counts[skipped..]) as f64
    }

    /// The greatest bucket above whose lower bound at least a share `1 - q` of all values lies; `None` when there is none.
    pub(super) fn quantile_bucket(&self, q: f64) -> Option<i64> {
        let wanted = ((1.0 - q) * self.total).max(f64::MIN_POSITIVE);
        let mut seen = 0.0;
        for (place, count) in self.counts.iter().enumerate().rev() {
            seen += *count as f64;
            if seen >= wanted * (1.0 - 1e-9) {
                return i64::try_from(place).ok().map(|place| self.low + place);
            }
        }
        None
    }

    /// The `q` quantile in seconds, in the middle of its bucket; `None` without values, zero when it lies among values of zero.
    pub(super) fn quantile_seconds(&self, q: f64) -> Option<f64> {
        if self.total <= 0.0 {
            return None;
        }
        let bucket = self.quantile_bucket(q).and_then(|bucket| i32::try_from(bucket).ok());
        Some(bucket.map_or(0.0, |bucket| bucket_middle(bucket, self.scale) / 1e9))
    }

    /// How fast the share of values above falls around bucket `index`: `-d ln P(X > t) / d ln t`, taken up to `margin` further.
    pub(super) fn tail_index(&self, index: i64, margin: f64) -> f64 {
        let further = index + shift_of(margin, self.scale, f64::floor).max(1);
        let width = (further - index) as f64 * (-f64::from(self.scale)).exp2() * std::f64::consts::LN_2;
        ((self.above(index) + 0.5) / (self.above(further) + 0.5)).ln() / width
    }
}

/// By how many buckets a value moves when it grows by `margin`, rounded as given.
#[expect(clippy::cast_possible_truncation, reason = "a policy's margin is at most 100, which is 427 buckets of scale 6")]
pub(super) fn shift_of(margin: f64, scale: i32, round: fn(f64) -> f64) -> i64 {
    round(margin.ln_1p() / std::f64::consts::LN_2 * f64::from(scale).exp2()) as i64
}
