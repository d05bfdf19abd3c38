//! Talks to a running server over REST.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use haldane_analyzer::verdict::Verdict;
use haldane_api::Problem;
use haldane_api::http::{
    AdvanceBody, DecisionBody, DeploymentListBody, EventListBody, MadeTokenBody, NewTokenBody, NotificationListBody, PlanBody,
    PlanRequestBody, QueryBody, RetriedBody, RolloutBody, RolloutListBody, StartRolloutBody, TRUNCATED, TestedBody, TokenListBody,
};
use haldane_store::fault::innermost;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

/// Where a server listens unless told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:4380";

/// Longest wait for a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest wait for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest wait for a verdict, beyond what the request asks the server to wait.
const VERDICT_TIME_MAX: Duration = Duration::from_secs(15);

/// Why the server gave no answer that is of use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{text:?} is not an address: write it as {DEFAULT_URL}")]
    Address {
        /// What was given.
        text: String,
    },
    /// The client could not be made.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// The token cannot be sent.
    #[error("the token holds characters that no token has: check HALDANE_TOKEN")]
    Token,
    /// The roots cannot be read.
    #[error("cannot read certificates from {}", file.display())]
    Roots {
        /// Where.
        file: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No connection, or it broke.
    #[error("cannot reach a server at {url} ({because}): start one with `haldane serve`, or name another with --url or HALDANE_URL")]
    Unreachable {
        /// Where.
        url: Url,
        /// The innermost cause.
        because: String,
    },
    /// The server refused, and said why.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// Whatever answers there is not Haldane.
    #[error("{url} answers with status {status}, but not as Haldane does: check the address")]
    Strange {
        /// Where.
        url: Url,
        /// What it said.
        status: StatusCode,
    },
}

impl ClientError {
    /// Whether the same request may do better in a while.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(problem) => matches!(problem.status, 429 | 502..=504),
            Self::Strange { status, .. } => matches!(status.as_u16(), 429 | 502..=504),
            Self::Address { .. } | Self::Setup(_) | Self::Token | Self::Roots { .. } => false,
        }
    }
}

/// A server, by its address.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

/// Which rollouts to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListQuery {
    pub(crate) service: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) limit: u32,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventQuery {
    pub(crate) rollout: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) oldest_first: bool,
    pub(crate) cursor: Option<u64>,
    pub(crate) limit: u32,
}

impl Client {
    /// A client of the server at this address.
    pub(crate) fn new(address: &str, token: Option<&str>, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address { text: address.to_owned() };
        let base =
            Url::parse(address.trim_end_matches('/')).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(wrong)?;
        let host = base.host_str().ok_or_else(wrong)?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(ANSWER_TIME_MAX)
            .user_agent(concat!("haldane/", env!("CARGO_PKG_VERSION")));
        // A proxy cannot reach what listens on this machine only.
        if host == "localhost" || host.starts_with("127.") || host == "[::1]" {
            builder = builder.no_proxy();
        }
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            let mut shown = HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| ClientError::Token)?;
            shown.set_sensitive(true);
            builder = builder.default_headers([(AUTHORIZATION, shown)].into_iter().collect());
        }
        if let Some(file) = ca_file {
            let pem = std::fs::read(file).map_err(|source| ClientError::Roots { file: file.to_owned(), source })?;
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem).map_err(ClientError::Setup)?);
        }
        Ok(Self { http: builder.build().map_err(ClientError::Setup)?, base })
    }

    /// Starts a rollout; `true` says that it is new.
    pub(crate) async fn start(&self, body: &StartRolloutBody, key: Option<&str>) -> Result<(RolloutBody, bool), ClientError> {
        let mut request = self.request(Method::POST, &["v1", "rollouts"]).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = self.send(request).await?;
        let created = response.status() == StatusCode::CREATED;
        Ok((self.read(response).await?, created))
    }

    /// Lists the newest rollouts, over as many pages as it takes.
    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Vec<RolloutBody>, ClientError> {
        let mut rollouts = Vec::new();
        let mut cursor: Option<String> = None;
        while rollouts.len() < query.limit as usize {
            let page = (query.limit as usize - rollouts.len()).min(500).to_string();
            let pairs = [("service", &query.service), ("environment", &query.environment), ("state", &query.state), ("cursor", &cursor)];
            let given: Vec<(&str, &String)> = pairs.iter().filter_map(|(key, value)| value.as_ref().map(|value| (*key, value))).collect();
            let request = self.request(Method::GET, &["v1", "rollouts"]).query(&given).query(&[("limit", page)]);
            let list: RolloutListBody = self.read(self.send(request).await?).await?;
            rollouts.extend(list.rollouts);
            cursor = list.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(rollouts)
    }

    /// Shows a rollout.
    pub(crate) async fn rollout(&self, id: &str) -> Result<RolloutBody, ClientError> {
        self.read(self.send(self.request(Method::GET, &["v1", "rollouts", id])).await?).await
    }

    /// Cancels a rollout.
    pub(crate) async fn cancel(&self, id: &str, reason: Option<&str>) -> Result<RolloutBody, ClientError> {
        let request = self.request(Method::DELETE, &["v1", "rollouts", id]);
        let request = match reason {
            Some(reason) => request.query(&[("reason", reason)]),
            None => request,
        };
        self.read(self.send(request).await?).await
    }

    /// A text, as it is.
    pub(crate) async fn text(&self, path: &[&str], query: &[(&str, &str)]) -> Result<String, ClientError> {
        let response = self.send(self.request(Method::GET, path).query(query)).await?;
        response.text().await.map_err(|error| self.unreachable(&error))
    }

    /// What the last verdict of a rollout rests on, if it is kept.
    pub(crate) async fn evidence(&self, id: &str) -> Result<Option<Bytes>, ClientError> {
        match self.send(self.request(Method::GET, &["v1", "rollouts", id, "evidence"])).await {
            Ok(response) => Ok(Some(response.bytes().await.map_err(|error| self.unreachable(&error))?)),
            Err(ClientError::Refused(problem)) if problem.status == StatusCode::NOT_FOUND.as_u16() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes on to the next stage.
    pub(crate) async fn advance(&self, id: &str, body: &AdvanceBody) -> Result<RolloutBody, ClientError> {
        self.read(self.send(self.request(Method::POST, &["v1", "rollouts", id, "advance"]).json(body)).await?).await
    }

    /// A person's decision: `promote`, `rollback` or `approve`.
    pub(crate) async fn decide(&self, id: &str, decision: &str, body: &DecisionBody) -> Result<RolloutBody, ClientError> {
        self.read(self.send(self.request(Method::POST, &["v1", "rollouts", id, decision]).json(body)).await?).await
    }

    /// The verdict; if `after` is given, waits up to `wait` for another than that one.
    pub(crate) async fn verdict(&self, id: &str, after: Option<u64>, wait: Duration) -> Result<Verdict, ClientError> {
        let mut request = self.request(Method::GET, &["v1", "rollouts", id, "verdict"]);
        if let Some(after) = after {
            request = request.query(&[("after", after.to_string()), ("wait", format!("{}ms", wait.as_millis()))]);
        }
        self.read(self.send(request.timeout(VERDICT_TIME_MAX + wait)).await?).await
    }

    /// One page of what happened.
    pub(crate) async fn audit(&self, query: &EventQuery) -> Result<EventListBody, ClientError> {
        let EventQuery { rollout, service, environment, kind, oldest_first, cursor, limit } = query;
        let pairs = [("rollout", rollout), ("service", service), ("environment", environment), ("kind", kind)];
        let given: Vec<(&str, &String)> = pairs.iter().filter_map(|(key, value)| value.as_ref().map(|value| (*key, value))).collect();
        let order = if *oldest_first { "asc" } else { "desc" };
        let request = self.request(Method::GET, &["v1", "audit"]).query(&given).query(&[("order", order), ("limit", &limit.to_string())]);
        let request = match cursor {
            Some(cursor) => request.query(&[("cursor", cursor)]),
            None => request,
        };
        self.read(self.send(request).await?).await
    }

    /// The newest notifications.
    pub(crate) async fn notifications(&self, state: Option<&str>, limit: u32) -> Result<NotificationListBody, ClientError> {
        let request = self.request(Method::GET, &["v1", "notifications"]).query(&[("limit", limit)]);
        let request = match state {
            Some(state) => request.query(&[("state", state)]),
            None => request,
        };
        self.read(self.send(request).await?).await
    }

    /// Has a dead notification tried again, or all of them.
    pub(crate) async fn retry_notifications(&self, id: Option<&str>) -> Result<RetriedBody, ClientError> {
        let path: Vec<&str> = ["v1", "notifications"].into_iter().chain(id).chain(["retry"]).collect();
        self.read(self.send(self.request(Method::POST, &path)).await?).await
    }

    /// Tests a receiver.
    pub(crate) async fn test_receiver(&self, name: &str) -> Result<TestedBody, ClientError> {
        let request = self.request(Method::POST, &["v1", "receivers", name, "test"]);
        self.read(self.send(request).await?).await
    }

    /// Makes a token.
    pub(crate) async fn add_token(&self, body: &NewTokenBody) -> Result<MadeTokenBody, ClientError> {
        self.read(self.send(self.request(Method::POST, &["v1", "tokens"]).json(body)).await?).await
    }

    /// The tokens that are in force.
    pub(crate) async fn tokens(&self) -> Result<TokenListBody, ClientError> {
        self.read(self.send(self.request(Method::GET, &["v1", "tokens"])).await?).await
    }

    /// Revokes a token.
    pub(crate) async fn revoke_token(&self, name: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, &["v1", "tokens", name])).await.map(drop)
    }

    /// Figures on deployments.
    pub(crate) async fn deployments(
        &self,
        service: Option<&str>,
        environment: Option<&str>,
        days: u32,
    ) -> Result<DeploymentListBody, ClientError> {
        let given = [("service", service), ("environment", environment)];
        let given: Vec<(&str, &str)> = given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let request = self.request(Method::GET, &["v1", "deployments", "metrics"]).query(&given).query(&[("days", days)]);
        self.read(self.send(request).await?).await
    }

    /// Plans a rollout.
    pub(crate) async fn plan(&self, body: &PlanRequestBody) -> Result<PlanBody, ClientError> {
        self.read(self.send(self.request(Method::POST, &["v1", "plans"]).json(body)).await?).await
    }

    /// Runs a query; gives the rows in the form asked for, and whether there are more.
    pub(crate) async fn query(&self, body: &QueryBody, accept: &str) -> Result<(Vec<u8>, bool), ClientError> {
        let request = self.request(Method::POST, &["v1", "query"]).json(body).header("accept", accept);
        let response = self.send(request).await?;
        let Some(truncated) = response.headers().get(TRUNCATED).map(|value| value == "true") else {
            return Err(ClientError::Strange { url: self.base.clone(), status: response.status() });
        };
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok((bytes.to_vec(), truncated))
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        self.http.request(method, url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let strange = || ClientError::Strange { url: self.base.clone(), status };
        Err(response.json::<Problem>().await.map_or_else(|_| strange(), ClientError::Refused))
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes).map_err(|_| ClientError::Strange { url: self.base.clone(), status })
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let because = if error.is_timeout() { "no answer in time".to_owned() } else { innermost(error) };
        ClientError::Unreachable { url: self.base.clone(), because }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_before_it_is_used() {
        for text in ["", "localhost", "127.0.0.1:4380", "ftp://x", "http://"] {
            assert!(matches!(Client::new(text, None, None), Err(ClientError::Address { .. })), "{text}");
        }
        let client = Client::new("http://127.0.0.1:4380/behind/a/proxy/", None, None).unwrap();
        let request = client.request(Method::GET, &["v1", "rollouts", "a/b?c"]).build().unwrap();
        assert_eq!(request.url().as_str(), "http://127.0.0.1:4380/behind/a/proxy/v1/rollouts/a%2Fb%3Fc");
    }
}
