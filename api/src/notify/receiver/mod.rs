//! The receivers: what each one wants to be sent.

mod alertmanager;
mod pagerduty;
mod slack;
mod teams;
mod webhook;

use std::time::Duration;

use haldane_analyzer::rollout::EventKind;
use haldane_store::UnixNanos;
use haldane_store::name::matches_pattern;
use serde_json::Value;
use url::Url;

use super::config::{ReceiverConfig, ReceiverKind};
use super::message::Template;
use super::note::{Note, Severity};

/// How long an alert fires, if the settings do not say.
const ALERT: Duration = Duration::from_secs(3600);

/// A receiver whose settings were checked.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) kind: ReceiverKind,
    pub(super) allow_private: bool,
    addresses: Vec<Url>,
    secret: String,
    services: Vec<String>,
    environments: Vec<String>,
    severity: Severity,
    events: Vec<EventKind>,
    template: Result<Option<Template>, String>,
    alert: Duration,
}

/// One request to make.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
    pub(super) media_type: &'static str,
}

/// What is to be sent for one note.
#[derive(Debug, Clone)]
pub(super) enum Delivery {
    /// Each has to be taken.
    All(Vec<Outgoing>),
    /// One is enough; the others are told too.
    Any(Vec<Outgoing>),
    /// The first has to be taken; what follows is tried once.
    First(Vec<Outgoing>),
}

/// Addresses and the secret are not for logs.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Target {
    pub(super) fn try_new(config: &ReceiverConfig) -> Result<Self, String> {
        let (addresses, secret) = (config.addresses()?, config.secret()?);
        match config.kind {
            ReceiverKind::Pagerduty if secret.is_empty() => return Err("it needs secret or secret_file: the integration key".to_owned()),
            ReceiverKind::Webhook if !secret.is_empty() => drop(webhook::key(&secret)?),
            ReceiverKind::Alertmanager | ReceiverKind::Slack | ReceiverKind::Teams if !secret.is_empty() => {
                return Err("secret is for pagerduty and webhook only".to_owned());
            }
            ReceiverKind::Alertmanager | ReceiverKind::Slack | ReceiverKind::Pagerduty | ReceiverKind::Teams | ReceiverKind::Webhook => {}
        }
        Ok(Self {
            name: config.name.clone(),
            kind: config.kind,
            allow_private: config.allow_private,
            addresses,
            secret,
            services: config.services.clone(),
            environments: config.environments.clone(),
            severity: config.severity.unwrap_or(Severity::Warning),
            events: config.events.iter().filter_map(|word| EventKind::parse(word)).collect(),
            template: config.template.as_deref().map(Template::try_new).transpose(),
            alert: config.alert_minutes.map_or(ALERT, |minutes| Duration::from_secs(minutes * 60)),
        })
    }

    pub(super) fn template_mistake(&self) -> Option<String> {
        self.template.as_ref().err().cloned()
    }

    /// Whether this event is for it.
    pub(super) fn wants(&self, kind: EventKind, service: &str, environment: &str) -> bool {
        let any = |patterns: &[String], text: &str| patterns.is_empty() || patterns.iter().any(|pattern| matches_pattern(pattern, text));
        let of_interest = match self.events.is_empty() {
            true => Note::severity_of(kind) >= self.severity,
            false => self.events.contains(&kind),
        };
        Note::is_told(kind) && of_interest && any(&self.services, service) && any(&self.environments, environment)
    }

    /// Until when it has to be told again and again, once it was told; `None` if once is enough.
    pub(super) fn repeats_until(&self, at: UnixNanos) -> Option<UnixNanos> {
        (self.kind == ReceiverKind::Alertmanager).then(|| at.plus(self.alert))
    }

    /// The requests that tell it of a note. `id` stays the same through all attempts, `now` does not; an alert ends at `until`.
    pub(super) fn deliver(&self, id: &str, note: &Note, (now, until): (UnixNanos, Option<UnixNanos>)) -> Delivery {
        let template = self.template.as_ref().ok().and_then(Option::as_ref);
        let text = super::message::text(template, note);
        let url = &self.addresses[0];
        match self.kind {
            ReceiverKind::Alertmanager => {
                let body = alertmanager::alerts(note, &text, until.unwrap_or_else(|| now.plus(self.alert)));
                let one = |url: &Url| Outgoing { url: alertmanager::path(url), headers: Vec::new(), body: body.clone(), media_type: JSON };
                Delivery::Any(self.addresses.iter().map(one).collect())
            }
            ReceiverKind::Slack => Delivery::All(vec![json(url, slack::message(note, &text))]),
            ReceiverKind::Teams => Delivery::All(vec![json(url, teams::message(note, &text))]),
            ReceiverKind::Pagerduty => Delivery::First(pagerduty::messages(url, &self.secret, note, &text)),
            ReceiverKind::Webhook => Delivery::All(webhook::messages(url, &self.secret, id, note, &text, now)),
        }
    }

    /// A text of the receiver without what is secret: servers like to repeat the path that they were asked for.
    pub(super) fn redact(&self, text: &str) -> String {
        let parts = self.addresses.iter().flat_map(|url| {
            let path = url.path();
            let query = url.query().unwrap_or_default();
            [path, path.trim_start_matches('/'), query, url.username(), url.password().unwrap_or_default()].map(str::to_owned)
        });
        // The longest first, so that none is left of which another is a part.
        let mut secrets: Vec<String> = parts.chain([self.secret.clone()]).filter(|part| part.len() > 3).collect();
        secrets.sort_by_key(|part| std::cmp::Reverse(part.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }

    /// Whether a refusal is for good. A webhook's is only with 410, as Standard Webhooks has it; the others say what is wrong with a message.
    pub(super) fn refuses_for_good(&self, status: u16) -> bool {
        match self.kind {
            ReceiverKind::Webhook => status == 410,
            ReceiverKind::Alertmanager | ReceiverKind::Slack | ReceiverKind::Pagerduty | ReceiverKind::Teams => {
                (400..500).contains(&status) && !matches!(status, 408 | 425 | 429)
            }
        }
    }
}

const JSON: &str = "application/json";

fn json(url: &Url, body: Value) -> Outgoing {
    Outgoing { url: url.clone(), headers: Vec::new(), body, media_type: JSON }
}

#[cfg(test)]
mod tests;
