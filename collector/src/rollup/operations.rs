//! The operations seen so far, capped: a service that puts ids into span names must not make `red` as long as `spans`.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use haldane_store::schema::OTHER_OPERATION;
use haldane_store::template::cut;

/// Services whose operations are told apart; those that come later have only [`OTHER_OPERATION`].
const SERVICES_MAX: usize = 10_000;

/// … and so have all of them once so many operations are known.
const KNOWN_MAX: usize = 200_000;

/// A service and an operation are told apart by this many bytes.
const NAME_BYTES_MAX: usize = 512;

static OTHER: LazyLock<Arc<str>> = LazyLock::new(|| OTHER_OPERATION.into());

/// Knows the operations of each service, up to a limit for each.
#[derive(Debug)]
pub(crate) struct Operations {
    max: usize,
    services: HashMap<String, HashSet<Arc<str>>>,
    /// Of all services.
    known: usize,
    over: Arc<AtomicU64>,
}

impl Operations {
    /// `over` counts the spans whose operation came too late to be told apart.
    pub(crate) fn new(max: usize, over: Arc<AtomicU64>) -> Self {
        Self { max, services: HashMap::new(), known: 0, over }
    }

    /// The name of an operation that came too late to have its own.
    pub(super) fn other() -> Arc<str> {
        OTHER.clone()
    }

    /// Counts a span whose operation came too late.
    pub(super) fn count_over_limit(&self) {
        self.over.fetch_add(1, Ordering::Relaxed);
    }

    /// The name an operation is counted under; `None`, and counted, when there is no room for it.
    pub(super) fn admit(&mut self, service: &str, operation: &str) -> Option<Arc<str>> {
        let [service, operation] = [service, operation].map(|name| cut(name, NAME_BYTES_MAX));
        if let Some(known) = self.services.get(service).and_then(|operations| operations.get(operation)) {
            return Some(known.clone());
        }
        let room = self.services.get(service).map_or(self.services.len() < SERVICES_MAX && self.max > 0, |known| known.len() < self.max);
        if !room || self.known >= KNOWN_MAX {
            self.count_over_limit();
            return None;
        }
        let name: Arc<str> = operation.into();
        self.known += 1;
        self.services.entry(service.to_owned()).or_default().insert(name.clone());
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_past_the_limit_are_counted_together() {
        let over = Arc::new(AtomicU64::new(0));
        let mut operations = Operations::new(2, over.clone());
        let names: Vec<_> = ["a", "b", "c", "a"].iter().map(|name| operations.admit("shop", name)).collect();
        assert_eq!(names, [Some("a".into()), Some("b".into()), None, Some("a".into())]);
        assert_eq!(operations.admit("other", "c"), Some("c".into()));
        assert_eq!(over.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn names_without_end_are_cut_and_there_are_only_so_many() {
        let mut operations = Operations::new(usize::MAX, Arc::default());
        let long = "x".repeat(1 << 20);
        assert_eq!(operations.admit(&long, &long).map(|name| name.len()), Some(NAME_BYTES_MAX));
        assert!(operations.services.keys().all(|name| name.len() == NAME_BYTES_MAX));
        let admitted = (0..2 * KNOWN_MAX).filter(|n| operations.admit("shop", &n.to_string()).is_some()).count();
        assert_eq!(admitted, KNOWN_MAX - 1);
        assert!(operations.admit("shop", "0").is_some(), "known ones stay");
    }
}
