//! A deploy tool as anyone would write one: it starts rollouts and polls verdicts over the API, and knows nothing else.

use std::time::Duration;

use haldane_analyzer::verdict::Verdict;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::scenario::{BASELINE, CANARY_VERSION, Scenario};
use super::shop::Service;

/// How long one poll may wait for news.
const WAIT: &str = "5s";
/// Between two polls that were answered at once.
const BREATH: Duration = Duration::from_millis(50);
/// How often a poll may fail in a row before the tool gives up.
const TRIES: u32 = 20;

/// What went wrong between the deploy tool and the API.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeployError {
    /// No answer.
    #[error("no answer from {url}")]
    Transport {
        /// What was asked.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// An answer that says no.
    #[error("{url} answered {status}: {detail}")]
    Refused {
        /// What was asked.
        url: String,
        /// The status.
        status: StatusCode,
        /// What the problem document says.
        detail: String,
    },
}

/// A client of the API. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct DeployTool {
    http: reqwest::Client,
    api: String,
}

impl DeployTool {
    /// A tool for the API at `http://host:port`.
    pub(super) fn new(api: &str) -> Result<Self, DeployError> {
        let transport = |source| DeployError::Transport { url: api.to_owned(), source };
        // A proxy cannot reach what listens on this machine only.
        let http = reqwest::Client::builder().no_proxy().build().map_err(transport)?;
        Ok(Self { http, api: api.to_owned() })
    }

    /// Starts the rollout of a scenario; returns its id.
    pub(super) async fn start(&self, scenario: &Scenario) -> Result<String, DeployError> {
        let url = format!("{}/v1/rollouts", self.api);
        let body = json!({
            "service": Service::Payment.name(),
            "environment": scenario.environment(),
            "baseline": {"service.version": BASELINE.version},
            "canary": {"service.version": CANARY_VERSION},
            "strategy": scenario.strategy.as_str(),
            "policy": {"min_duration_seconds": scenario.min_duration.as_secs()},
        });
        let rollout: Value = answer(&url, self.http.post(&url).json(&body).send().await).await?;
        Ok(id_of(&rollout).unwrap_or_default())
    }

    /// The rollout of a scenario, if there is one by now.
    pub(super) async fn find(&self, scenario: &Scenario) -> Result<Option<String>, DeployError> {
        let url = format!("{}/v1/rollouts?service={}&environment={}", self.api, Service::Payment.name(), scenario.environment());
        let page: Value = answer(&url, self.http.get(&url).send().await).await?;
        let rollouts = page.get("rollouts").and_then(Value::as_array);
        Ok(rollouts.and_then(|rollouts| rollouts.first()).and_then(id_of))
    }

    /// The verdict: at once if none is known yet, else as soon as there is another than `known` or it is final.
    async fn verdict(&self, id: &str, known: Option<u64>) -> Result<Verdict, DeployError> {
        let wait = known.map(|sequence| format!("?wait={WAIT}&after={sequence}")).unwrap_or_default();
        let url = format!("{}/v1/rollouts/{id}/verdict{wait}", self.api);
        answer(&url, self.http.get(&url).send().await).await
    }

    /// Ends a rollout that is not decided. If it was, just now, this is the verdict.
    pub(super) async fn cancel(&self, id: &str) -> Result<Option<Verdict>, DeployError> {
        let url = format!("{}/v1/rollouts/{id}?reason=the%20scenario%20is%20over", self.api);
        match answer::<Value>(&url, self.http.delete(&url).send().await).await {
            Ok(_) => Ok(None),
            Err(DeployError::Refused { status: StatusCode::CONFLICT, .. }) => self.verdict(id, None).await.map(Some),
            Err(error) => Err(error),
        }
    }

    /// Follows the verdict until it is final or `stop`; failures in between are waited out.
    pub(super) async fn follow(self, id: String, news: watch::Sender<Option<Verdict>>, stop: CancellationToken) -> Result<(), DeployError> {
        let mut failures = 0;
        let mut known = None;
        loop {
            let polled = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                polled = self.verdict(&id, known) => polled,
            };
            match polled {
                Ok(verdict) => {
                    failures = 0;
                    let last = verdict.is_final;
                    if known.replace(verdict.sequence) != Some(verdict.sequence) {
                        news.send_replace(Some(verdict));
                    }
                    if last {
                        return Ok(());
                    }
                }
                Err(error) if failures >= TRIES => return Err(error),
                Err(_) => failures += 1,
            }
            tokio::time::sleep(BREATH).await;
        }
    }
}

fn id_of(rollout: &Value) -> Option<String> {
    rollout.get("id").and_then(Value::as_str).map(str::to_owned)
}

async fn answer<T: DeserializeOwned>(url: &str, sent: Result<Response, reqwest::Error>) -> Result<T, DeployError> {
    let transport = |source| DeployError::Transport { url: url.to_owned(), source };
    let response = sent.map_err(transport)?;
    let status = response.status();
    if !status.is_success() {
        let problem = response.text().await.unwrap_or_default();
        let detail = serde_json::from_str::<Value>(&problem).ok().and_then(|p| p.get("detail").and_then(Value::as_str).map(str::to_owned));
        return Err(DeployError::Refused { url: url.to_owned(), status, detail: detail.unwrap_or(problem) });
    }
    response.json().await.map_err(transport)
}
