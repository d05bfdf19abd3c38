//! The clock. Only the shell of the process reads time; everything else is handed an instant.

use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// A clock that starts in the past and runs `speed` times as fast until it has caught up with the machine's.
///
/// The demo uses it to compress half an hour of traffic into seconds while nothing lies in the future.
#[derive(Debug)]
pub struct ScaledClock {
    started: Instant,
    origin: UnixNanos,
    speed: u32,
}

impl ScaledClock {
    /// A clock that now shows `behind` before the machine's time and runs `speed` times as fast.
    pub fn start(behind: Duration, speed: u32) -> Self {
        Self { started: Instant::now(), origin: machine_now().minus(behind), speed: speed.max(1) }
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> UnixNanos {
        self.origin.plus(self.started.elapsed() * self.speed).min(machine_now())
    }

    fn real(&self, span: Duration) -> Duration {
        let caught_up = self.origin.plus(self.started.elapsed() * self.speed) >= machine_now();
        if caught_up { span } else { span / self.speed }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn machine_now() -> UnixNanos {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixNanos::new(0).plus(since_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_clock_never_passes_the_machine_s() {
        let clock = ScaledClock::start(Duration::from_millis(1), 1_000_000);
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.now() <= SystemClock.now());
        assert_eq!(clock.real(Duration::from_secs(1)), Duration::from_secs(1));
    }
}
