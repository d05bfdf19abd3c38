//! The start page: what is rolling out now, and what came of the last ones.

use std::fmt::Write as _;

use haldane_analyzer::rollout::{Rollout, ServiceSummary};
use haldane_analyzer::verdict::Verdict;
use haldane_store::UnixNanos;

use super::frame::{Follow, badge, page, picked, scroll, segment, text};

/// A rollout and what its verdict says.
pub(crate) struct Row {
    pub(crate) rollout: Rollout,
    pub(crate) verdict: Verdict,
}

/// What the start page shows.
pub(crate) struct Home<'a> {
    pub(crate) live: &'a [Row],
    /// Whether more are live than these.
    pub(crate) more_live: bool,
    /// The last ones to end, the newest first.
    pub(crate) ended: &'a [Row],
    pub(crate) services: &'a [ServiceSummary],
    /// How many services are not shown.
    pub(crate) services_left_out: usize,
    pub(crate) now: UnixNanos,
}

/// The page. Live rollouts first, then those that ended last, then the services.
pub(crate) fn html(home: &Home<'_>) -> String {
    let mut out = String::with_capacity(8 << 10);
    // Writing to a String cannot fail.
    let _ = write(&mut out, home);
    page("Haldane: what is rolling out", &Follow::Events("/v1/events".to_owned()), &out)
}

fn write(out: &mut String, home: &Home<'_>) -> std::fmt::Result {
    write!(out, "<section id=\"now\"><h1>Rolling out now</h1>")?;
    if home.live.is_empty() {
        let hint = match home.services.is_empty() {
            true => "No telemetry has come in yet: send OTLP to port 4317 (gRPC) or 4318 (HTTP).",
            false => {
                "Nothing. A new <code>service.version</code> opens a rollout by itself; <code>haldane gate --help</code> shows how a pipeline starts one."
            }
        };
        write!(out, "<p class=\"lead\">{hint}</p>")?;
    } else {
        write_rows(out, home.live, home.now)?;
        if home.more_live {
            write!(
                out,
                "<p class=\"mute\">These are the newest {}: <code>GET /v1/rollouts?state=running</code> has them all.</p>",
                home.live.len()
            )?;
        }
    }
    write!(out, "</section>")?;
    if !home.ended.is_empty() {
        write!(out, "<section id=\"ended\"><h2>Ended lately</h2>")?;
        write_rows(out, home.ended, home.now)?;
        write!(out, "</section>")?;
    }
    write_services(out, home)
}

fn write_services(out: &mut String, home: &Home<'_>) -> std::fmt::Result {
    if home.services.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<section id=\"services\"><h2>Services of the last day</h2>{}<table><thead><tr><th scope=\"col\">service</th><th scope=\"col\">environment</th>\
         <th scope=\"col\">versions</th></tr></thead><tbody>",
        scroll("Services of the last day")
    )?;
    for service in home.services {
        let versions: Vec<String> =
            service.versions.iter().take(5).map(|version| format!("<code>{}</code>", text(&version.version))).collect();
        write!(
            out,
            "<tr><td class=\"name\"><a href=\"/services/{}?environment={}\">{}</a></td><td>{}</td><td>{}</td></tr>",
            segment(&service.service),
            segment(&service.environment),
            text(&service.service),
            text(&service.environment),
            versions.join(" ")
        )?;
    }
    write!(out, "</tbody></table></div>")?;
    if home.services_left_out > 0 {
        write!(out, "<p class=\"mute\">And {} more: <code>GET /v1/services</code> has them all.</p>", home.services_left_out)?;
    }
    write!(out, "</section>")
}

fn write_rows(out: &mut String, rows: &[Row], now: UnixNanos) -> std::fmt::Result {
    write!(out, "<ul class=\"rows rollouts\">")?;
    for Row { rollout, verdict } in rows {
        let since = rollout.ended_at.unwrap_or(rollout.created_at);
        let stage =
            verdict.stage.as_ref().map(|stage| format!("<br><span class=\"mute small\">stage {} of {}</span>", stage.number, stage.of));
        write!(
            out,
            "<li id=\"r-{0}\"><div><a href=\"/rollouts/{0}\">{1}</a><br><span class=\"mute small\">{2}</span></div><div>{3}{4}</div>\
             <div class=\"why\">{5} <span class=\"mute\">against</span> {6}<br><span class=\"small\">{7}</span></div><div class=\"when small\">{8}</div></li>",
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
    write!(out, "</ul>")
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
