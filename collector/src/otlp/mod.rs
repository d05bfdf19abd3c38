//! The two doors for OTLP. Both read a body under the limits, hand the same [`Request`](crate::Request) to the intake, and put its answer into their
//! protocol's words.
//!
//! Always holds: a body is read or drained before it is answered, so that the sender gets to see the answer; a refusal says by its code whether
//! trying again is useful.

mod body;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod json;
mod messages;
mod status;
#[cfg(test)]
mod tests;
pub(crate) mod waiting;

use std::sync::Arc;
use std::time::Duration;

use crate::config::CollectorConfig;
use crate::decode::Rejected;
use crate::intake::Intake;
use crate::request::{Request, Signal};

use body::{Coding, Limits, Raw};
use status::Refused;

/// What both doors have: the intake and the limits.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    intake: Arc<Intake>,
    limits: Limits,
}

impl Door {
    pub(crate) fn new(intake: Arc<Intake>, config: &CollectorConfig) -> Self {
        Self { intake, limits: Limits { bytes_max: config.request_bytes_max, timeout: config.body_timeout() } }
    }

    /// Decompresses a body that has been read and takes it in.
    async fn take(&self, raw: Raw, coding: Coding, request: impl FnOnce(bytes::Bytes) -> Request) -> Result<Option<Rejected>, Refused> {
        let Raw { bytes, mut admitted } = raw;
        let body = body::unpack(bytes, coding, self.limits.bytes_max, &mut admitted).await?;
        Ok(self.intake.accept(request(body), admitted).await?)
    }

    fn count(&self, signal: Signal, refused: &Refused) {
        if refused.retry {
            self.intake.counters.refused(signal);
        } else {
            self.intake.counters.invalid(signal);
        }
    }
}

/// How long a sender that is refused for now should wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
