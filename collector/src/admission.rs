//! Bounds the memory of requests in flight: a request holds as many bytes of one budget as it has read, from the first byte until its rows are built.
//!
//! Senders give up after seconds and some never try again, so a request is made to wait for a while before it is refused.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Too much is in flight, and was for as long as a request may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is being taken in at once: try again in a second")]
pub(crate) struct Overloaded;

/// The budget. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    budget: Arc<Semaphore>,
    bytes_max: usize,
    wait_max: Duration,
}

impl Admission {
    pub(crate) fn new(bytes_max: usize, wait_max: Duration) -> Self {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Self { budget: Arc::new(Semaphore::new(bytes_max)), bytes_max, wait_max }
    }

    /// A request that holds nothing yet.
    pub(crate) fn begin(&self) -> Admitted {
        Admitted { budget: self.budget.clone(), held: None, patience: self.wait_max }
    }

    pub(crate) fn bytes_in_flight(&self) -> usize {
        self.bytes_max.saturating_sub(self.budget.available_permits())
    }
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    budget: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    /// How much longer the request may wait, over all its waits.
    patience: Duration,
}

impl Admitted {
    /// Takes more of the budget, waiting for it if need be.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Overloaded> {
        let bytes = u32::try_from(bytes).map_err(|_| Overloaded)?;
        let asked = Instant::now();
        let permit = tokio::time::timeout(self.patience, self.budget.clone().acquire_many_owned(bytes)).await;
        self.patience = self.patience.saturating_sub(asked.elapsed());
        let permit = permit.map_err(|_| Overloaded)?.map_err(|_| Overloaded)?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_waits_for_room_and_is_refused_in_the_end() {
        let admission = Admission::new(100, Duration::from_millis(20));
        let mut first = admission.begin();
        first.grow(80).await.unwrap();
        let mut second = admission.begin();
        assert_eq!(second.grow(30).await, Err(Overloaded));
        assert_eq!(admission.bytes_in_flight(), 80);
        drop(first);
        let mut third = admission.begin();
        assert_eq!(third.grow(30).await, Ok(()));
    }
}
