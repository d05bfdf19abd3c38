//! The report on a rollout: what was decided and why, by how much, since when, where the harm is, what changed, what to do.

use std::fmt::Write as _;

use haldane_analyzer::rollout::{Event, Rollout, Story};
use haldane_analyzer::verdict::{BaselineSource, CulpritKind, CulpritVerdict, Outcome, Verdict, VerdictDecision};
use haldane_store::ledger::NotificationRow;

use super::failures::trace_link;
use super::frame::{CLOSING, Follow, badge, opening, picked, scroll, text};
use super::history::Point;
use super::served::Exhibits;
use super::waterfall::Sampled;
use super::{checks, differences, failures, history, latency, ranking, timeline, waterfall};
use crate::report::{count, next_step};

/// What a report is about.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) rollout: Rollout,
    pub(crate) verdict: Verdict,
    /// Whether it is a file of its own, which follows nothing and decides nothing.
    pub(crate) as_file: bool,
}

/// What takes longer to read than the verdict.
#[derive(Debug)]
pub(crate) struct Details {
    /// In the order of time.
    pub(crate) events: Vec<Event>,
    /// Notifications that are not settled.
    pub(crate) waiting: Vec<NotificationRow>,
    /// In the order of time.
    pub(crate) history: Vec<Point>,
    /// What the evidence says, or why there is none.
    pub(crate) exhibits: Result<Exhibits, String>,
    pub(crate) sampled: Sampled,
    /// What telemetry says beside the verdict, once that is decided, or why it is not known.
    pub(crate) story: Option<Result<Story, String>>,
}

impl Subject {
    /// The page down to what the verdict alone says. It is sent before the rest is read.
    pub(crate) fn opening(&self) -> String {
        let live = !self.as_file && self.rollout.ended_at.is_none();
        let follow = match (self.as_file, live) {
            (true, _) => Follow::Nothing,
            (false, true) => Follow::Events(format!("/v1/rollouts/{}/events", self.rollout.id)),
            (false, false) => Follow::Events(String::new()),
        };
        let verdict = &self.verdict;
        let mut out = opening(&format!("{} in {}: {}", verdict.service, verdict.environment, verdict.decision.as_str()), &follow);
        // Writing to a String cannot fail.
        let _ = self.write_verdict(&mut out, live);
        out
    }

    /// The rest of the page.
    pub(crate) fn rest(&self, details: &Details) -> String {
        let mut out = String::with_capacity(64 << 10);
        // Writing to a String cannot fail.
        let _ = self.write_details(&mut out, details);
        out + CLOSING
    }

    fn write_verdict(&self, out: &mut String, live: bool) -> std::fmt::Result {
        write_head(out, &self.rollout, &self.verdict)?;
        if live {
            write_decisions(out, &self.rollout, &self.verdict)?;
        }
        write_cohorts(out, &self.verdict)?;
        checks::write(out, &self.verdict)?;
        write_culprits(out, &self.verdict.culprits, self.at().as_deref())
    }

    fn write_details(&self, out: &mut String, details: &Details) -> std::fmt::Result {
        ranking::write(out, &details.exhibits, &self.verdict.culprits)?;
        failures::write(out, &details.exhibits, &details.sampled, self.at().as_deref())?;
        waterfall::write(out, &details.sampled)?;
        history::write(out, &details.history)?;
        latency::write(out, &details.exhibits)?;
        write_changes(out, &self.verdict)?;
        differences::write(out, details.story.as_ref(), self.at().as_deref())?;
        timeline::write(out, &details.events, &details.waiting)?;
        write_foot(out, &self.rollout, &self.verdict, self.as_file)
    }

    /// Where traces are shown; a file has no such place.
    fn at(&self) -> Option<String> {
        (!self.as_file).then(|| format!("/rollouts/{}", self.rollout.id))
    }
}

fn write_head(out: &mut String, rollout: &Rollout, verdict: &Verdict) -> std::fmt::Result {
    let (service, environment) = (text(&verdict.service), text(&verdict.environment));
    write!(out, "<header><p class=\"mute\">Rollout of <strong>{service}</strong> in <strong>{environment}</strong></p>")?;
    write!(
        out,
        "<h1>{} {} against {}</h1>",
        badge(verdict.decision),
        picked(&verdict.canary.selector),
        picked(&verdict.baseline.selector)
    )?;
    let state = rollout.state.as_str().replace('_', " ");
    let time = |written: &str| haldane_store::UnixNanos::parse_rfc3339(written).map_or_else(|_| text(written), timeline::shown);
    write!(
        out,
        "<p class=\"mute\">{state}; compared from {} to {} UTC</p></header>",
        time(&verdict.started_at),
        time(&verdict.data_until)
    )?;
    if let Some(stage) = &verdict.stage {
        write!(out, "<p>Stage {} of {}, at {} % of the traffic.</p>", stage.number, stage.of, stage.traffic * 100.0)?;
    }
    if let Some(approval) = verdict.approval.as_ref().filter(|approval| approval.needed || approval.by.is_some()) {
        match &approval.by {
            Some(by) => write!(out, "<p>Approved by {}: {}</p>", text(by), text(approval.reason.as_deref().unwrap_or_default()))?,
            None => write!(out, "<p>A person has to approve the promotion.</p>")?,
        }
    }
    let tone = match verdict.decision {
        VerdictDecision::Promote => "told-good",
        VerdictDecision::Rollback => "told-bad",
        VerdictDecision::Inconclusive => "told-warn",
        VerdictDecision::Continue => "told-wait",
    };
    write!(out, "<p class=\"lead {tone}\">{}</p>", text(&verdict.reason))?;
    write!(out, "<p><strong>What to do:</strong> {}</p>", text(next_step(verdict)))?;
    let others: Vec<&String> = verdict.reasons.iter().filter(|reason| **reason != verdict.reason).collect();
    if !others.is_empty() {
        write!(out, "<ul class=\"small\">")?;
        for reason in others {
            write!(out, "<li>{}</li>", text(reason))?;
        }
        write!(out, "</ul>")?;
    }
    Ok(())
}

fn write_cohorts(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    let affected = verdict.checks.iter().find(|check| check.name == "error_rate" && check.outcome == Outcome::Regressed);
    write!(
        out,
        "<section id=\"cohorts\"><h2>Who was compared</h2>{}<table><thead><tr><td></td><th scope=\"col\">picked by</th><th class=\"number\" scope=\"col\">requests</th>\
         <th class=\"number\" scope=\"col\">instances</th></tr></thead><tbody>",
        scroll("Who was compared")
    )?;
    for (name, color, cohort) in [("baseline", "var(--base)", &verdict.baseline), ("canary", "var(--new)", &verdict.canary)] {
        write!(
            out,
            "<tr><th scope=\"row\"><span class=\"key\" style=\"background:{color}\"></span>{name}</th><td>{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            picked(&cohort.selector),
            count(cohort.requests),
            count(cohort.instances)
        )?;
    }
    write!(out, "</tbody></table></div>")?;
    if verdict.baseline_source == BaselineSource::Preceding {
        write!(out, "<p>The baseline did not serve at the same time: the comparison is with what ran before the rollout.</p>")?;
    }
    let all = verdict.baseline.requests + verdict.canary.requests;
    if let Some(check) = affected.filter(|_| all > 0) {
        let expected = check.baseline.value.unwrap_or(0.0) * check.canary.requests as f64;
        let excess = (check.canary.events as f64 - expected).max(0.0);
        write!(
            out,
            "<p>About {excess:.0} requests failed that would not have with the baseline: {:.2} % of all requests of both versions in this time.</p>",
            100.0 * excess / all as f64
        )?;
    }
    write!(out, "</section>")
}

fn write_culprits(out: &mut String, culprits: &[CulpritVerdict], at: Option<&str>) -> std::fmt::Result {
    if culprits.is_empty() {
        return Ok(());
    }
    write!(out, "<section id=\"culprits\"><h2>Where the harm is</h2><ol>")?;
    for culprit in culprits {
        let kind = match culprit.kind {
            CulpritKind::Operation => "operation",
            CulpritKind::Instance => "instance",
            CulpritKind::Error => "error",
        };
        // An error's name is a fingerprint, which tells a person nothing.
        let name = culprit.error_type.as_deref().filter(|_| culprit.kind == CulpritKind::Error).unwrap_or(&culprit.name);
        write!(out, "<li>{kind} <code>{}</code>: {}", text(name), text(&culprit.reason))?;
        if let Some(message) = culprit.message.as_deref().filter(|message| !message.is_empty()) {
            let kind = culprit.error_type.as_deref().unwrap_or("error");
            write!(out, "<br><code>{}: {}</code>", text(kind), text(message))?;
        }
        if !culprit.trace_ids.is_empty() {
            let ids: Vec<String> = culprit.trace_ids.iter().map(|id| trace_link(id, at)).collect();
            write!(out, "<br><span class=\"mute\">traces</span> {}", ids.join(" "))?;
        }
        write!(out, "</li>")?;
    }
    write!(out, "</ol></section>")
}

fn write_changes(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    if verdict.changes.is_empty() {
        return Ok(());
    }
    write!(out, "<section id=\"changes\"><h2>What the canary does differently</h2><ul>")?;
    for change in &verdict.changes {
        write!(out, "<li>{}</li>", text(&change.reason))?;
    }
    write!(out, "</ul></section>")
}

/// What a person may decide, with a reason. Where the browser's token has not that right, the script asks for another.
fn write_decisions(out: &mut String, rollout: &Rollout, verdict: &Verdict) -> std::fmt::Result {
    let awaited = verdict.approval.as_ref().is_some_and(|approval| approval.needed && approval.by.is_none());
    let proven = verdict.decision == VerdictDecision::Promote && !verdict.is_final;
    write!(
        out,
        "<section id=\"decide\"><h2>Decide</h2><form id=\"decision\" data-rollout=\"{}\"><label for=\"reason\">Reason, kept with the rollout and told</label>\
         <input id=\"reason\" name=\"reason\" required maxlength=\"1000\" autocomplete=\"off\">\
         <div id=\"token-asked\" data-kept hidden><label for=\"token\">A token that may operate; it is not kept</label>\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"off\"></div><p class=\"buttons\">",
        rollout.id
    )?;
    let buttons = [
        ("approve", "Approve the promotion", awaited),
        ("advance", "Go on to the next stage", proven),
        ("promote", "Promote", true),
        ("rollback", "Roll back", true),
    ];
    for (action, label, _) in buttons.into_iter().filter(|(.., shown)| *shown) {
        let class = if action == "rollback" { " class=\"danger\"" } else { "" };
        write!(out, "<button id=\"do-{action}\" name=\"action\" value=\"{action}\"{class}>{label}</button> ")?;
    }
    write!(out, "</p><p role=\"alert\" class=\"told worse\" data-kept></p></form></section>")
}

fn write_foot(out: &mut String, rollout: &Rollout, verdict: &Verdict, as_file: bool) -> std::fmt::Result {
    write!(out, "<footer class=\"mute\">")?;
    if !rollout.metadata.is_empty() {
        let pairs: Vec<String> =
            rollout.metadata.iter().map(|(key, value)| format!("{} <code>{}</code>", text(key), text(value))).collect();
        write!(out, "<p>{}</p>", pairs.join(" · "))?;
    }
    write!(
        out,
        "<p>Rollout <code>{}</code>, verdict {}, decided at {}; budget for a false rollback {}.</p>",
        rollout.id,
        verdict.sequence,
        text(&verdict.decided_at),
        verdict.risk.alpha,
    )?;
    if !as_file {
        write!(
            out,
            "<p><a href=\"/rollouts/{0}?file=true\" download=\"{0}.html\">This page as a file</a> · <a href=\"/v1/rollouts/{0}/report.md\">Markdown</a> · \
             <a href=\"/v1/rollouts/{0}/report.json\">JSON</a> · <a href=\"/v1/rollouts/{0}/evidence\">evidence</a></p>",
            rollout.id
        )?;
    }
    write!(out, "</footer>")
}
