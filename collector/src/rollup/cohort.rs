//! What a row of `red` or `errors` is counted under: the service and all that tells one cohort of its instances from another.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use haldane_store::UnixNanos;
use haldane_store::schema::UNKNOWN_SERVICE;
use opentelemetry_proto::tonic::common::v1::KeyValue;

use crate::decode::{MapColumn, RESOURCE_PLACES, ResourceView, TimeColumns, text_of};

/// Which attributes tell cohorts apart, besides the columns that `red` always has.
#[derive(Debug, Clone)]
pub(crate) struct CohortKeys {
    resource: HashSet<String>,
    record: Vec<String>,
}

impl CohortKeys {
    pub(crate) fn new(resource: &[String], record: &[String]) -> Self {
        Self { resource: resource.iter().cloned().collect(), record: record.to_vec() }
    }
}

/// The key that `red` and `errors` share, without bucket and operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    pub(super) fn of(resource: &ResourceView<'_>, keys: &CohortKeys) -> Self {
        let places = &*RESOURCE_PLACES;
        let text = |place| resource.attributes.text(place).filter(|text| !text.is_empty()).map(str::to_owned);
        let mut cohort = Self {
            service_name: text(places.service_name).unwrap_or_else(|| UNKNOWN_SERVICE.to_owned()),
            service_namespace: text(places.service_namespace),
            service_version: text(places.service_version),
            deployment_environment_name: text(places.deployment_environment_name),
            service_instance_id: text(places.service_instance_id).or_else(|| text(places.k8s_pod_name)).or_else(|| text(places.host_name)),
            attributes: Vec::new(),
        };
        for attribute in resource.received {
            if keys.resource.contains(&attribute.key) {
                cohort.put(attribute);
            }
        }
        cohort
    }

    /// This cohort, told apart further by what the record itself says, such as the variant of a feature flag.
    pub(super) fn with_record(self: &Arc<Self>, attributes: &[KeyValue], keys: &CohortKeys) -> Arc<Self> {
        let mut own = attributes.iter().filter(|attribute| keys.record.contains(&attribute.key)).peekable();
        if own.peek().is_none() {
            return self.clone();
        }
        let mut cohort = Self::clone(self);
        own.for_each(|attribute| cohort.put(attribute));
        Arc::new(cohort)
    }

    /// The last value of a key stays, as in the raw tables; an empty one is none.
    fn put(&mut self, attribute: &KeyValue) {
        let value = attribute.value.as_ref().and_then(text_of);
        match (self.attributes.binary_search_by(|(key, _)| key.as_str().cmp(&attribute.key)), value) {
            (Ok(at), Some(value)) => self.attributes[at].1 = value.into_owned(),
            (Ok(at), None) => drop(self.attributes.remove(at)),
            (Err(at), Some(value)) => self.attributes.insert(at, (attribute.key.clone(), value.into_owned())),
            (Err(_), None) => {}
        }
    }
}

/// The columns of the shared key, `date` to `operation`.
#[derive(Debug)]
pub(super) struct KeyColumns {
    time: TimeColumns,
    texts: [StringBuilder; 5],
    cohort_attributes: MapColumn,
    operation: StringBuilder,
}

impl KeyColumns {
    pub(super) fn new() -> Self {
        Self {
            time: TimeColumns::default(),
            texts: Default::default(),
            cohort_attributes: MapColumn::new(),
            operation: StringBuilder::new(),
        }
    }

    pub(super) fn append(&mut self, bucket: UnixNanos, cohort: &Cohort, operation: &str) {
        self.time.append(bucket);
        let texts = [
            Some(cohort.service_name.as_str()),
            cohort.service_namespace.as_deref(),
            cohort.service_version.as_deref(),
            cohort.deployment_environment_name.as_deref(),
            cohort.service_instance_id.as_deref(),
        ];
        for (column, text) in self.texts.iter_mut().zip(texts) {
            column.append_option(text);
        }
        self.cohort_attributes.append_pairs(cohort.attributes.iter().map(|(key, value)| (key.as_str(), Some(value.as_str()))));
        self.operation.append_value(operation);
    }

    pub(super) fn finish_into(mut self, columns: &mut Vec<ArrayRef>) {
        self.time.finish_into(columns);
        columns.extend(self.texts.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.push(self.cohort_attributes.finish());
        columns.push(Arc::new(self.operation.finish()));
    }
}
