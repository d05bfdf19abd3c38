//! A histogram without its empty buckets, as cells keep theirs. It may be damaged: indices and counts are whatever they are.

use haldane_store::ExponentialHistogram;

/// Durations by bucket; bucket `i` holds values in `(2^(i / 2^scale), 2^((i+1) / 2^scale)]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Buckets<'a> {
    scale: i32,
    zero_count: u64,
    /// Upwards.
    filled: &'a [Bucket],
}

/// A bucket that is not empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    pub(super) index: i32,
    /// Where there would be more, the largest number there is: more than any instance serves.
    pub(super) count: u32,
}

impl<'a> Buckets<'a> {
    /// Buckets whose indices rise.
    pub(super) fn new((scale, zero_count): (i32, u64), filled: &'a [Bucket]) -> Self {
        Self { scale, zero_count, filled }
    }

    pub(crate) fn scale(&self) -> i32 {
        self.scale
    }

    /// Values that were zero or less.
    pub(crate) fn zero_count(&self) -> u64 {
        self.zero_count
    }

    /// All values; the largest number where their sum would be larger.
    pub(crate) fn count(&self) -> u64 {
        self.filled.iter().fold(self.zero_count, |sum, bucket| sum.saturating_add(u64::from(bucket.count)))
    }

    pub(super) fn filled(&self) -> &'a [Bucket] {
        self.filled
    }

    /// How many values lie above bucket `index` of a scale that is its own or coarser.
    pub(super) fn above(&self, index: i64, scale: i32) -> f64 {
        self.above_each([index], scale).sum()
    }

    /// The same for each of some buckets, whose indices have to fall.
    pub(super) fn above_each(&self, indices: impl IntoIterator<Item = i64>, scale: i32) -> impl Iterator<Item = f64> {
        let shift = (self.scale - scale).clamp(0, 31);
        let (mut below, mut sum) = (self.filled, 0_u64);
        indices.into_iter().map(move |index| {
            let first = index.saturating_add(1).saturating_mul(1_i64 << shift);
            while let [others @ .., highest] = below
                && i64::from(highest.index) >= first
            {
                sum = sum.wrapping_add(u64::from(highest.count));
                below = others;
            }
            sum as f64
        })
    }

    /// Adds all of it to a histogram, at the coarser of the two scales.
    pub fn add_to(&self, histogram: &mut ExponentialHistogram) {
        let buckets = self.filled.iter().map(|bucket| (bucket.index, u64::from(bucket.count)));
        histogram.add_buckets((self.scale, self.zero_count), buckets);
    }

    /// The index of the first bucket; 0 if there is none.
    pub(crate) fn offset(&self) -> i32 {
        self.filled.first().map_or(0, |bucket| bucket.index)
    }

    /// Counts from [`Self::offset`] on, without a gap.
    pub(crate) fn dense(&self) -> impl Iterator<Item = u64> + use<'a> {
        let mut next = i64::from(self.offset());
        self.filled.iter().flat_map(move |bucket| {
            let empty = usize::try_from(i64::from(bucket.index) - next).unwrap_or(0);
            next = i64::from(bucket.index) + 1;
            std::iter::repeat_n(0, empty).chain([u64::from(bucket.count)])
        })
    }
}

impl From<Buckets<'_>> for ExponentialHistogram {
    fn from(buckets: Buckets<'_>) -> Self {
        Self::from_parts(buckets.scale, buckets.zero_count, buckets.offset(), buckets.dense().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILLED: [Bucket; 3] = [Bucket { index: -3, count: 1 }, Bucket { index: 0, count: 2 }, Bucket { index: 5, count: 8 }];

    #[test]
    fn values_above_a_bucket_are_counted_on_coarser_scales_too() {
        let buckets = Buckets::new((1, 4), &FILLED);
        let above = |index, scale| buckets.above(index, scale);
        assert_eq!([-9, -4, -3, 0, 4, 5].map(|index| above(index, 1)), [11.0, 11.0, 10.0, 8.0, 8.0, 0.0]);
        assert_eq!([-3, -2, 0, 1, 2].map(|index| above(index, 0)), [11.0, 10.0, 8.0, 8.0, 0.0]);
        assert_eq!((above(i64::MAX, -10), above(i64::MIN, -10)), (0.0, 11.0));
        let each: Vec<f64> = buckets.above_each([5, 4, 0, -1, -1, -9], 1).collect();
        assert_eq!(each, [0.0, 8.0, 8.0, 10.0, 10.0, 11.0]);
        assert_eq!(buckets.above_each([2, 0, -2, -3], 0).collect::<Vec<_>>(), [0.0, 8.0, 10.0, 11.0]);
    }

    #[test]
    fn a_histogram_of_it_has_the_empty_buckets_in_between() {
        let buckets = Buckets::new((1, 4), &FILLED);
        let whole = ExponentialHistogram::from_parts(1, 4, -3, vec![1, 0, 0, 2, 0, 0, 0, 0, 8]);
        assert_eq!(ExponentialHistogram::from(buckets), whole);
        let mut coarse = ExponentialHistogram::new(0);
        buckets.add_to(&mut coarse);
        assert_eq!(coarse, ExponentialHistogram::from_parts(0, 4, -2, vec![1, 0, 2, 0, 8]));
    }
}
