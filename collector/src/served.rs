//! How many requests each service served since the start: what burn rates of its error budget are made of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// More services than this are not told apart; the rest is not counted.
const SERVICES_MAX: usize = 500;

/// Requests of one service in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedStats {
    /// `service.name`.
    pub service: String,
    /// `deployment.environment.name`, `default` where none is named.
    pub environment: String,
    /// Requests that went well.
    pub ok: u64,
    /// Requests that failed.
    pub failed: u64,
}

/// The counts. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served(Arc<Mutex<Counts>>);

/// By service and environment: requests that went well, and that failed.
type Counts = HashMap<(String, String), (u64, u64)>;

impl Served {
    /// Adds what a batch has of one service: all requests, and those of them that failed.
    pub(crate) fn add(&self, service: &str, environment: Option<&str>, (requests, failed): (u64, u64)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (service.to_owned(), environment.unwrap_or("default").to_owned());
        if counts.len() >= SERVICES_MAX && !counts.contains_key(&key) {
            return;
        }
        let (ok, bad) = counts.entry(key).or_default();
        *ok += requests.saturating_sub(failed);
        *bad += failed;
    }

    pub(crate) fn read(&self) -> Vec<ServedStats> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |((service, environment), (ok, failed)): (&(String, String), &(u64, u64))| ServedStats {
            service: service.clone(),
            environment: environment.clone(),
            ok: *ok,
            failed: *failed,
        };
        let mut all: Vec<ServedStats> = counts.iter().map(one).collect();
        all.sort_by(|a, b| (&a.service, &a.environment).cmp(&(&b.service, &b.environment)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_counted_apart_up_to_a_limit() {
        let served = Served::default();
        served.add("payment", None, (10, 2));
        served.add("payment", Some("shop"), (5, 0));
        served.add("payment", None, (1, 1));
        let told: Vec<_> = served.read().into_iter().map(|one| (one.environment, one.ok, one.failed)).collect();
        assert_eq!(told, [("default".to_owned(), 8, 3), ("shop".to_owned(), 5, 0)]);
        (0..600).for_each(|number| served.add(&format!("s{number}"), None, (1, 0)));
        assert_eq!(served.read().len(), SERVICES_MAX);
        served.add("payment", None, (1, 0));
        assert_eq!(served.read()[0].service, "payment", "those that are known go on being counted");
    }
}
