//! The page of a service: its versions, how they did in the last hour, and its rollouts.

use std::fmt::Write as _;

use haldane_analyzer::rollout::VersionLately;
use haldane_store::UnixNanos;

use super::frame::{Follow, badge, page, segment, text};
use super::home::{Row, ago};

/// The page.
pub(crate) fn html((service, environment): (&str, &str), versions: &[VersionLately], rollouts: &[Row], now: UnixNanos) -> String {
    let mut out = String::with_capacity(4 << 10);
    // Writing to a String cannot fail.
    let _ = write(&mut out, (service, environment), versions, rollouts, now);
    let follow = Follow::Events(format!("/v1/events?service={}", segment(service)));
    page(&format!("{service} in {environment}"), &follow, &out)
}

fn write(
    out: &mut String,
    (service, environment): (&str, &str),
    versions: &[VersionLately],
    rollouts: &[Row],
    now: UnixNanos,
) -> std::fmt::Result {
    write!(out, "<h1>{} <span class=\"mute\">in {}</span></h1><h2>Versions in the last hour</h2>", text(service), text(environment))?;
    if versions.is_empty() {
        write!(
            out,
            "<p class=\"lead\">No requests in the last hour: look whether it sends spans of kind SERVER or CONSUMER with this service.name and deployment.environment.name.</p>"
        )?;
    } else {
        write!(
            out,
            "<div class=\"scroll\"><table><tr><th>version</th><th>requests</th><th>failed</th><th>p50</th><th>p95</th><th>p99</th></tr>"
        )?;
        for row in versions {
            let share = 100.0 * row.errors as f64 / row.requests.max(1) as f64;
            let [p50, p95, p99] = row.quantiles.map(millis);
            let version = if row.version.is_empty() {
                "<span class=\"mute\">none named</span>".to_owned()
            } else {
                format!("<code>{}</code>", text(&row.version))
            };
            write!(
                out,
                "<tr><td>{version}</td><td>{}</td><td>{} ({share:.2} %)</td><td>{p50}</td><td>{p95}</td><td>{p99}</td></tr>",
                row.requests, row.errors
            )?;
        }
        write!(out, "</table></div>")?;
    }
    write!(out, "<h2>Rollouts</h2>")?;
    if rollouts.is_empty() {
        return write!(out, "<p>None yet.</p>");
    }
    write!(out, "<div class=\"scroll\"><table><tr><th>when</th><th>decision</th><th>why</th></tr>")?;
    for Row { rollout, verdict } in rollouts {
        write!(
            out,
            "<tr><td><a href=\"/rollouts/{}\">{}</a></td><td>{}</td><td>{}</td></tr>",
            rollout.id,
            ago(rollout.created_at, now),
            badge(verdict.decision),
            text(&verdict.reason)
        )?;
    }
    write!(out, "</table></div>")
}

fn millis(seconds: Option<f64>) -> String {
    match seconds.map(|seconds| seconds * 1e3) {
        None => "–".to_owned(),
        Some(ms) if ms >= 1_000.0 => format!("{:.2} s", ms / 1e3),
        Some(ms) if ms >= 10.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{ms:.1} ms"),
    }
}
