//! Whom to tell, and of what: `[notify]` and `[[notify.receivers]]` in the settings.

use std::fmt;
use std::path::PathBuf;

use haldane_analyzer::rollout::EventKind;
use haldane_store::name::is_plain_name;
use serde::Deserialize;
use url::Url;

use super::address;
use super::note::{Note, Severity};
use super::receiver::Target;

/// Most receivers.
const RECEIVERS_MAX: usize = 100;
/// Longest wait for an answer.
const TIMEOUT_SECONDS_MAX: u64 = 60;

/// Settings of notifications.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifyConfig {
    /// Whom to tell.
    pub receivers: Vec<ReceiverConfig>,
    /// What a receiver does not take is tried again for so long, in hours.
    pub retry_hours: u64,
    /// How long to wait for a receiver's answer, in seconds.
    pub timeout_seconds: u64,
    /// The proxy that leads outside, such as `http://proxy.internal:3128`; it resolves names then, and has to guard what lies inside. Receivers with
    /// `allow_private` are reached directly.
    pub proxy: Option<String>,
}

/// Somebody to tell.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: ReceiverKind,
    /// Where it is. PagerDuty has one of its own; of Alertmanager, every replica.
    #[serde(default)]
    pub url: Secret,
    /// More addresses: the other replicas of an Alertmanager.
    #[serde(default)]
    pub more_urls: Vec<Secret>,
    /// A file that holds the address, instead of `url`.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// PagerDuty's integration key, or the secret that a webhook's messages are signed with (`whsec_…`).
    #[serde(default)]
    pub secret: Secret,
    /// A file that holds it, instead of `secret`.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Only of these services; a `*` stands for any text. All if left out.
    #[serde(default)]
    pub services: Vec<String>,
    /// Only in these environments; a `*` stands for any text. All if left out.
    #[serde(default)]
    pub environments: Vec<String>,
    /// Only what is at least so severe: `info`, `warning` (if left out) or `critical`.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Only these, such as `rollout.rolled_back`, however severe. By severity if left out.
    #[serde(default)]
    pub events: Vec<String>,
    /// The text for people, as a minijinja template over the note, instead of ours.
    #[serde(default)]
    pub template: Option<String>,
    /// Whether addresses of private networks and of this machine are allowed.
    #[serde(default)]
    pub allow_private: bool,
    /// How long an alert fires in Alertmanager, in minutes; 60 if left out.
    #[serde(default)]
    pub alert_minutes: Option<u64>,
}

/// What a receiver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverKind {
    /// Prometheus' Alertmanager, API v2.
    Alertmanager,
    /// A Slack incoming webhook.
    Slack,
    /// PagerDuty Events v2.
    Pagerduty,
    /// A Teams workflow's webhook.
    Teams,
    /// Any address: CloudEvents with CDEvents, signed as Standard Webhooks has it.
    Webhook,
}

/// A text that is not for logs.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl ReceiverKind {
    /// The word in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Slack => "slack",
            Self::Pagerduty => "pagerduty",
            Self::Teams => "teams",
            Self::Webhook => "webhook",
        }
    }
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self { receivers: Vec::new(), retry_hours: 72, timeout_seconds: 10, proxy: None }
    }
}

impl NotifyConfig {
    /// Everything that is wrong, by name. Reads the files that hold secrets.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.receivers.len() > RECEIVERS_MAX {
            mistakes.push(format!("notify.receivers: there are {}, {RECEIVERS_MAX} at most", self.receivers.len()));
        }
        if !(1..=TIMEOUT_SECONDS_MAX).contains(&self.timeout_seconds) {
            let seconds = self.timeout_seconds;
            mistakes.push(format!("notify.timeout_seconds = {seconds}: it has to lie between 1 and {TIMEOUT_SECONDS_MAX}"));
        }
        if !(1..=24 * 30).contains(&self.retry_hours) {
            mistakes.push(format!("notify.retry_hours = {}: it has to lie between 1 and 720", self.retry_hours));
        }
        if self.proxy.as_ref().is_some_and(|proxy| reqwest::Proxy::all(proxy).is_err()) {
            mistakes.push("notify.proxy: write it as http://host:port".to_owned());
        }
        for (at, receiver) in self.receivers.iter().enumerate() {
            let named = format!("notify.receivers {:?}", receiver.name);
            let tell = |wrong: String| format!("{named}: {wrong}");
            if self.receivers[..at].iter().any(|other| other.name == receiver.name) {
                mistakes.push(tell("there are two of this name".to_owned()));
            }
            mistakes.extend(receiver.mistakes().into_iter().map(tell));
        }
        mistakes
    }
}

impl ReceiverConfig {
    fn mistakes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !is_plain_name(&self.name) {
            wrong.push("a name has 1 to 64 of the characters a-z A-Z 0-9 - _ .".to_owned());
        }
        for word in &self.events {
            if EventKind::parse(word).is_none_or(|kind| !Note::is_told(kind)) {
                let known: Vec<&str> = EventKind::ALL.iter().filter(|kind| Note::is_told(**kind)).map(|kind| kind.as_str()).collect();
                wrong.push(format!("events: {word:?} is none of {}", known.join(", ")));
            }
        }
        if self.alert_minutes.is_some_and(|minutes| !(1..=24 * 60).contains(&minutes)) {
            wrong.push("alert_minutes has to lie between 1 and 1440".to_owned());
        }
        if self.kind != ReceiverKind::Alertmanager && (self.alert_minutes.is_some() || !self.more_urls.is_empty()) {
            wrong.push("alert_minutes and more_urls are for alertmanager only".to_owned());
        }
        match Target::try_new(self) {
            Ok(target) => wrong.extend(target.template_mistake()),
            Err(mistake) => wrong.push(mistake),
        }
        wrong
    }

    /// The addresses to send to.
    pub(super) fn addresses(&self) -> Result<Vec<Url>, String> {
        let first = read("url", &self.url, self.url_file.as_ref())?;
        let first = match (first.is_empty(), self.kind) {
            (true, ReceiverKind::Pagerduty) => "https://events.pagerduty.com".to_owned(),
            (true, _) => return Err("it needs url or url_file".to_owned()),
            (false, _) => first,
        };
        let all = std::iter::once(first).chain(self.more_urls.iter().map(|url| url.reveal().to_owned()));
        all.map(|text| self.address(&text)).collect()
    }

    /// The text itself may be a secret and is not repeated.
    fn address(&self, text: &str) -> Result<Url, String> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        let url = url.ok_or("url: write it as https://host/path")?;
        if !self.allow_private && address::is_private_host(&url) {
            return Err(
                "url: it lies in a private network or on this machine; if that is meant, say so with allow_private = true".to_owned()
            );
        }
        Ok(url)
    }

    pub(super) fn secret(&self) -> Result<String, String> {
        read("secret", &self.secret, self.secret_file.as_ref())
    }
}

fn read(name: &str, given: &Secret, file: Option<&PathBuf>) -> Result<String, String> {
    match file {
        Some(_) if !given.reveal().is_empty() => Err(format!("give {name} or {name}_file, not both")),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{name}_file {}: {error}", file.display()))?;
            Ok(text.trim().to_owned())
        }
        None => Ok(given.reveal().trim().to_owned()),
    }
}
