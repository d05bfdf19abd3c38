//! The two doors for OTLP. Both read a body under the limits, hand the same [`Request`](crate::Request) to the intake, and put its answer into their
//! protocol's words.
//!
//! Always holds: a body is read or drained before it is answered, so that the sender gets to see the answer; a refusal says by its code whether
//! trying again is useful; when tokens are configured, nothing of a body is kept before its sender has shown one.

mod body;
mod cors;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod json;
mod messages;
mod sender;
mod serve;
mod status;
#[cfg(test)]
mod tests;
mod token;
pub(crate) mod waiting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::HeaderMap;
use haldane_store::tls::Tls;

use crate::admission::Source;
use crate::config::CollectorConfig;
use crate::decode::Rejected;
use crate::intake::{Accepted, Intake};
use crate::request::{Encoding, Request, Signal};

use body::{Announced, Coding, Limits};
use cors::Origins;
use sender::Sender;
use serve::Connections;
use status::Refused;
use token::{NO_TOKEN, Shown, Tokens};

/// A message to the sender is cut off here, so that no answer gets large.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// How long a sender that is refused for now should wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What both doors have: the intake and the limits. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    intake: Arc<Intake>,
    limits: Limits,
    connections: Connections,
    tokens: Tokens,
    origins: Origins,
}

/// What a request says of itself before its body.
#[derive(Debug)]
struct Asked {
    signal: Signal,
    encoding: Encoding,
    coding: Coding,
    announced: Announced,
}

impl Door {
    pub(crate) fn new(intake: Arc<Intake>, config: &CollectorConfig, tls: Option<Tls>) -> Self {
        let limits = Limits { bytes_max: config.request_bytes_max, timeout: config.body_timeout() };
        let connections = Connections::new(config, tls);
        Self {
            intake,
            limits,
            connections,
            tokens: Tokens::new(&config.tokens, config.access.clone()),
            origins: Origins::new(&config.cors_allowed_origins),
        }
    }

    /// Lets a request in if its sender may send, and takes it; what comes of it is counted.
    async fn take(&self, asked: &Asked, headers: &HeaderMap, sender: &Sender, body: Body) -> Result<Option<Rejected>, Refused> {
        let began = Instant::now();
        let (token, refused) = match self.tokens.of(headers) {
            Shown::LetsIn(token) => (token, None),
            Shown::NotForThis(token) => (token, Some(Refused::forbidden())),
            Shown::Unknown => (NO_TOKEN.clone(), Some(Refused::unauthenticated())),
        };
        if let Some(refused) = refused {
            body::drain(body, self.limits.bytes_max).await;
            self.intake.counters.refused(asked.signal, &token, refused.reason, refused.retry);
            return Err(refused);
        }
        let taken = self.take_from(sender, sender.source(token.clone()), asked, body).await;
        match &taken {
            Ok(accepted) => {
                sender.spoke(&accepted.speaker);
                self.intake.counters.took(began.elapsed());
            }
            Err(refused) => {
                self.intake.counters.refused(asked.signal, &token, refused.reason, refused.retry);
                tracing::debug!(
                    signal = asked.signal.as_str(),
                    reason = refused.reason.as_str(),
                    message = refused.message,
                    "refused a request"
                );
            }
        }
        taken.map(|accepted| accepted.rejected.map(|rejected| Rejected { message: shortened(rejected.message), ..rejected }))
    }

    async fn take_from(&self, sender: &Sender, source: Source, asked: &Asked, body: Body) -> Result<Accepted, Refused> {
        let admitted = self.intake.admission.begin(source);
        let raw = body::read(body, self.limits, (asked.coding, asked.announced), sender.body_bytes(), admitted).await?;
        sender.sent(raw.bytes);
        let (raw, coding) = match asked.announced {
            Announced::ByHeader => (raw, asked.coding),
            Announced::ByFrame => grpc::unframe(raw, asked.coding)?,
        };
        let (body, admitted) = body::unpack(raw, coding, self.limits.bytes_max).await?;
        self.intake.counters.waited(admitted.waited());
        Ok(self.intake.accept(Request { signal: asked.signal, encoding: asked.encoding, body }, admitted).await?)
    }
}

/// A message that is not too long for an answer.
fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}
