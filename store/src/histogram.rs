//! The histograms of OpenTelemetry. The base-2 exponential one is the form in which durations are kept and merged.
//!
//! Bucket `i` of scale `s` holds values in `(base^i, base^(i+1)]` with `base = 2^(2^-s)`. At scale 6 a bucket is 1.09 % wide, so
//! its middle is at most 0.55 % off. Two histograms merge without loss of count: the finer one is first brought to the
//! coarser scale, which joins neighbouring buckets exactly.
//!
//! Source: OpenTelemetry specification, metrics data model, "ExponentialHistogram".

mod explicit;

pub use explicit::ExplicitHistogram;

/// The scale at which durations are recorded.
pub const DURATION_SCALE: i32 = 6;

/// The smallest number that a `f64` can be is in bucket -1,126,170,624 of the finest scale.
const OFFSET_MOST: i32 = 1_200_000_000;

/// Counts of positive values by exponential bucket, and of values that are zero or less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExponentialHistogram {
    scale: i32,
    zero_count: u64,
    offset: i32,
    counts: Vec<u64>,
}

impl ExponentialHistogram {
    /// No values, at a scale of -10 to 20.
    pub fn new(scale: i32) -> Self {
        Self { scale: scale.clamp(-10, 20), zero_count: 0, offset: 0, counts: Vec::new() }
    }

    /// From its parts, as a table row or an OTLP point has them. No finite number lies in a bucket beyond [`OFFSET_MOST`].
    pub fn from_parts(scale: i32, zero_count: u64, offset: i32, counts: Vec<u64>) -> Self {
        Self { scale: scale.clamp(-10, 20), zero_count, offset: offset.clamp(-OFFSET_MOST, OFFSET_MOST), counts }
    }

    /// The scale.
    pub fn scale(&self) -> i32 {
        self.scale
    }

    /// Values that were zero or less.
    pub fn zero_count(&self) -> u64 {
        self.zero_count
    }

    /// The index of the first bucket in [`Self::counts`].
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// Counts from bucket [`Self::offset`] on, without a gap.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All values.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(self.zero_count, |sum, count| sum.saturating_add(*count))
    }

    /// Adds one value. Zero, negative and not-a-number count as zero.
    pub fn record(&mut self, value: f64) {
        if value > 0.0 && value.is_finite() {
            let index = bucket_index(value, self.scale);
            *self.slot(index) += 1;
        } else {
            self.zero_count += 1;
        }
    }

    /// Adds all of another, at the coarser of the two scales.
    pub fn merge(&mut self, other: &Self) {
        self.add_buckets((other.scale, other.zero_count), other.buckets());
    }

    /// Adds what has this scale, so many values of zero, and buckets of an index and a count each.
    pub fn add_buckets(&mut self, (scale, zero_count): (i32, u64), buckets: impl Iterator<Item = (i32, u64)>) {
        let scale = scale.clamp(-10, 20);
        self.downscale_to(scale);
        self.zero_count += zero_count;
        let shift = scale - self.scale;
        for (bucket, count) in buckets {
            *self.slot(bucket >> shift) += count;
        }
    }

    /// The same values in wider buckets; does nothing when the scale is not coarser.
    pub fn downscale_to(&mut self, scale: i32) {
        if scale >= self.scale {
            return;
        }
        let shift = (self.scale - scale).min(31);
        let mut coarse = Self::new(scale);
        coarse.zero_count = self.zero_count;
        for (bucket, count) in self.buckets() {
            *coarse.slot(bucket >> shift) += count;
        }
        *self = coarse;
    }

    /// What came after `earlier`, of which this is the continuation; `None` when it cannot be, as it has less in some bucket.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let (mut now, mut before) = (self.clone(), earlier.clone());
        now.downscale_to(before.scale);
        before.downscale_to(now.scale);
        now.zero_count = now.zero_count.checked_sub(before.zero_count)?;
        for (bucket, count) in before.buckets() {
            let at = usize::try_from(i64::from(bucket) - i64::from(now.offset)).ok()?;
            let left = now.counts.get_mut(at)?;
            *left = left.checked_sub(count)?;
        }
        Some(now)
    }

    /// Counts as zero what lies in buckets that begin below this; the upper bound of the last of them, or what was given.
    pub fn raise_zero_to(&mut self, threshold: f64) -> f64 {
        let scale = self.scale;
        let below = self.counts.iter().zip(self.offset..).take_while(|(_, bucket)| bucket_upper(*bucket - 1, scale) < threshold).count();
        let moved: Vec<u64> = self.counts.drain(..below).collect();
        self.zero_count = moved.iter().fold(self.zero_count, |sum, count| sum.saturating_add(*count));
        self.offset = self.offset.saturating_add(i32::try_from(below).unwrap_or(i32::MAX));
        if moved.is_empty() { threshold } else { threshold.max(bucket_upper(self.offset - 1, scale)) }
    }

    /// Index and count of each bucket that is not empty, upwards.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        self.counts.iter().zip(self.offset..).filter(|(count, _)| **count > 0).map(|(count, bucket)| (bucket, *count))
    }

    /// How many values lie in buckets from `index` on, at this histogram's own scale.
    pub fn count_from(&self, index: i32) -> u64 {
        self.buckets().filter(|(bucket, _)| *bucket >= index).map(|(_, count)| count).sum()
    }

    /// The index of the bucket that holds the `q` quantile (0 to 1), `None` when it is empty or the quantile is zero or less.
    pub fn quantile_index(&self, q: f64) -> Option<i32> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * total as f64;
        let mut seen = self.zero_count;
        if rank_reached(seen, rank) {
            return None;
        }
        for (bucket, count) in self.buckets() {
            seen += count;
            if rank_reached(seen, rank) {
                return Some(bucket);
            }
        }
        None
    }

    /// The `q` quantile, taken in the (geometric) middle of its bucket; zero for an empty histogram.
    pub fn quantile(&self, q: f64) -> f64 {
        self.quantile_index(q).map_or(0.0, |index| bucket_middle(index, self.scale))
    }

    fn slot(&mut self, index: i32) -> &mut u64 {
        if self.counts.is_empty() {
            self.offset = index;
        }
        if index < self.offset {
            let missing = usize::try_from(self.offset - index).expect("index lies below the offset");
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.offset = index;
        }
        let at = usize::try_from(index - self.offset).expect("index is not below the offset");
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        &mut self.counts[at]
    }
}

fn rank_reached(seen: u64, rank: f64) -> bool {
    seen > 0 && seen as f64 >= rank
}

/// The bucket of a positive finite value.
#[expect(clippy::cast_possible_truncation, reason = "the index of a finite f64 at scale 20 fits 31 bits")]
pub fn bucket_index(value: f64, scale: i32) -> i32 {
    (value.log2() * power_of_two(scale)).ceil() as i32 - 1
}

/// Two to a whole power, put together from its bits where it has the usual form.
fn power_of_two(exponent: i32) -> f64 {
    match u64::try_from(i64::from(exponent) + 1023) {
        Ok(biased @ 1..=2046) => f64::from_bits(biased << 52),
        Ok(_) | Err(_) => f64::from(exponent).exp2(),
    }
}

/// The upper bound of a bucket, which belongs to it.
pub fn bucket_upper(index: i32, scale: i32) -> f64 {
    (f64::from(index.saturating_add(1)) * (-f64::from(scale)).exp2()).exp2()
}

/// The geometric middle of a bucket.
pub fn bucket_middle(index: i32, scale: i32) -> f64 {
    ((f64::from(index) + 0.5) * (-f64::from(scale)).exp2()).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_power_of_two_belongs_to_the_bucket_below_it() {
        // Specification, "base-2 exponential": upper bounds are inclusive.
        assert_eq!(bucket_index(1.0, 0), -1);
        assert_eq!(bucket_index(2.0, 0), 0);
        assert_eq!(bucket_index(2.1, 0), 1);
        assert_eq!(bucket_index(4.0, 1), 3);
    }

    #[test]
    fn powers_of_two_are_exact() {
        assert!((-1_100..1_100).all(|exponent| power_of_two(exponent) == f64::from(exponent).exp2()));
    }

    #[test]
    fn zero_and_broken_values_count_as_zero() {
        let mut histogram = ExponentialHistogram::new(6);
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            histogram.record(value);
        }
        assert_eq!((histogram.zero_count(), histogram.counts().len()), (4, 0));
        assert_eq!(histogram.quantile(0.5), 0.0);
    }

    #[test]
    fn buckets_that_no_number_is_in_do_no_harm() {
        for (scale, offset) in [(i32::MAX, i32::MAX), (i32::MIN, i32::MIN), (20, i32::MAX), (-10, i32::MIN)] {
            let mut histogram = ExponentialHistogram::from_parts(scale, 1, offset, vec![1, 2]);
            let before = histogram.clone();
            histogram.raise_zero_to(1.0);
            histogram.downscale_to(-10);
            assert_eq!((histogram.count(), before.since(&before).unwrap().count()), (4, 0));
            assert!(histogram.quantile(0.9) >= 0.0);
        }
    }

    proptest! {
        #[test]
        fn a_quantile_is_half_a_bucket_off_at_most(mut values in prop::collection::vec(1.0e3_f64..1.0e11, 1..200), q in 0.01_f64..1.0) {
            let mut histogram = ExponentialHistogram::new(DURATION_SCALE);
            values.iter().for_each(|v| histogram.record(*v));
            values.sort_by(f64::total_cmp);
            let exact = *values.iter().enumerate().find(|(below, _)| (below + 1) as f64 >= q * values.len() as f64).unwrap().1;
            prop_assert!((histogram.quantile(q) / exact - 1.0).abs() < 0.0056, "{} for {exact}", histogram.quantile(q));
        }

        #[test]
        fn merging_at_any_scales_keeps_every_count(a in prop::collection::vec(1.0e-3_f64..1.0e9, 0..60), b in prop::collection::vec(1.0e-3_f64..1.0e9, 0..60), scale in -4_i32..8) {
            let mut left = ExponentialHistogram::new(6);
            let mut right = ExponentialHistogram::new(scale);
            a.iter().for_each(|v| left.record(*v));
            b.iter().for_each(|v| right.record(*v));
            let mut together = ExponentialHistogram::new(scale.min(6));
            a.iter().chain(&b).for_each(|v| together.record(*v));
            left.merge(&right);
            prop_assert_eq!(left.buckets().collect::<Vec<_>>(), together.buckets().collect::<Vec<_>>());
            prop_assert_eq!(left.count(), (a.len() + b.len()) as u64);
        }

        #[test]
        fn what_came_since_is_what_was_added(a in prop::collection::vec(1.0e-3_f64..1.0e9, 0..60), b in prop::collection::vec(1.0e-3_f64..1.0e9, 0..60), scale in -4_i32..8) {
            let mut earlier = ExponentialHistogram::new(6);
            a.iter().for_each(|v| earlier.record(*v));
            let (mut later, mut added) = (earlier.clone(), ExponentialHistogram::new(scale.min(6)));
            b.iter().for_each(|v| { later.record(*v); added.record(*v); });
            // Exporters make the scale coarser as the range grows.
            later.downscale_to(scale);
            let since = later.since(&earlier).unwrap();
            prop_assert_eq!(since.buckets().collect::<Vec<_>>(), added.buckets().collect::<Vec<_>>());
            prop_assert_eq!(later.since(&later).unwrap().count(), 0);
            prop_assert_eq!(earlier.since(&later).is_some(), b.is_empty());
        }

        #[test]
        fn a_higher_zero_threshold_keeps_every_count(values in prop::collection::vec(1.0e-3_f64..1.0e3, 1..60), threshold in 1.0e-3_f64..1.0e3) {
            let mut histogram = ExponentialHistogram::new(3);
            values.iter().for_each(|v| histogram.record(*v));
            let raised = histogram.raise_zero_to(threshold);
            prop_assert_eq!(histogram.count(), values.len() as u64);
            prop_assert!(raised >= threshold);
            prop_assert_eq!(histogram.zero_count(), values.iter().filter(|v| **v <= raised && bucket_index(**v, 3) < histogram.offset()).count() as u64);
        }
    }
}
