//! What all plots share: axes, ticks and lines, as SVG that the server draws.
//!
//! Always holds: every plot has a title and says in words what it shows; its size is known before it is drawn, so nothing moves.

use std::fmt::Write as _;

use haldane_store::UnixNanos;

use super::frame::text;

/// Width of a plot in its own units.
pub(super) const WIDTH: f64 = 360.0;
/// Where the plotted area begins and ends.
pub(super) const LEFT: f64 = 44.0;
pub(super) const RIGHT: f64 = 352.0;
/// About the width of a letter.
const LETTER: f64 = 6.2;
/// Steps between times on an axis, in seconds.
const STEPS: [i64; 14] = [5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];
/// Most times on an axis.
const TIMES_MAX: i64 = 5;
/// Numbers between powers of ten on a logarithmic axis, the plainest first.
const WITHIN: [&[f64]; 4] =
    [&[1.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0], &[1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 4.0, 5.0, 6.0, 7.0, 8.5]];

/// From values to places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    values: (f64, f64),
    places: (f64, f64),
    is_log: bool,
}

impl Axis {
    /// Equal differences are equally far apart.
    pub(super) fn linear(values: (f64, f64), places: (f64, f64)) -> Self {
        Self { values, places, is_log: false }
    }

    /// Equal ratios are equally far apart. The values lie above zero.
    pub(super) fn log(values: (f64, f64), places: (f64, f64)) -> Self {
        Self { values: (values.0.ln(), values.1.ln()), places, is_log: true }
    }

    /// Where a value lies; beyond the ends, at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = if self.is_log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let ((low, high), (from, to)) = (self.values, self.places);
        let share = if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
        from + share * (to - from)
    }
}

/// Opens a plot. `told` says in words what it shows.
pub(super) fn open(out: &mut String, height: f64, title: &str, told: &str) -> std::fmt::Result {
    write!(
        out,
        "<svg class=\"wide\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{}\"><title>{}</title>",
        text(told),
        text(title)
    )
}

/// A line across the plot with its label on the left.
pub(super) fn rule(out: &mut String, y: f64, label: &str) -> std::fmt::Result {
    write!(
        out,
        "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
        LEFT - 5.0,
        y + 3.5
    )
}

/// Lines up from the foot of the plot, with their labels under it. A label that would lie over the one before is left out.
pub(super) fn marks(out: &mut String, marked: &[(f64, String)], (top, bottom): (f64, f64)) -> std::fmt::Result {
    let mut free_from = f64::MIN;
    for (x, label) in marked {
        write!(out, "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>")?;
        let half = label.chars().count() as f64 * LETTER / 2.0;
        let middle = x.min(WIDTH - half);
        if middle - half >= free_from {
            write!(out, "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>", bottom + 13.0)?;
            free_from = middle + half + LETTER;
        }
    }
    Ok(())
}

/// A line through places.
pub(super) fn line(out: &mut String, places: &[(f64, f64)], style: &str) -> std::fmt::Result {
    write!(out, "<path fill=\"none\" stroke-width=\"1.8\" stroke-linejoin=\"round\" {style} d=\"")?;
    for (at, (x, y)) in places.iter().enumerate() {
        write!(out, "{}{x:.1} {y:.1}", if at == 0 { "M" } else { "L" })?;
    }
    write!(out, "\"/>")?;
    // A line of one point cannot be seen.
    match places {
        [(x, y)] => write!(out, "<circle r=\"1.5\" cx=\"{x:.1}\" cy=\"{y:.1}\" stroke-width=\"3\" fill=\"none\" {style}/>"),
        _ => Ok(()),
    }
}

/// Round times of a span and their labels, in UTC.
pub(super) fn times(from: UnixNanos, until: UnixNanos) -> Vec<(UnixNanos, String)> {
    let (first, last) = (from.as_seconds(), until.as_seconds());
    let days = STEPS[STEPS.len() - 1] * ((last - first) / (TIMES_MAX * STEPS[STEPS.len() - 1]) + 1);
    let step = STEPS.into_iter().find(|step| (last - first) / step < TIMES_MAX).unwrap_or(days);
    let label = |at: i64| {
        let written = UnixNanos::from_seconds(at).to_rfc3339();
        let part = if step < 60 {
            11..19
        } else if step < 86_400 {
            11..16
        } else {
            5..10
        };
        written.get(part).unwrap_or_default().to_owned()
    };
    let begin = first.div_euclid(step) * step;
    let round: Vec<_> = (0..=TIMES_MAX).map(|n| begin + n * step).filter(|at| (first..=last).contains(at)).collect();
    // Within a span of no length, or a very short one, there may be no round time.
    let all = if round.is_empty() { vec![first] } else { round };
    all.into_iter().map(|at| (UnixNanos::from_seconds(at), label(at))).collect()
}

/// Round values of a logarithmic axis, seven at most; three at least, unless it is very short.
pub(super) fn decades((low, high): (f64, f64)) -> Vec<f64> {
    let mut found = Vec::new();
    for within in WITHIN {
        #[expect(clippy::cast_possible_truncation, reason = "the power of ten of a finite f64")]
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        found = (first..=last)
            .flat_map(|power| within.iter().map(move |digit| digit * 10_f64.powi(power)))
            .filter(|value| (low * 0.999..=high * 1.001).contains(value))
            .collect();
        if found.len() >= 3 {
            break;
        }
    }
    let each = found.len().div_ceil(7).max(1);
    found.into_iter().step_by(each).collect()
}

/// A latency in words.
pub(super) fn latency(seconds: f64) -> String {
    match seconds * 1e3 {
        ms if ms >= 9_999.5 => format!("{:.0} s", ms / 1e3),
        ms if ms >= 999.5 => format!("{:.3}", ms / 1e3).trim_end_matches('0').trim_end_matches('.').to_owned() + " s",
        ms if ms >= 9.95 => format!("{ms:.0} ms"),
        ms if ms >= 0.1 => format!("{ms:.1}").trim_end_matches(".0").to_owned() + " ms",
        ms => format!("{:.0} µs", ms * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_ends_lie_at_the_end() {
        let axis = Axis::log((1.0, 100.0), (0.0, 10.0));
        assert_eq!([0.0, 1.0, 10.0, 100.0, 1e9].map(|value| axis.place(value).round()), [0.0, 0.0, 5.0, 10.0, 10.0]);
        assert_eq!(Axis::linear((3.0, 3.0), (0.0, 10.0)).place(3.0), 5.0);
    }

    #[test]
    fn ticks_are_round_and_few() {
        let labels = |from: i64, seconds: i64| -> Vec<String> {
            times(UnixNanos::from_seconds(from), UnixNanos::from_seconds(from + seconds)).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(3_601, 600), ["01:05", "01:10"]);
        assert_eq!(labels(7, 0), ["00:00:07"]);
        for seconds in [1, 59, 3_600, 86_400, 10_000_000] {
            assert!((1..=6).contains(&labels(1_000, seconds).len().max(1)), "{seconds}");
        }
        assert_eq!(decades((1.0, 1e4)).len(), 5);
        assert!((2..=7).contains(&decades((0.020, 0.031)).len()));
    }

    #[test]
    fn latencies_are_said_shortly() {
        assert_eq!([12.0, 1.5, 0.12, 0.0015, 0.000_05].map(latency), ["12 s", "1.5 s", "120 ms", "1.5 ms", "50 µs"]);
    }
}
