//! The cohorts and operations of one batch by number: a span is counted under two small numbers, and what they mean is written once.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;

use super::cohort::Cohort;
use super::operations::Operations;

/// Numbers that are good for one batch.
#[derive(Debug, Default)]
pub(super) struct BatchKeys {
    cohorts: Vec<Numbered>,
    by_cohort: HashMap<Cohort, u32, RandomState>,
    /// The first cohort of each service.
    by_service: HashMap<String, u32, RandomState>,
    names: Vec<Arc<str>>,
    by_name: HashMap<Arc<str>, u32, RandomState>,
    seen: Vec<SeenOperation>,
    by_seen: HashTable<u32>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Numbered {
    cohort: Cohort,
    /// The first cohort of the same service.
    service: u32,
}

/// What a service called an operation, and what it is counted under.
#[derive(Debug)]
struct SeenOperation {
    service: u32,
    raw: Box<[u8]>,
    name: u32,
    over_limit: bool,
}

impl BatchKeys {
    pub(super) fn cohort(&mut self, cohort: &Cohort) -> u32 {
        if let Some(number) = self.by_cohort.get(cohort) {
            return *number;
        }
        let number = short(self.cohorts.len());
        let service = match self.by_service.get(&cohort.service_name) {
            Some(first) => *first,
            None => {
                self.by_service.insert(cohort.service_name.clone(), number);
                number
            }
        };
        self.cohorts.push(Numbered { cohort: cohort.clone(), service });
        self.by_cohort.insert(cohort.clone(), number);
        number
    }

    pub(super) fn cohort_at(&self, number: u32) -> &Cohort {
        &self.cohorts[number as usize].cohort
    }

    /// The number of the name that an operation is counted under.
    #[inline]
    pub(super) fn operation(&mut self, cohort: u32, raw: &[u8], operations: &mut Operations) -> u32 {
        let service = self.cohorts[cohort as usize].service;
        let hash = self.hasher.hash_one((service, raw));
        let seen = &self.seen;
        let same = |number: &u32| {
            let seen = &seen[*number as usize];
            seen.service == service && *seen.raw == *raw
        };
        if let Some(number) = self.by_seen.find(hash, same) {
            let seen = &self.seen[*number as usize];
            if seen.over_limit {
                operations.count_over_limit();
            }
            return seen.name;
        }
        self.new_operation(service, raw, hash, operations)
    }

    #[cold]
    fn new_operation(&mut self, service: u32, raw: &[u8], hash: u64, operations: &mut Operations) -> u32 {
        let text = String::from_utf8_lossy(raw);
        let admitted = operations.admit(&self.cohorts[service as usize].cohort.service_name, &text);
        let over_limit = admitted.is_none();
        let name = admitted.unwrap_or_else(Operations::other);
        let name = match self.by_name.get(&name) {
            Some(number) => *number,
            None => {
                let number = short(self.names.len());
                self.names.push(name.clone());
                self.by_name.insert(name, number);
                number
            }
        };
        let number = short(self.seen.len());
        self.seen.push(SeenOperation { service, raw: raw.into(), name, over_limit });
        let (seen, hasher) = (&self.seen, &self.hasher);
        self.by_seen.insert_unique(hash, number, |number| {
            let seen = &seen[*number as usize];
            hasher.hash_one((seen.service, &*seen.raw))
        });
        name
    }

    pub(super) fn operation_at(&self, number: u32) -> &str {
        &self.names[number as usize]
    }
}

fn short(number: usize) -> u32 {
    u32::try_from(number).expect("a batch has fewer keys than 2^32")
}
