//! The page of a service: its versions, how they did in the last hour, and its rollouts.

mod red;

use std::fmt::Write as _;

use haldane_analyzer::rollout::{MinuteLately, VersionLately};
use haldane_store::UnixNanos;

use super::frame::{CLOSING, Follow, badge, opening as opening_of, scroll, text};
use super::home::{Row, ago};
use super::plot::latency;
use crate::report::count;

/// Versions whose last hour is drawn.
pub(crate) const DRAWN: usize = 5;

/// What the page shows.
pub(crate) struct Service<'a> {
    /// The one with most requests first.
    pub(crate) versions: &'a [VersionLately],
    /// Minutes of the first [`DRAWN`] versions.
    pub(crate) minutes: &'a [MinuteLately],
    pub(crate) rollouts: &'a [Row],
    pub(crate) now: UnixNanos,
}

/// The page down to its heading.
pub(crate) fn opening(name: &str, environment: &str) -> String {
    let opening = opening_of(&format!("{name} in {environment}"), &Follow::Events("/v1/events".to_owned()));
    format!("{opening}<h1>{} <span class=\"mute\">in {}</span></h1>", text(name), text(environment))
}

/// From there to its end.
pub(crate) fn rest(service: &Service<'_>) -> String {
    let mut out = String::with_capacity(16 << 10);
    // Writing to a String cannot fail.
    let _ = write(&mut out, service);
    out + CLOSING
}

fn write(out: &mut String, service: &Service<'_>) -> std::fmt::Result {
    write!(out, "<section id=\"versions\"><h2>Versions in the last hour</h2>")?;
    if service.versions.is_empty() {
        write!(
            out,
            "<p class=\"lead\">No requests in the last hour: look whether it sends spans of kind SERVER or CONSUMER with this service.name and deployment.environment.name.</p>"
        )?;
    } else {
        write_versions(out, service.versions)?;
        let drawn: Vec<&str> = service.versions.iter().take(DRAWN).map(|version| version.version.as_str()).collect();
        red::write(out, &drawn, service.minutes, service.now)?;
    }
    write!(out, "</section><section id=\"rollouts\"><h2>Rollouts</h2>")?;
    write_rollouts(out, service.rollouts, service.now)?;
    write!(out, "</section>")
}

fn write_versions(out: &mut String, versions: &[VersionLately]) -> std::fmt::Result {
    write!(out, "{}<table><thead><tr><th scope=\"col\">version</th>", scroll("Versions in the last hour"))?;
    for name in ["requests", "failed", "p50", "p95", "p99"] {
        write!(out, "<th class=\"number\" scope=\"col\">{name}</th>")?;
    }
    write!(out, "</tr></thead><tbody>")?;
    for row in versions {
        let share = 100.0 * row.errors as f64 / row.requests.max(1) as f64;
        write!(
            out,
            "<tr><td class=\"name\">{}</td><td class=\"number\">{}</td><td class=\"number\">{} ({share:.2} %)</td>",
            named(&row.version),
            count(row.requests),
            count(row.errors)
        )?;
        for seconds in row.quantiles {
            write!(out, "<td class=\"number\">{}</td>", seconds.map_or_else(|| "–".to_owned(), latency))?;
        }
        write!(out, "</tr>")?;
    }
    write!(out, "</tbody></table></div>")
}

fn write_rollouts(out: &mut String, rollouts: &[Row], now: UnixNanos) -> std::fmt::Result {
    if rollouts.is_empty() {
        return write!(out, "<p>None yet: a new <code>service.version</code> opens one by itself.</p>");
    }
    write!(out, "<ul class=\"rows rollouts\">")?;
    for Row { rollout, verdict } in rollouts {
        let versions = [&rollout.canary, &rollout.baseline].map(|selector| super::frame::picked(selector.matchers()));
        write!(
            out,
            "<li id=\"r-{0}\"><div><a href=\"/rollouts/{0}\">{1}</a><br><span class=\"mute small\">against {2}</span></div><div>{3}</div>\
             <div class=\"why small\">{4}</div><div class=\"when small\">{5}</div></li>",
            rollout.id,
            versions[0],
            versions[1],
            badge(verdict.decision),
            text(&verdict.reason),
            ago(rollout.created_at, now)
        )?;
    }
    write!(out, "</ul>")
}

/// The name of a version.
fn named(version: &str) -> String {
    if version.is_empty() { "<span class=\"mute\">none named</span>".to_owned() } else { format!("<code>{}</code>", text(version)) }
}
