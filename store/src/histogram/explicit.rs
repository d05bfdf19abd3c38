//! A histogram with bounds that its sender chose.

/// Counts between bounds: bucket `i` holds values up to and including bound `i` and above the one before; the last one what lies above all bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplicitHistogram {
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

impl ExplicitHistogram {
    /// From its parts, as a table row or an OTLP point has them; `None` unless the bounds go upwards and there is one count more than bounds, or
    /// neither.
    pub fn from_parts(bounds: Vec<f64>, counts: Vec<u64>) -> Option<Self> {
        let upwards = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        let fits = counts.len() == bounds.len() + 1 || counts.is_empty() && bounds.is_empty();
        (upwards && fits).then_some(Self { bounds, counts })
    }

    /// Its bounds, upwards.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Its counts, one more than bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// What came after `earlier`, of which this is the continuation, between the bounds that both have; `None` when it cannot be, as it has less in
    /// some bucket.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if earlier.counts.is_empty() || self.counts.is_empty() {
            return earlier.counts.iter().all(|count| *count == 0).then(|| self.clone());
        }
        let (mut now, before) = (self.between(&earlier.bounds), earlier.between(&self.bounds));
        for (count, before) in now.counts.iter_mut().zip(before.counts) {
            *count = count.checked_sub(before)?;
        }
        Some(now)
    }

    /// The same values between those of its own bounds that are among these: neighbours are joined, and no count is lost.
    fn between(&self, bounds: &[f64]) -> Self {
        let (mut joined, mut kept) = (Self { bounds: Vec::new(), counts: Vec::new() }, 0_u64);
        for (bucket, count) in self.counts.iter().enumerate() {
            kept = kept.saturating_add(*count);
            match self.bounds.get(bucket) {
                Some(bound) if bounds.contains(bound) => {
                    joined.bounds.push(*bound);
                    joined.counts.push(std::mem::take(&mut kept));
                }
                Some(_) => {}
                None => joined.counts.push(kept),
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(bounds: &[f64], values: &[f64]) -> ExplicitHistogram {
        let mut counts = vec![0; bounds.len() + 1];
        values.iter().for_each(|value| counts[bounds.partition_point(|bound| bound < value)] += 1);
        ExplicitHistogram::from_parts(bounds.to_vec(), counts).unwrap()
    }

    #[test]
    fn parts_that_do_not_fit_are_none() {
        for (bounds, counts) in
            [(vec![1.0], vec![1]), (vec![2.0, 1.0], vec![0, 0, 0]), (vec![f64::NAN, 1.0], vec![0, 0, 0]), (vec![], vec![1, 2])]
        {
            assert_eq!(ExplicitHistogram::from_parts(bounds, counts), None);
        }
    }

    proptest! {
        #[test]
        fn what_came_since_is_what_was_added_though_the_bounds_changed(
            a in prop::collection::vec(0.0_f64..10.0, 0..40),
            b in prop::collection::vec(0.0_f64..10.0, 0..40),
            before in prop::collection::btree_set(0_u8..10, 0..6),
            after in prop::collection::btree_set(0_u8..10, 0..6),
        ) {
            let bounds = |chosen: &std::collections::BTreeSet<u8>| chosen.iter().map(|bound| f64::from(*bound)).collect::<Vec<_>>();
            let earlier = of(&bounds(&before), &a);
            let all: Vec<f64> = a.iter().chain(&b).copied().collect();
            let common: Vec<f64> = before.intersection(&after).map(|bound| f64::from(*bound)).collect();
            prop_assert_eq!(of(&bounds(&after), &all).since(&earlier).unwrap(), of(&common, &b));
        }
    }
}
