//! What a row of `red` or `errors` is counted under: the service and all that tells one cohort of its instances from another.

use std::collections::HashSet;

use haldane_store::UnixNanos;
use haldane_store::schema::UNKNOWN_SERVICE;

use crate::decode::value::{Attribute, as_text};
use crate::rows::{Columns, DictionaryColumn, MapColumn, RESOURCE_PLACES, ResourceAttributes, Seal, TimeColumns};
use crate::text::same;

/// Which attributes tell cohorts apart, besides the columns that `red` always has.
#[derive(Debug, Clone)]
pub(crate) struct CohortKeys {
    resource: HashSet<Vec<u8>>,
    record: Vec<Vec<u8>>,
}

impl CohortKeys {
    pub(crate) fn new(resource: &[String], record: &[String]) -> Self {
        let bytes = |key: &String| key.as_bytes().to_vec();
        Self { resource: resource.iter().map(bytes).collect(), record: record.iter().map(bytes).collect() }
    }

    #[inline]
    pub(super) fn is_of_record(&self, key: &[u8]) -> bool {
        self.record.iter().any(|one| same(one, key))
    }
}

/// The key that `red` and `errors` share, without bucket and operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Cohort {
    pub(super) service_name: String,
    service_namespace: Option<String>,
    service_version: Option<String>,
    deployment_environment_name: Option<String>,
    service_instance_id: Option<String>,
    /// Sorted by key.
    attributes: Vec<(String, String)>,
}

impl Cohort {
    pub(super) fn of(resource: &ResourceAttributes, received: &[Attribute<'_>], keys: &CohortKeys) -> Self {
        let places = &*RESOURCE_PLACES;
        let text = |place| resource.text(place).filter(|text| !text.is_empty()).map(str::to_owned);
        let mut cohort = Self {
            service_name: text(places.service_name).unwrap_or_else(|| UNKNOWN_SERVICE.to_owned()),
            service_namespace: text(places.service_namespace),
            service_version: text(places.service_version),
            deployment_environment_name: text(places.deployment_environment_name),
            service_instance_id: text(places.service_instance_id).or_else(|| text(places.k8s_pod_name)).or_else(|| text(places.host_name)),
            attributes: Vec::new(),
        };
        received.iter().filter(|attribute| keys.resource.contains(attribute.key)).for_each(|attribute| cohort.put(attribute));
        cohort
    }

    pub(super) fn environment(&self) -> Option<&str> {
        self.deployment_environment_name.as_deref()
    }

    /// This cohort, told apart further by what the record itself says.
    pub(super) fn with_record(&self, attributes: &[Attribute<'_>], keys: &CohortKeys) -> Self {
        let mut cohort = self.clone();
        attributes.iter().filter(|attribute| keys.is_of_record(attribute.key)).for_each(|attribute| cohort.put(attribute));
        cohort
    }

    /// The last value of a key stays, as in the raw tables; an empty one is none.
    fn put(&mut self, attribute: &Attribute<'_>) {
        let name = as_text(attribute.key);
        match (self.attributes.binary_search_by(|(key, _)| key.as_str().cmp(name)), attribute.value.to_text()) {
            (Ok(at), Some(value)) => self.attributes[at].1 = value.into_owned(),
            (Ok(at), None) => drop(self.attributes.remove(at)),
            (Err(at), Some(value)) => self.attributes.insert(at, (name.to_owned(), value.into_owned())),
            (Err(_), None) => {}
        }
    }
}

/// The columns of the shared key, `date` to `operation`.
#[derive(Debug)]
pub(super) struct KeyColumns {
    rows: usize,
    time: TimeColumns,
    texts: [DictionaryColumn; 5],
    cohort_attributes: MapColumn,
    operation: DictionaryColumn,
}

impl KeyColumns {
    pub(super) fn new() -> Self {
        Self {
            rows: 0,
            time: TimeColumns::default(),
            texts: std::array::from_fn(|_| DictionaryColumn::new()),
            cohort_attributes: MapColumn::new(),
            operation: DictionaryColumn::new(),
        }
    }

    /// Adds a row and answers its place.
    pub(super) fn append(&mut self, bucket: UnixNanos, cohort: &Cohort, operation: &str) -> usize {
        let row = self.rows;
        self.time.push(bucket);
        let texts = [
            Some(cohort.service_name.as_str()),
            cohort.service_namespace.as_deref(),
            cohort.service_version.as_deref(),
            cohort.deployment_environment_name.as_deref(),
            cohort.service_instance_id.as_deref(),
        ];
        for (column, text) in self.texts.iter_mut().zip(texts) {
            if let Some(text) = text {
                column.set(row, text.as_bytes());
            }
        }
        for (key, value) in &cohort.attributes {
            self.cohort_attributes.push(key.as_bytes(), Some(value.as_bytes()));
        }
        self.cohort_attributes.end_row(row);
        self.operation.set(row, operation.as_bytes());
        self.rows += 1;
        row
    }

    /// The columns so far, and the seal for those that follow.
    pub(super) fn finish(mut self) -> (Columns, Seal) {
        let seal = Seal::new(self.rows);
        let mut columns = Columns::new();
        self.time.finish_into(&mut columns);
        for column in &mut self.texts {
            columns.push(column.finish(&seal));
        }
        columns.push(self.cohort_attributes.finish(&seal));
        columns.push(self.operation.finish(&seal));
        (columns, seal)
    }
}
