//! Two parts of a large judgement at once, on two cores.

use std::panic::resume_unwind;
use std::thread;

/// Of so many cells a comparison takes longer than a thread takes to begin, many times over.
pub(super) const CELLS_MANY: usize = 50_000;

/// Two answers, the first one on another core if that is worth it. They are the same either way.
pub(super) fn at_once<A: Send, B>(is_worth_it: bool, one: impl Fn() -> A + Sync, other: impl FnOnce() -> B) -> (A, B) {
    if !is_worth_it {
        return (one(), other());
    }
    thread::scope(|scope| match thread::Builder::new().name("haldane-judge".to_owned()).spawn_scoped(scope, &one) {
        Ok(elsewhere) => {
            let here = other();
            (elsewhere.join().unwrap_or_else(|panic| resume_unwind(panic)), here)
        }
        // The system gives no more threads.
        Err(_) => (one(), other()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_answered_and_a_panic_is_not_swallowed() {
        for is_worth_it in [false, true] {
            assert_eq!(at_once(is_worth_it, || 1, || 2), (1, 2));
            let panics = std::panic::catch_unwind(|| at_once(is_worth_it, || panic!("here"), || 2));
            assert_eq!(*panics.unwrap_err().downcast::<&str>().unwrap(), "here");
        }
    }
}
