//! How the latency of both versions spreads, one over the other.

use std::fmt::Write as _;

use haldane_store::ExponentialHistogram;
use haldane_store::histogram::bucket_upper;

use super::frame::{scroll, text};
use super::plot::{Axis, LEFT, RIGHT, decades, latency, marks, open};
use super::served::{Exhibits, Served};
use crate::report::count;

const HEIGHT: f64 = 220.0;
const AREA: (f64, f64) = (10.0, 150.0);
/// Where the quantiles of each version stand, under the labels of the axis.
const STRIPS: [f64; 2] = [180.0, 204.0];
/// The share of requests that may lie beyond each end of the axis.
const BEYOND: f64 = 0.002;
/// About so many buckets lie along the axis.
const BUCKETS: f64 = 36.0;
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];
/// Labels stand at least so far apart.
const APART: f64 = 25.0;

/// The plot with its numbers; a sentence where there is nothing to plot.
pub(super) fn write(out: &mut String, found: &Result<Exhibits, String>) -> std::fmt::Result {
    write!(out, "<section id=\"latency\"><h2>Latency of both versions</h2>")?;
    match found {
        Err(why) => write!(out, "<p class=\"mute\">{}</p>", text(why))?,
        Ok(found) if found.baseline.durations.count() == 0 || found.canary.durations.count() == 0 => {
            write!(
                out,
                "<p class=\"mute\">There is nothing to draw: one of the versions has served no requests in the time that is compared.</p>"
            )?;
        }
        Ok(found) => write_both(out, &found.baseline, &found.canary)?,
    }
    write!(out, "</section>")
}

fn write_both(out: &mut String, baseline: &Served, canary: &Served) -> std::fmt::Result {
    let numbers = |served: &Served| -> Vec<String> {
        QUANTILES.iter().map(|(q, _)| served.quantile(*q).map_or_else(|| "–".to_owned(), latency)).collect()
    };
    let (before, after) = (numbers(baseline), numbers(canary));
    write!(
        out,
        "<div class=\"pairs\"><figure><figcaption>All operations together: the share of each version's requests by how long they took, on a log scale.</figcaption>"
    )?;
    let pairs: Vec<String> = QUANTILES
        .iter()
        .zip(before.iter().zip(&after))
        .map(|((_, name), (before, after))| format!("{name} {before} against {after}"))
        .collect();
    open(out, HEIGHT, "Latency of baseline and canary", &format!("Latency, baseline against canary: {}", pairs.join(", ")))?;
    write_curves(out, [baseline, canary])?;
    write!(out, "</svg></figure><div>{}<table><thead><tr><td></td>", scroll("Quantiles of the latency"))?;
    for (_, name) in QUANTILES {
        write!(out, "<th class=\"number\" scope=\"col\">{name}</th>")?;
    }
    write!(out, "<th class=\"number\" scope=\"col\">requests</th></tr></thead><tbody>")?;
    for (name, color, numbers, served) in [("baseline", "var(--base)", before, baseline), ("canary", "var(--new)", after, canary)] {
        write!(out, "<tr><th scope=\"row\"><span class=\"key\" style=\"background:{color}\"></span>{name}</th>")?;
        for number in numbers {
            write!(out, "<td class=\"number\">{number}</td>")?;
        }
        write!(out, "<td class=\"number\">{}</td></tr>", count(served.requests))?;
    }
    write!(out, "</tbody></table></div></div></div>")
}

fn write_curves(out: &mut String, both: [&Served; 2]) -> std::fmt::Result {
    let ends = both.map(|served| (served.durations.quantile(BEYOND), served.durations.quantile(1.0 - BEYOND)));
    let (low, high) = (ends[0].0.min(ends[1].0).max(1.0), ends[0].1.max(ends[1].1).max(2.0));
    // Some room on both sides, so that a curve comes down to the axis.
    let room = (high / low).powf(0.08).max(1.05);
    let (low, high) = (low / room, high * room);
    let curves = both.map(|served| shares(&served.durations, scale_for((low, high))));
    let top = curves.iter().flatten().map(|(_, _, share)| *share).fold(f64::MIN_POSITIVE, f64::max);
    let (x, y) = (Axis::log((low / 1e9, high / 1e9), (LEFT, RIGHT)), Axis::linear((0.0, top * 1.05), (AREA.1, AREA.0)));
    let marked: Vec<(f64, String)> = decades((low / 1e9, high / 1e9)).into_iter().map(|value| (x.place(value), latency(value))).collect();
    marks(out, &marked, AREA)?;
    for ((curve, color), dashes) in curves.iter().zip(["var(--base)", "var(--new)"]).zip(["", " stroke-dasharray=\"7 2\""]) {
        write!(
            out,
            "<path fill=\"{color}\" fill-opacity=\"0.16\" stroke=\"{color}\" stroke-width=\"1.6\"{dashes} d=\"M{LEFT} {:.1}",
            AREA.1
        )?;
        let mut end = LEFT;
        for (from, until, share) in curve {
            let (from, until) = (x.place(from / 1e9), x.place(until / 1e9));
            if from > end + 0.05 {
                write!(out, "H{end:.1}V{:.1}H{from:.1}", AREA.1)?;
            }
            write!(out, "V{:.1}H{until:.1}", y.place(*share))?;
            end = until;
        }
        write!(out, "V{:.1}H{RIGHT}\"/>", AREA.1)?;
    }
    for ((served, color), at) in both.into_iter().zip(["var(--base)", "var(--new)"]).zip(STRIPS) {
        write_quantiles(out, served, &x, (color, at))?;
    }
    Ok(())
}

/// From p50 to p99, with a mark at each.
fn write_quantiles(out: &mut String, served: &Served, x: &Axis, (color, y): (&str, f64)) -> std::fmt::Result {
    let places = QUANTILES.map(|(q, name)| (x.place(served.quantile(q).unwrap_or(0.0)), name));
    write!(out, "<line x1=\"{:.1}\" y1=\"{y}\" x2=\"{:.1}\" y2=\"{y}\" stroke=\"{color}\" stroke-width=\"2\"/>", places[0].0, places[2].0)?;
    let mut free_from = f64::MIN;
    for (place, name) in places {
        write!(
            out,
            "<line x1=\"{place:.1}\" y1=\"{}\" x2=\"{place:.1}\" y2=\"{}\" stroke=\"{color}\" stroke-width=\"2\"/>",
            y - 4.0,
            y + 4.0
        )?;
        let label = place.clamp(LEFT, RIGHT - 8.0);
        if label >= free_from {
            write!(out, "<text x=\"{label:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>", y + 14.0)?;
            free_from = label + APART;
        }
    }
    Ok(())
}

/// The scale at which this range has about [`BUCKETS`] buckets.
fn scale_for((low, high): (f64, f64)) -> i32 {
    let octaves = (high / low).log2().max(1e-3);
    #[expect(clippy::cast_possible_truncation, reason = "a number between 0 and 6")]
    let scale = (BUCKETS / octaves).log2().round().clamp(0.0, 6.0) as i32;
    scale
}

/// Bounds in nanoseconds and the share of requests of each bucket.
fn shares(durations: &ExponentialHistogram, scale: i32) -> Vec<(f64, f64, f64)> {
    let mut durations = durations.clone();
    durations.downscale_to(scale);
    let (all, scale) = (durations.count().max(1) as f64, durations.scale());
    // A coarser histogram has wider buckets: what counts is the share in equal widths.
    let width = (-f64::from(scale)).exp2();
    durations
        .buckets()
        .map(|(index, count)| (bucket_upper(index - 1, scale), bucket_upper(index, scale), count as f64 / all / width))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(millis: f64) -> Served {
        let mut served = Served { requests: 100, ..Served::default() };
        (0..100).for_each(|number| served.durations.record(millis * 1e6 * (1.0 + f64::from(number) / 100.0)));
        served
    }

    #[test]
    fn both_curves_are_drawn_and_told_in_words() {
        let mut out = String::new();
        write_both(&mut out, &served(20.0), &served(200.0)).unwrap();
        assert!(out.contains("aria-label=\"Latency, baseline against canary: p50 30 ms against"), "{out}");
        assert_eq!(out.matches("<path").count(), 2);
        assert!(!out.contains("NaN") && !out.contains("inf"), "{out}");
    }

    #[test]
    fn one_value_alone_is_drawn_too() {
        let mut one = Served { requests: 1, ..Served::default() };
        one.durations.record(5e6);
        let mut out = String::new();
        write_both(&mut out, &one, &one).unwrap();
        assert!(!out.contains("NaN") && !out.contains("inf"), "{out}");
    }
}
