//! The start page: what is rolling out now, and what came of the last ones.

use std::fmt::Write as _;

use haldane_analyzer::rollout::{Rollout, ServiceSummary};
use haldane_analyzer::verdict::Verdict;
use haldane_store::UnixNanos;

use super::frame::{CLOSING, Follow, badge, opening as opening_of, picked, scroll, segment, text};

/// A rollout and what its verdict says.
pub(crate) struct Row {
    pub(crate) rollout: Rollout,
    pub(crate) verdict: Verdict,
}

/// What is rolling out.
pub(crate) struct Live {
    pub(crate) rows: Vec<Row>,
    /// Whether more are live than these.
    pub(crate) more: bool,
}

/// What the start page shows below.
pub(crate) struct Rest<'a> {
    pub(crate) nothing_live: bool,
    /// The last ones to end, the newest first.
    pub(crate) ended: &'a [Row],
    pub(crate) services: &'a [ServiceSummary],
    /// How many services are not shown.
    pub(crate) services_left_out: usize,
    pub(crate) now: UnixNanos,
}

/// The page down to the live rollouts.
pub(crate) fn opening(live: &Live, now: UnixNanos) -> String {
    let mut out = opening_of("Haldane: what is rolling out", &Follow::Events("/v1/events".to_owned()));
    // Writing to a String cannot fail.
    let _ = write_live(&mut out, live, now);
    out
}

/// From there to its end: those that ended last, then the services.
pub(crate) fn rest(rest: &Rest<'_>) -> String {
    let mut out = String::with_capacity(8 << 10);
    // Writing to a String cannot fail.
    let _ = write_rest(&mut out, rest);
    out + CLOSING
}

fn write_live(out: &mut String, live: &Live, now: UnixNanos) -> std::fmt::Result {
    write!(out, "<section id=\"now\"><h1>Rolling out now</h1>")?;
    if !live.rows.is_empty() {
        write_rows(out, &live.rows, now)?;
    }
    if live.more {
        let shown = live.rows.len();
        write!(out, "<p class=\"mute\">These are the newest {shown}: <code>GET /v1/rollouts?state=running</code> has them all.</p>")?;
    }
    write!(out, "</section>")
}

fn write_rest(out: &mut String, rest: &Rest<'_>) -> std::fmt::Result {
    if rest.nothing_live {
        let hint = match rest.services.is_empty() {
            true => "No telemetry has come in yet: send OTLP to port 4317 (gRPC) or 4318 (HTTP).",
            false => {
                "Nothing. A new <code>service.version</code> opens a rollout by itself; <code>haldane gate --help</code> shows how a pipeline starts one."
            }
        };
        write!(out, "<section id=\"nothing\"><p class=\"lead\">{hint}</p></section>")?;
    }
    if !rest.ended.is_empty() {
        write!(out, "<section id=\"ended\"><h2>Ended lately</h2>")?;
        write_rows(out, rest.ended, rest.now)?;
        write!(out, "</section>")?;
    }
    write_services(out, rest)
}

fn write_services(out: &mut String, rest: &Rest<'_>) -> std::fmt::Result {
    if rest.services.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<section id=\"services\"><h2>Services of the last day</h2>{}<table><thead><tr><th scope=\"col\">service</th><th scope=\"col\">environment</th>\
         <th scope=\"col\">versions</th></tr></thead><tbody>",
        scroll("Services of the last day")
    )?;
    for service in rest.services {
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
    if rest.services_left_out > 0 {
        write!(out, "<p class=\"mute\">And {} more: <code>GET /v1/services</code> has them all.</p>", rest.services_left_out)?;
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
