//! The clock. Only the shell of the process reads time; everything else is handed an instant.

use std::sync::Arc;
use std::time::Duration;

use crate::time::UnixNanos;

/// Tells what time it is, and how long to really wait for a while to pass on it.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present instant.
    fn now(&self) -> UnixNanos;

    /// The real time in which `span` passes on this clock.
    fn real(&self, span: Duration) -> Duration;
}

/// A clock shared by the parts of a process.
pub type SharedClock = Arc<dyn Clock>;

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixNanos {
        machine_now()
    }

    fn real(&self, span: Duration) -> Duration {
        span
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn machine_now() -> UnixNanos {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixNanos::new(0).plus(since_epoch)
}
