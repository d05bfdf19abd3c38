//! The one way in: a request is decoded, checked, logged and acknowledged, whichever protocol it came by.

use std::sync::Arc;

use haldane_store::clock::SharedClock;
use haldane_store::{Classified, Fault};
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Admitted, Overloaded};
use crate::decode::{self, Checked, DecodeError, Rejected, Speaker};
use crate::request::{Encoding, Request};
use crate::stats::{CollectorStats, Counters};
use crate::wal::writer::Append;
use crate::wal::{AppendError, Log};

/// Bodies from here on are decoded on a thread of their own, so that other requests are not held up: a MiB takes about a millisecond, and moving it
/// to another thread takes it out of that core's cache.
const LARGE_BODY_BYTES: usize = 1 << 20;

/// What goes through the log beside the bytes.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) checked: Checked,
    pub(crate) admitted: Admitted,
}

/// What is said of a request once it is durable.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The records that were left out.
    pub(crate) rejected: Option<Rejected>,
    /// Whose records they are.
    pub(crate) speaker: Speaker,
}

/// Why a request was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptError {
    /// It can never be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// There is no room for what it becomes.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// It is not durable.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The collector is on its way down.
    #[error("the server is stopping: try again in a second")]
    Stopping,
    /// The thread that decodes it went away.
    #[error("the request could not be decoded for lack of a thread")]
    Lost(#[source] tokio::task::JoinError),
}

impl Classified for AcceptError {
    fn fault(&self) -> Fault {
        match self {
            Self::Decode(error) => error.fault(),
            Self::Append(error) => error.fault(),
            Self::Overloaded(_) => Fault::Busy,
            Self::Stopping => Fault::Unavailable,
            Self::Lost(_) => Fault::Bug,
        }
    }
}

/// What the protocols talk to.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) log: Log<Carried>,
    pub(crate) admission: Admission,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: SharedClock,
    pub(crate) expanded_bytes_max: u64,
    /// Cancelled when nothing more is taken.
    pub(crate) closed: CancellationToken,
}

impl Intake {
    /// Answers once the request is durable.
    pub(crate) async fn accept(&self, request: Request, mut admitted: Admitted) -> Result<Accepted, AcceptError> {
        if self.closed.is_cancelled() {
            return Err(AcceptError::Stopping);
        }
        let (signal, arrived) = (request.signal, request.body.len());
        let mut checked = self.decode(request).await?;
        // JSON has become protobuf, which is half as long as a rule, and longer where it says little but numbers.
        let kept_bytes = checked.body.len();
        admitted.shrink(arrived.saturating_sub(kept_bytes));
        admitted.grow(kept_bytes.saturating_sub(arrived)).await?;
        let (kept, rejected, speaker) = (checked.kept, checked.rejected.take(), std::mem::take(&mut checked.speaker));
        if kept > 0 {
            // What is logged is what the walk reads, so that a replay needs no other decoder.
            let request = Request { signal, encoding: Encoding::Protobuf, body: checked.body.clone() };
            let append = Append { request, received: self.clock.now(), carried: Carried { checked, admitted } };
            let sequence = self.log.append(append).await?;
            self.counters.logged(sequence);
        }
        self.counters.acknowledged(signal, kept, rejected.as_ref().map_or(0, |rejected| rejected.count));
        Ok(Accepted { rejected, speaker })
    }

    pub(crate) fn stats(&self) -> CollectorStats {
        CollectorStats {
            bytes_in_flight: u64::try_from(self.admission.bytes_in_flight()).unwrap_or(u64::MAX),
            log_backlog_bytes: self.log.backlog_bytes(),
            ..self.counters.read()
        }
    }

    async fn decode(&self, request: Request) -> Result<Checked, AcceptError> {
        let max = self.expanded_bytes_max;
        if request.body.len() < LARGE_BODY_BYTES {
            return Ok(decode::decode(&request, max)?);
        }
        let decoded = tokio::task::spawn_blocking(move || decode::decode(&request, max)).await;
        Ok(decoded.map_err(AcceptError::Lost)??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::tests::source;
    use crate::request::Signal;
    use crate::tests::fixture::json;
    use crate::tests::world::Served;

    #[tokio::test(flavor = "multi_thread")]
    async fn json_holds_as_much_room_as_the_protobuf_that_it_became() {
        let point = |counts: &str| {
            let histogram = format!(r#"{{"dataPoints":[{{"bucketCounts":[{counts}]}}]}}"#);
            format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{histogram}}}]}}]}}]}}"#)
        };
        for body in [point("1,".repeat(100_000).trim_end_matches(',')), point(r#""1""#)] {
            let dir = tempfile::tempdir().unwrap();
            // Without room for rows none are made, and what is taken in is held.
            let served = Served::start_with(dir.path(), |config| config.hot_bytes_max = 0).await;
            let intake = &served.intake;
            let request = json(Signal::Metrics, &body);
            let becomes = decode::decode(&request, u64::MAX).unwrap().body.len();
            let mut admitted = intake.admission.begin(source("test", 1));
            admitted.grow(body.len()).await.unwrap();
            intake.accept(request, admitted).await.unwrap();
            assert_ne!(becomes, body.len());
            assert_eq!(intake.admission.bytes_in_flight(), becomes, "{} bytes came", body.len());
            served.stop().await;
        }
    }
}
