//! The clock of the demo: time passes as the shop's telemetry is delivered, so that a slow machine makes the demo slower
//! but never distorts what the judge sees.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use haldane_store::{Clock, SystemClock, UnixNanos};

/// A clock that stands where the shop last moved it, in the past, until it is let go and shows the machine's time.
#[derive(Debug)]
pub(crate) struct TrafficClock {
    shown: AtomicI64,
    speed: u32,
    released: AtomicBool,
}

impl TrafficClock {
    /// A clock that shows `behind` before the machine's time; the shop means to move it `speed` times as fast as that.
    pub(crate) fn new(behind: Duration, speed: u32) -> Self {
        let shown = AtomicI64::new(SystemClock.now().minus(behind).as_nanos());
        Self { shown, speed: speed.max(1), released: AtomicBool::new(false) }
    }

    /// Moves to `to`, never backwards and never past the machine's time.
    pub(crate) fn advance(&self, to: UnixNanos) {
        self.shown.fetch_max(to.min(SystemClock.now()).as_nanos(), Ordering::SeqCst);
    }

    /// From now on this is the machine's clock.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
    }
}

impl Clock for TrafficClock {
    fn now(&self) -> UnixNanos {
        if self.released.load(Ordering::SeqCst) { SystemClock.now() } else { UnixNanos::new(self.shown.load(Ordering::SeqCst)) }
    }

    fn real(&self, span: Duration) -> Duration {
        if self.released.load(Ordering::SeqCst) { span } else { span / self.speed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_between_deliveries_and_never_passes_the_machine() {
        let clock = TrafficClock::new(Duration::from_secs(60), 30);
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.advance(start.plus(Duration::from_secs(5)));
        assert_eq!(clock.now().since(start), Duration::from_secs(5));
        clock.advance(start);
        assert_eq!(clock.now().since(start), Duration::from_secs(5), "it does not go back");
        clock.advance(start.plus(Duration::from_secs(6_000)));
        assert!(clock.now() <= SystemClock.now());
    }

    #[test]
    fn once_released_it_is_the_machine_s_clock() {
        let clock = TrafficClock::new(Duration::from_secs(60), 30);
        assert_eq!(clock.real(Duration::from_secs(30)), Duration::from_secs(1));
        clock.release();
        assert_eq!(clock.real(Duration::from_secs(30)), Duration::from_secs(30));
        assert!(SystemClock.now().since(clock.now()) < Duration::from_secs(30));
    }
}
