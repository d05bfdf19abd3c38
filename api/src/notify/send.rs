//! Sends what a delivery asks for, and says what came of it.

use std::time::Duration;

use haldane_store::fault::innermost;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Response, StatusCode};

use super::address::PublicOnly;
use super::config::NotifyConfig;
use super::receiver::{Delivery, Outgoing, Target};

/// Longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// So much of a refusal is kept, in bytes.
const REFUSAL_BYTES_MAX: usize = 300;

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It may work later.
    Again {
        /// What went wrong.
        why: String,
        /// When the receiver wants to be asked again.
        after: Option<Duration>,
    },
    /// It will never work like this.
    Refused {
        /// What the receiver said.
        why: String,
    },
    /// The receiver wants nothing any more.
    Gone,
}

/// Talks to receivers. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    public: Client,
    private: Client,
}

impl Sender {
    pub(super) fn try_new(config: &NotifyConfig) -> Result<Self, reqwest::Error> {
        let builder = || {
            // Nobody is told: then a system without certificates is no mistake.
            let begun = if config.receivers.is_empty() { Client::builder().tls_certs_only([]) } else { Client::builder() };
            begun
                .timeout(Duration::from_secs(config.timeout_seconds))
                // A redirect may lead anywhere, and would carry the secrets along.
                .redirect(Policy::none())
                .user_agent(concat!("haldane/", env!("CARGO_PKG_VERSION")))
        };
        // Names are looked at where they are resolved: here, or by the proxy that the settings name.
        let public = match &config.proxy {
            Some(proxy) => builder().proxy(Proxy::all(proxy)?),
            None => builder().no_proxy().dns_resolver(PublicOnly),
        };
        Ok(Self { public: public.build()?, private: builder().no_proxy().build()? })
    }

    /// Sends all of it. The first failure counts, unless one of several replicas is enough.
    pub(super) async fn deliver(&self, target: &Target, delivery: Delivery) -> Outcome {
        match delivery {
            Delivery::First(requests) => {
                let mut requests = requests.into_iter();
                let Some(first) = requests.next() else { return Outcome::Delivered };
                let outcome = self.send(target, first).await;
                if outcome == Outcome::Delivered {
                    for request in requests {
                        if self.send(target, request).await != Outcome::Delivered {
                            tracing::warn!(receiver = target.name, "a receiver took the alert, and not what goes with it");
                        }
                    }
                }
                outcome
            }
            Delivery::All(requests) => {
                for request in requests {
                    let outcome = self.send(target, request).await;
                    if outcome != Outcome::Delivered {
                        return outcome;
                    }
                }
                Outcome::Delivered
            }
            Delivery::Any(requests) => {
                let sent = requests.into_iter().map(|request| self.send(target, request));
                let outcomes = futures::future::join_all(sent).await;
                let delivered = outcomes.contains(&Outcome::Delivered);
                if delivered {
                    return Outcome::Delivered;
                }
                // One that may take it later is worth more than one that never will.
                let again = outcomes.iter().position(|outcome| matches!(outcome, Outcome::Again { .. }));
                outcomes.into_iter().nth(again.unwrap_or(0)).unwrap_or(Outcome::Delivered)
            }
        }
    }

    async fn send(&self, target: &Target, request: Outgoing) -> Outcome {
        let client = if target.allow_private { &self.private } else { &self.public };
        let mut building = client.post(request.url).header(CONTENT_TYPE, request.media_type);
        for (name, value) in request.headers {
            building = building.header(name, value);
        }
        // The very text that was signed.
        match building.body(request.body.to_string()).send().await {
            Ok(response) => judge(target, response).await,
            Err(error) => Outcome::Again { why: told(&error.without_url()), after: None },
        }
    }
}

async fn judge(target: &Target, mut response: Response) -> Outcome {
    let status = response.status();
    if status.is_success() {
        return Outcome::Delivered;
    }
    if status == StatusCode::GONE {
        return Outcome::Gone;
    }
    if status.is_redirection() {
        return Outcome::Refused { why: format!("it answered {status}: redirects are not followed, name the address that it leads to") };
    }
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
    let after = seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    let mut said = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        said.extend_from_slice(&chunk);
        if said.len() >= REFUSAL_BYTES_MAX {
            break;
        }
    }
    said.truncate(REFUSAL_BYTES_MAX);
    let said: String = String::from_utf8_lossy(&said).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let why = format!("it answered {status}: {}", target.redact(said.trim())).trim_end_matches([':', ' ']).to_owned();
    match target.refuses_for_good(status.as_u16()) {
        true => Outcome::Refused { why },
        false => Outcome::Again { why, after },
    }
}

fn told(error: &reqwest::Error) -> String {
    if error.is_timeout() { "no answer in time".to_owned() } else { innermost(error) }
}
