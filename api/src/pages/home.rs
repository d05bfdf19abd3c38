//! The start page: what is rolling out now, and what came of the last ones.

use std::fmt::Write as _;

use haldane_analyzer::rollout::{Rollout, ServiceSummary};
use haldane_analyzer::verdict::Verdict;
use haldane_store::UnixNanos;

use super::frame::{Follow, badge, page, picked, segment, text};

/// A rollout and what its verdict says.
pub(crate) struct Row {
    pub(crate) rollout: Rollout,
    pub(crate) verdict: Verdict,
}

/// The page. Live rollouts first, then those that ended last, then the services.
pub(crate) fn html(live: &[Row], ended: &[Row], services: &[ServiceSummary], now: UnixNanos) -> String {
    let mut out = String::with_capacity(8 << 10);
    // Writing to a String cannot fail.
    let _ = write(&mut out, live, ended, services, now);
    page("Haldane: what is rolling out", &Follow::Events("/v1/events".to_owned()), &out)
}

fn write(out: &mut String, live: &[Row], ended: &[Row], services: &[ServiceSummary], now: UnixNanos) -> std::fmt::Result {
    write!(out, "<h1>Rolling out now</h1>")?;
    if live.is_empty() {
        let hint = match services.is_empty() {
            true => "No telemetry has come in yet: send OTLP to port 4317 (gRPC) or 4318 (HTTP).",
            false => {
                "Nothing. A new <code>service.version</code> opens a rollout by itself; <code>haldane gate --help</code> shows how a pipeline starts one."
            }
        };
        write!(out, "<p class=\"lead\">{hint}</p>")?;
    } else {
        write_rows(out, live, now)?;
    }
    if !ended.is_empty() {
        write!(out, "<h2>Ended lately</h2>")?;
        write_rows(out, ended, now)?;
    }
    if services.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<h2>Services of the last day</h2><div class=\"scroll\"><table><tr><th>service</th><th>environment</th><th>versions</th></tr>"
    )?;
    for service in services {
        let versions: Vec<String> =
            service.versions.iter().take(5).map(|version| format!("<code>{}</code>", text(&version.version))).collect();
        write!(
            out,
            "<tr><td><a href=\"/services/{}?environment={}\">{}</a></td><td>{}</td><td>{}</td></tr>",
            segment(&service.service),
            segment(&service.environment),
            text(&service.service),
            text(&service.environment),
            versions.join(" ")
        )?;
    }
    write!(out, "</table></div>")
}

fn write_rows(out: &mut String, rows: &[Row], now: UnixNanos) -> std::fmt::Result {
    write!(
        out,
        "<div class=\"scroll\"><table><tr><th>service</th><th>decision</th><th>canary against baseline</th><th>why</th><th>since</th></tr>"
    )?;
    for Row { rollout, verdict } in rows {
        let since = rollout.ended_at.unwrap_or(rollout.created_at);
        let stage = verdict.stage.as_ref().map(|stage| format!("<br><span class=\"mute\">stage {} of {}</span>", stage.number, stage.of));
        write!(
            out,
            "<tr><td><a href=\"/rollouts/{}\">{}</a><br><span class=\"mute\">{}</span></td><td>{}{}</td><td>{}<br>{}</td><td>{}</td><td class=\"mute\">{}</td></tr>",
            rollout.id,
            text(rollout.service.as_str()),
            text(rollout.environment.as_str()),
            badge(verdict.decision),
            stage.unwrap_or_default(),
            picked(rollout.canary.matchers()),
            picked(rollout.baseline.matchers()),
            text(&verdict.reason),
            ago(since, now)
        )?;
    }
    write!(out, "</table></div>")
}

/// How long ago, in one unit.
pub(super) fn ago(at: UnixNanos, now: UnixNanos) -> String {
    let seconds = now.since(at).as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
