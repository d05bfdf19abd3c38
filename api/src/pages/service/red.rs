//! Requests, errors and durations of a service's versions, minute by minute.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use haldane_analyzer::rollout::MinuteLately;
use haldane_store::UnixNanos;

use super::named;
use crate::pages::plot::{Axis, LEFT, RIGHT, latency, line, marks, open, rule, times};

const HEIGHT: f64 = 150.0;
const AREA: (f64, f64) = (10.0, 128.0);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// Of the versions, in their order; dashes tell them apart without colours.
const LINES: [(&str, &str); super::DRAWN] = [
    ("var(--base)", ""),
    ("var(--new)", " stroke-dasharray=\"7 2\""),
    ("var(--v3)", " stroke-dasharray=\"3 2\""),
    ("var(--v4)", " stroke-dasharray=\"8 2 2 2\""),
    ("var(--v5)", " stroke-dasharray=\"1.5 2.5\""),
];

/// What is drawn of a minute.
struct Figure {
    title: &'static str,
    of: fn(&MinuteLately) -> Option<f64>,
    shown: fn(f64) -> String,
    /// The axis reaches at least to here.
    least: f64,
}

/// Three plots of the hour before now.
pub(super) fn write(out: &mut String, versions: &[&str], minutes: &[MinuteLately], now: UnixNanos) -> std::fmt::Result {
    write!(out, "<h3>Minute by minute</h3><p class=\"keys\">")?;
    for (version, (color, _)) in versions.iter().zip(LINES) {
        write!(out, "<span><span class=\"key\" style=\"background:{color}\"></span>{}</span>", named(version))?;
    }
    write!(out, "</p><div class=\"pairs\">")?;
    // The minute that goes on is not whole yet.
    let until = now.bucket(MINUTE);
    let whole: Vec<&MinuteLately> = minutes.iter().filter(|minute| minute.at < until).collect();
    let figures = [
        Figure { title: "Requests each second", of: |minute| Some(minute.requests as f64 / 60.0), shown: rate, least: 0.1 },
        Figure {
            title: "Failed requests",
            of: |minute| (minute.requests > 0).then(|| minute.errors as f64 / minute.requests as f64),
            shown: percent,
            least: 0.01,
        },
        Figure { title: "p95 of the latency", of: |minute| minute.p95, shown: seconds, least: 0.001 },
    ];
    for figure in &figures {
        write_figure(out, figure, (versions, &whole), until)?;
    }
    write!(out, "</div>")
}

fn write_figure(out: &mut String, figure: &Figure, (versions, minutes): (&[&str], &[&MinuteLately]), until: UnixNanos) -> std::fmt::Result {
    let mut by_version: BTreeMap<&str, Vec<(UnixNanos, f64)>> = BTreeMap::new();
    for minute in minutes {
        by_version.entry(&minute.version).or_default().extend((figure.of)(minute).map(|value| (minute.at, value)));
    }
    let top = by_version.values().flatten().map(|(_, value)| *value).fold(figure.least, f64::max);
    let last = |version: &&str| {
        let newest =
            by_version.get(version).and_then(|values| values.last()).map_or_else(|| "none".to_owned(), |(_, value)| (figure.shown)(*value));
        format!("{} {newest}", if version.is_empty() { "no version" } else { version })
    };
    let told: Vec<String> = versions.iter().map(last).collect();
    write!(out, "<figure><figcaption>{}</figcaption>", figure.title)?;
    open(out, HEIGHT, figure.title, &format!("{} in the last hour, the newest minute: {}", figure.title, told.join(", ")))?;
    let from = until.minus(HOUR);
    let place = |at: UnixNanos| at.since(from).as_secs_f64();
    let (x, y) = (Axis::linear((0.0, HOUR.as_secs_f64()), (LEFT, RIGHT)), Axis::linear((0.0, top * 1.08), (AREA.1, AREA.0)));
    for value in [0.0, top / 2.0, top] {
        rule(out, y.place(value), &(figure.shown)(value))?;
    }
    let marked: Vec<(f64, String)> = times(from, until).into_iter().map(|(at, label)| (x.place(place(at)), label)).collect();
    marks(out, &marked, AREA)?;
    for (version, (color, dashes)) in versions.iter().zip(LINES) {
        let values = by_version.get(version).map(Vec::as_slice).unwrap_or_default();
        // A minute without requests leaves a gap.
        for part in values.chunk_by(|a, b| b.0.since(a.0) <= MINUTE) {
            let places: Vec<(f64, f64)> = part.iter().map(|(at, value)| (x.place(place(*at)), y.place(*value))).collect();
            line(out, &places, &format!("stroke=\"{color}\"{dashes}"))?;
        }
    }
    write!(out, "</svg></figure>")
}

fn seconds(value: f64) -> String {
    if value > 0.0 { latency(value) } else { "0".to_owned() }
}

fn rate(value: f64) -> String {
    match value {
        v if v >= 9.95 => format!("{v:.0}"),
        v if v >= 0.95 => format!("{v:.1}"),
        0.0 => "0".to_owned(),
        v => format!("{v:.2}"),
    }
}

fn percent(value: f64) -> String {
    match value * 100.0 {
        v if v >= 9.95 => format!("{v:.0} %"),
        0.0 => "0 %".to_owned(),
        v => format!("{v:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_line_and_a_gap_stays_a_gap() {
        let minute = |version: &str, at: i64| MinuteLately {
            version: version.into(),
            at: UnixNanos::from_seconds(at * 60),
            requests: 60,
            errors: 3,
            p95: Some(0.12),
        };
        let minutes = [minute("1", 100), minute("1", 101), minute("1", 105), minute("1", 106), minute("<2>", 101), minute("<2>", 110)];
        let mut out = String::new();
        write(&mut out, &["1", "<2>"], &minutes, UnixNanos::from_seconds(110 * 60 + 5)).unwrap();
        assert_eq!(out.matches("<path").count(), 9, "two parts and one, three times; the minute that goes on is left out");
        assert!(out.contains("the newest minute: 1 5.0 %, &lt;2&gt; 5.0 %") && !out.contains("<2>"), "{out}");
    }
}
