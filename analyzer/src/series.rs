//! What happened between two points of one series of a metric.
//!
//! Many senders report totals since they began (cumulative temporality). What a comparison needs is what was added from one point to the next, and a
//! process that starts again begins its totals anew. Source: OpenTelemetry specification, metrics data model, "Resets and gaps".

use haldane_store::histogram::{ExplicitHistogram, ExponentialHistogram};

/// A point, as far as it matters here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    /// When its total began, in nanoseconds; none when the sender does not tell.
    pub(crate) start: Option<i64>,
    /// When it was taken.
    pub(crate) time: i64,
    pub(crate) values: Values,
}

/// The total that a point reports.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    Int {
        value: i64,
        monotonic: bool,
    },
    Double {
        value: f64,
        monotonic: bool,
    },
    Explicit {
        count: u64,
        sum: Option<f64>,
        histogram: ExplicitHistogram,
    },
    Exponential {
        count: u64,
        sum: Option<f64>,
        histogram: TwoSided,
    },
    /// Quantiles cannot be told apart by time; these can.
    Summary {
        count: u64,
        sum: Option<f64>,
    },
}

/// An exponential histogram with negative values; what is near zero is counted on the positive side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TwoSided {
    pub(crate) zero_threshold: f64,
    pub(crate) positive: ExponentialHistogram,
    pub(crate) negative: ExponentialHistogram,
}

/// What was added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Increase {
    /// From when on.
    pub(crate) start: i64,
    pub(crate) values: Values,
    /// Whether the total began anew in between: what was added before it did is lost.
    pub(crate) reset: bool,
}

/// What a cumulative point adds to the one before it; `None` when nobody can tell, and for a point that was sent twice. A total that began at the very time of
/// a point began at an unknown one, and adds nothing yet (OpenTelemetry, metrics data model, "cumulative streams: handling unknown start time").
///
/// `known_from` is the time from which on all points of the series were looked at.
pub(crate) fn increase(before: Option<&Point>, point: &Point, known_from: Option<i64>) -> Option<Increase> {
    let Some(before) = before else {
        // The first point counts in full when its total began where we look. One that began at its own time began nobody knows when.
        let start = point.start.filter(|start| *start < point.time && known_from.is_none_or(|from| *start >= from))?;
        return Some(Increase { start, values: point.values.clone(), reset: false });
    };
    if point.time <= before.time {
        return None;
    }
    let began_anew = point.start.filter(|start| before.start.is_some_and(|earlier| *start != earlier) && *start >= before.time);
    if began_anew == Some(point.time) {
        return None;
    }
    match point.values.since(&before.values).filter(|_| began_anew.is_none()) {
        Some(values) => Some(Increase { start: before.time, values, reset: false }),
        None => Some(Increase { start: began_anew.unwrap_or(before.time), values: point.values.clone(), reset: true }),
    }
}

impl Values {
    /// `None` when this does not go on from `earlier`: it is of another kind, or less where it can only grow.
    fn since(&self, earlier: &Self) -> Option<Self> {
        let less = |now: Option<f64>, before: Option<f64>| Some(now? - before?);
        match (self, earlier) {
            (Self::Int { value, monotonic }, Self::Int { value: before, .. }) => {
                let value = value.checked_sub(*before).filter(|added| !monotonic || *added >= 0)?;
                Some(Self::Int { value, monotonic: *monotonic })
            }
            (Self::Double { value, monotonic }, Self::Double { value: before, .. }) => {
                let value = Some(value - before).filter(|added| !monotonic || *added >= 0.0)?;
                Some(Self::Double { value, monotonic: *monotonic })
            }
            (Self::Explicit { count, sum, histogram }, Self::Explicit { count: count_before, sum: sum_before, histogram: before }) => {
                Some(Self::Explicit {
                    count: count.checked_sub(*count_before)?,
                    sum: less(*sum, *sum_before),
                    histogram: histogram.since(before)?,
                })
            }
            (
                Self::Exponential { count, sum, histogram },
                Self::Exponential { count: count_before, sum: sum_before, histogram: before },
            ) => Some(Self::Exponential {
                count: count.checked_sub(*count_before)?,
                sum: less(*sum, *sum_before),
                histogram: histogram.since(before)?,
            }),
            (Self::Summary { count, sum }, Self::Summary { count: count_before, sum: sum_before }) => {
                Some(Self::Summary { count: count.checked_sub(*count_before)?, sum: less(*sum, *sum_before) })
            }
            _ => None,
        }
    }
}

impl TwoSided {
    fn since(&self, earlier: &Self) -> Option<Self> {
        let (mut now, mut before) = (self.clone(), earlier.clone());
        // Raising the one may take it past the other, as a bucket is moved as a whole.
        // A threshold that is no number is past nothing.
        while now.zero_threshold < before.zero_threshold || before.zero_threshold < now.zero_threshold {
            let threshold = now.zero_threshold.max(before.zero_threshold);
            now.raise_zero_to(threshold);
            before.raise_zero_to(threshold);
        }
        let (positive, negative) = (now.positive.since(&before.positive)?, now.negative.since(&before.negative)?);
        let scale = positive.scale().min(negative.scale());
        let mut since = Self { zero_threshold: now.zero_threshold, positive, negative };
        since.positive.downscale_to(scale);
        since.negative.downscale_to(scale);
        Some(since)
    }

    fn raise_zero_to(&mut self, threshold: f64) {
        if threshold > self.zero_threshold {
            let raised = self.positive.raise_zero_to(threshold).max(self.negative.raise_zero_to(threshold));
            self.zero_threshold = raised.max(threshold);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(start: i64, time: i64, value: i64) -> Point {
        Point { start: Some(start), time, values: Values::Int { value, monotonic: true } }
    }

    fn added(increase: Option<Increase>) -> Option<(i64, i64, bool)> {
        increase.map(|increase| {
            let Values::Int { value, .. } = increase.values else { panic!("{increase:?}") };
            (increase.start, value, increase.reset)
        })
    }

    #[test]
    fn the_first_point_counts_when_its_total_began_where_we_look() {
        assert_eq!(added(increase(None, &point(50, 100, 7), Some(40))), Some((50, 7, false)));
        assert_eq!(added(increase(None, &point(50, 100, 7), None)), Some((50, 7, false)));
        assert_eq!(added(increase(None, &point(30, 100, 7), Some(40))), None);
        assert_eq!(added(increase(None, &Point { start: None, ..point(0, 100, 7) }, Some(40))), None);
        assert_eq!(added(increase(None, &point(100, 100, 7), Some(40))), None, "nobody knows when it began");
    }

    #[test]
    fn a_total_that_begins_anew_counts_from_there() {
        let before = point(0, 100, 7);
        assert_eq!(added(increase(Some(&before), &point(0, 200, 9), None)), Some((100, 2, false)));
        assert_eq!(added(increase(Some(&before), &point(150, 200, 9), None)), Some((150, 9, true)), "a new start, though the value grew");
        assert_eq!(added(increase(Some(&before), &point(0, 200, 3), None)), Some((100, 3, true)), "less, though the start is the old one");
        assert_eq!(added(increase(Some(&before), &point(0, 100, 7), None)), None, "sent twice");
        let resumed = point(200, 200, 1_000);
        assert_eq!(added(increase(Some(&before), &resumed, None)), None, "nobody knows when it began");
        assert_eq!(added(increase(Some(&resumed), &point(200, 300, 1_007), None)), Some((200, 7, false)), "but what it adds is known");
        let unknown = Point { start: None, ..point(0, 200, 9) };
        assert_eq!(added(increase(Some(&before), &unknown, None)), Some((100, 2, false)));
        let falling = |value| Values::Int { value, monotonic: false };
        let (before, now) = (Point { values: falling(7), ..before }, Point { values: falling(3), ..point(0, 200, 0) });
        assert_eq!(added(increase(Some(&before), &now, None)), Some((100, -4, false)), "what may fall has fallen");
    }

    fn two_sided(values: &[f64], scale: i32, zero_threshold: f64) -> TwoSided {
        let mut histogram =
            TwoSided { zero_threshold, positive: ExponentialHistogram::new(scale), negative: ExponentialHistogram::new(scale) };
        for value in values {
            let side = if *value < 0.0 { &mut histogram.negative } else { &mut histogram.positive };
            side.record(if value.abs() <= zero_threshold { 0.0 } else { value.abs() });
        }
        histogram
    }

    #[test]
    fn thresholds_that_are_no_numbers_come_to_an_end() {
        let odd = [f64::NAN, -f64::NAN, -0.0, 0.0, -1.0, f64::NEG_INFINITY, f64::INFINITY];
        for (before, now) in odd.iter().flat_map(|a| odd.iter().map(move |b| (*a, *b))) {
            let [before, now] = [(before, [1.0, 2.0].as_slice()), (now, &[1.0, 2.0, 3.0])].map(|(threshold, values)| {
                let histogram = two_sided(values, 3, 0.0);
                TwoSided { zero_threshold: threshold, ..histogram }
            });
            // Nothing but zero lies below infinity, so that one contradicts itself.
            let is_sane = ![now.zero_threshold, before.zero_threshold].contains(&f64::INFINITY);
            let since = now.since(&before);
            assert!(!is_sane || since.as_ref().is_some_and(|since| since.positive.count() == 1), "{since:?}");
        }
    }

    proptest! {
        /// Any exporter: some points get lost, some are sent twice, the process starts again now and then.
        #[test]
        fn what_was_added_is_told_but_for_what_a_reset_loses(steps in prop::collection::vec((0_i64..50, prop::bool::weighted(0.2), prop::bool::weighted(0.2)), 1..60)) {
            let (mut start, mut total, mut expected, mut told) = (0, 0, 0, 0);
            let (mut before, mut since_exported) = (None, 0);
            for (step, (added_now, restarts, lost)) in (1..).zip(steps) {
                let time = step * 100;
                if restarts {
                    (start, total, since_exported) = (time - 50, 0, 0);
                }
                total += added_now;
                since_exported += added_now;
                if lost {
                    continue;
                }
                let now = point(start, time, total);
                if let Some((_, value, _)) = added(increase(before.as_ref(), &now, None)) {
                    told += value;
                }
                prop_assert_eq!(added(increase(Some(&now), &now, None)), None);
                expected += since_exported;
                since_exported = 0;
                before = Some(now);
            }
            prop_assert_eq!(told, expected);
        }

        #[test]
        fn histograms_lose_no_count_whatever_their_scales_and_thresholds(
            a in prop::collection::vec(-1.0e3_f64..1.0e3, 0..40),
            b in prop::collection::vec(-1.0e3_f64..1.0e3, 0..40),
            scales in (-2_i32..8, 0_i32..4),
            thresholds in (0_u8..3, 0_u8..3),
        ) {
            let before = two_sided(&a, scales.0 + scales.1, f64::from(thresholds.0.min(thresholds.1)));
            let all: Vec<f64> = a.iter().chain(&b).copied().collect();
            let now = two_sided(&all, scales.0, f64::from(thresholds.0.max(thresholds.1)));
            let since = now.since(&before).unwrap();
            prop_assert_eq!(since.positive.count() + since.negative.count(), b.len() as u64);
        }
    }
}
