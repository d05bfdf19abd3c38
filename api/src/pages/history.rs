//! Evidence over time: how sure the judge was of harm and of the absence of harm at each verdict, against where it decides.

use std::fmt::Write as _;

use haldane_analyzer::verdict::Verdict;
use haldane_store::UnixNanos;

use super::plot::{Axis, LEFT, RIGHT, line, marks, open, rule, times};

const HEIGHT: f64 = 190.0;
const AREA: (f64, f64) = (12.0, 168.0);
/// Less evidence than this is drawn as this.
const LEAST: f64 = 0.01;
/// Evidence is told up to this.
const MOST: f64 = 1e12;
/// A line of more points looks the same.
const POINTS_MAX: usize = 400;

/// What one verdict said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    at: UnixNanos,
    stage: Option<u32>,
    risk: Level,
    promotion: Level,
}

/// Evidence, and how much of it decides.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Level {
    e_value: f64,
    limit: f64,
}

/// What a line is about.
struct Told {
    title: &'static str,
    decides: &'static str,
    color: &'static str,
}

impl Point {
    /// Of a verdict; `None` where it does not say when it was written.
    pub(crate) fn of(verdict: &Verdict) -> Option<Self> {
        let limit = |budget: f64| if budget > 0.0 { 1.0 / budget } else { MOST };
        Some(Self {
            at: UnixNanos::parse_rfc3339(&verdict.decided_at).ok()?,
            stage: verdict.stage.as_ref().map(|stage| stage.number),
            risk: Level { e_value: verdict.risk.e_value, limit: limit(verdict.risk.alpha) },
            promotion: Level { e_value: verdict.promotion.e_value, limit: limit(verdict.promotion.beta) },
        })
    }
}

/// Both lines. The points are in the order of time.
pub(super) fn write(out: &mut String, points: &[Point]) -> std::fmt::Result {
    write!(out, "<section id=\"history\"><h2>Evidence over time</h2>")?;
    if points.is_empty() {
        return write!(
            out,
            "<p class=\"mute\">There is no verdict yet: the first one comes once both versions have served requests.</p></section>"
        );
    }
    write!(
        out,
        "<p class=\"small mute\">On a log scale; times in UTC. What passes the dashed line decides, however often one looks. A line that begins anew is another stage.</p><div class=\"pairs\">"
    )?;
    let risk = Told { title: "Evidence of harm", decides: "roll back", color: "var(--bad)" };
    let promotion = Told { title: "Evidence that it is not worse", decides: "promote", color: "var(--good)" };
    write_line(out, points, |point| point.risk, &risk)?;
    write_line(out, points, |point| point.promotion, &promotion)?;
    write!(out, "</div></section>")
}

fn write_line(out: &mut String, points: &[Point], of: fn(&Point) -> Level, told: &Told) -> std::fmt::Result {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(()) };
    let now = of(last);
    let top = points.iter().map(|point| of(point).e_value.max(of(point).limit * 10.0)).fold(1.0, f64::max).min(MOST);
    let words = format!(
        "{}: {} at the last of {} verdicts, {} at {}",
        told.title,
        amount(now.e_value),
        points.len(),
        told.decides,
        amount(now.limit)
    );
    write!(
        out,
        "<figure><figcaption>{}: <strong>{}</strong>, {} at {}</figcaption>",
        told.title,
        amount(now.e_value),
        told.decides,
        amount(now.limit)
    )?;
    open(out, HEIGHT, told.title, &words)?;
    let (y, x) = (Axis::log((LEAST, top), (AREA.1, AREA.0)), Axis::linear((seconds(first.at), seconds(last.at)), (LEFT, RIGHT)));
    for power in powers(top) {
        rule(out, y.place(10_f64.powi(power)), &tenth(power))?;
    }
    let marked: Vec<(f64, String)> = times(first.at, last.at).into_iter().map(|(at, label)| (x.place(seconds(at)), label)).collect();
    marks(out, &marked, AREA)?;
    let limit = y.place(now.limit);
    write!(
        out,
        "<line class=\"limit\" x1=\"{LEFT}\" y1=\"{limit:.1}\" x2=\"{RIGHT}\" y2=\"{limit:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:var(--fg)\">{} at {}</text>",
        LEFT + 4.0,
        limit - 4.0,
        told.decides,
        amount(now.limit)
    )?;
    let each = points.len().div_ceil(POINTS_MAX);
    for stage in points.chunk_by(|a, b| a.stage == b.stage) {
        let shown = stage.iter().enumerate().filter(|(at, _)| at % each == 0 || at + 1 == stage.len());
        let places: Vec<(f64, f64)> = shown.map(|(_, point)| (x.place(seconds(point.at)), y.place(of(point).e_value))).collect();
        line(out, &places, &format!("stroke=\"{}\"", told.color))?;
    }
    write!(out, "</svg></figure>")
}

fn seconds(at: UnixNanos) -> f64 {
    at.as_nanos() as f64 / 1e9
}

/// Powers of ten for the lines of the grid.
fn powers(top: f64) -> Vec<i32> {
    #[expect(clippy::cast_possible_truncation, reason = "the power of ten of a number up to 1e12")]
    let last = top.log10().floor() as i32;
    let step = match last {
        ..=2 => 1,
        3..=6 => 2,
        _ => 3,
    };
    (-2..=last).filter(|power| power % step == 0).collect()
}

fn tenth(power: i32) -> String {
    match power {
        -2..=4 => amount(10_f64.powi(power)),
        _ => format!("10<tspan dy=\"-4\" font-size=\"8\">{power}</tspan>"),
    }
}

/// Evidence in words.
fn amount(e_value: f64) -> String {
    match e_value {
        e if e >= 1e6 => "over 1,000,000".to_owned(),
        e if e >= 9_999.5 => format!("{:.0},{:03.0}", (e / 1e3).floor(), (e % 1e3).floor()),
        e if e >= 9.95 => format!("{e:.0}"),
        e if e >= 0.095 => format!("{e:.1}").trim_end_matches(".0").to_owned(),
        e if e >= 0.01 => format!("{e:.2}"),
        _ => "below 0.01".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(second: i64, e_value: f64) -> Point {
        Point {
            at: UnixNanos::from_seconds(second),
            stage: None,
            risk: Level { e_value, limit: 100.0 },
            promotion: Level { e_value: 0.5, limit: 20.0 },
        }
    }

    #[test]
    fn a_line_says_in_words_where_it_stands() {
        let mut out = String::new();
        write(&mut out, &[point(0, 1.0), point(60, 12.0), point(90, 1_300.0)]).unwrap();
        assert!(out.contains("Evidence of harm: 1300 at the last of 3 verdicts, roll back at 100"), "{out}");
        assert!(out.contains("promote at 20"), "{out}");
        let mut one = String::new();
        write(&mut one, &[point(0, f64::MAX)]).unwrap();
        assert!(one.contains("over 1,000,000") && one.contains("<circle"), "{one}");
        let mut none = String::new();
        write(&mut none, &[]).unwrap();
        assert!(none.contains("no verdict yet"));
    }

    #[test]
    fn a_stage_begins_a_line_of_its_own() {
        let mut out = String::new();
        let later = Point { stage: Some(2), ..point(60, 2.0) };
        write(&mut out, &[Point { stage: Some(1), ..point(0, 1.0) }, later, Point { at: UnixNanos::from_seconds(70), ..later }]).unwrap();
        assert_eq!(out.matches("<path").count(), 4);
    }
}
