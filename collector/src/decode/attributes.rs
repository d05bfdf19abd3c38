//! Which attributes move into a column of their own, and what stays in the map.
//!
//! Always holds: a key is in a map once (the last one of a record wins), and no attribute is lost: it is in its column, in the map, or in both.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use haldane_store::schema::{AttributeColumn, AttributeType, RESOURCE_COLUMNS, SPAN_AND_LOG_COLUMNS};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use super::value::text_of;

/// Up to here duplicate keys are found by comparing all pairs, which costs no memory.
const FEW: usize = 24;

/// What stands in a promoted column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnValue<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
}

/// The attributes of one resource or record.
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a> {
    /// By the place of the column in its list.
    pub(crate) columns: Vec<Option<ColumnValue<'a>>>,
    /// What stays in the map.
    pub(crate) rest: Entries<'a>,
}

/// The entries of a map.
pub(crate) type Entries<'a> = Vec<(&'a str, Option<Cow<'a, str>>)>;

impl<'a> Attributes<'a> {
    pub(crate) fn of_resource(attributes: &'a [KeyValue]) -> Self {
        Self::split(&RESOURCE, attributes)
    }

    pub(crate) fn of_record(attributes: &'a [KeyValue]) -> Self {
        Self::split(&RECORD, attributes)
    }

    fn split(lookup: &Lookup, attributes: &'a [KeyValue]) -> Self {
        let mut columns: Vec<Option<ColumnValue<'a>>> = vec![None; lookup.columns.len()];
        let mut ranks = vec![usize::MAX; lookup.columns.len()];
        let mut rest = Vec::with_capacity(attributes.len());
        for attribute in last_of_each_key(attributes) {
            let mut moved = false;
            if let Some(&(column, rank)) = lookup.places.get(attribute.key.as_str())
                && let Some((value, exact)) = attribute.value.as_ref().and_then(|value| convert(value, lookup.columns[column].kind))
            {
                moved = rank == 0 && exact;
                if rank < ranks[column] {
                    ranks[column] = rank;
                    columns[column] = Some(value);
                }
            }
            if !moved {
                rest.push(entry(attribute));
            }
        }
        Self { columns, rest }
    }

    /// The text in a column; `None` also for a number.
    pub(crate) fn text(&self, column: usize) -> Option<&str> {
        match self.columns.get(column)? {
            Some(ColumnValue::Text(text)) => Some(text),
            Some(ColumnValue::Integer(_)) | None => None,
        }
    }

    /// The number in a column; `None` also for text.
    pub(crate) fn integer(&self, column: usize) -> Option<i64> {
        match self.columns.get(column)? {
            Some(ColumnValue::Integer(number)) => Some(*number),
            Some(ColumnValue::Text(_)) | None => None,
        }
    }
}

/// All attributes as map entries, for the places that have no columns of their own.
pub(crate) fn entries(attributes: &[KeyValue]) -> Entries<'_> {
    last_of_each_key(attributes).map(entry).collect()
}

fn entry(attribute: &KeyValue) -> (&str, Option<Cow<'_, str>>) {
    (attribute.key.as_str(), attribute.value.as_ref().and_then(text_of))
}

/// The attributes without those whose key comes again further on, in linear time.
pub(crate) fn last_of_each_key(attributes: &[KeyValue]) -> impl Iterator<Item = &KeyValue> {
    let superseded: HashSet<usize> = if attributes.len() <= FEW {
        let again = |index: usize| attributes[index + 1..].iter().any(|later| later.key == attributes[index].key);
        (0..attributes.len()).filter(|index| again(*index)).collect()
    } else {
        let mut seen = HashSet::with_capacity(attributes.len());
        (0..attributes.len()).rev().filter(|index| !seen.insert(attributes[*index].key.as_str())).collect()
    };
    attributes.iter().enumerate().filter(move |(index, _)| !superseded.contains(index)).map(|(_, attribute)| attribute)
}

/// The value for a column of this type, and whether that says all that the value says.
fn convert(value: &AnyValue, kind: AttributeType) -> Option<(ColumnValue<'_>, bool)> {
    match (kind, value.value.as_ref()?) {
        (AttributeType::Text, Value::StringValue(text)) => Some((ColumnValue::Text(Cow::Borrowed(text)), true)),
        (AttributeType::Text, _) => text_of(value).map(|text| (ColumnValue::Text(text), false)),
        (AttributeType::Integer, Value::IntValue(number)) => Some((ColumnValue::Integer(*number), true)),
        (AttributeType::Integer, Value::StringValue(text)) => text.trim().parse().ok().map(|number| (ColumnValue::Integer(number), false)),
        (AttributeType::Integer, Value::DoubleValue(number)) => whole(*number).map(|number| (ColumnValue::Integer(number), false)),
        (AttributeType::Integer, _) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and far within an i64")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
}

struct Lookup {
    columns: &'static [AttributeColumn],
    /// By key: the column, and how good the name is (0 is the present one).
    places: HashMap<&'static str, (usize, usize)>,
}

impl Lookup {
    fn new(columns: &'static [AttributeColumn]) -> Self {
        let mut places = HashMap::new();
        for (at, column) in columns.iter().enumerate() {
            places.insert(column.key, (at, 0));
            for (age, alias) in column.aliases.iter().enumerate() {
                places.entry(*alias).or_insert((at, age + 1));
            }
        }
        Self { columns, places }
    }
}

static RESOURCE: LazyLock<Lookup> = LazyLock::new(|| Lookup::new(RESOURCE_COLUMNS));
static RECORD: LazyLock<Lookup> = LazyLock::new(|| Lookup::new(SPAN_AND_LOG_COLUMNS));

/// The places of the record columns that the roll-ups read.
#[derive(Debug)]
pub(crate) struct RecordColumns {
    pub(crate) http_request_method: usize,
    pub(crate) http_route: usize,
    pub(crate) http_response_status_code: usize,
    pub(crate) error_type: usize,
    pub(crate) exception_type: usize,
    pub(crate) exception_message: usize,
}

/// The places of the resource columns that the roll-ups read.
#[derive(Debug)]
pub(crate) struct ResourceColumns {
    pub(crate) service_name: usize,
    pub(crate) service_namespace: usize,
    pub(crate) service_version: usize,
    pub(crate) service_instance_id: usize,
    pub(crate) deployment_environment_name: usize,
    pub(crate) host_name: usize,
    pub(crate) k8s_pod_name: usize,
}

pub(crate) static RECORD_COLUMNS: LazyLock<RecordColumns> = LazyLock::new(|| {
    let at = |name| place_of(SPAN_AND_LOG_COLUMNS, name);
    RecordColumns {
        http_request_method: at("http_request_method"),
        http_route: at("http_route"),
        http_response_status_code: at("http_response_status_code"),
        error_type: at("error_type"),
        exception_type: at("exception_type"),
        exception_message: at("exception_message"),
    }
});

pub(crate) static RESOURCE_PLACES: LazyLock<ResourceColumns> = LazyLock::new(|| {
    let at = |name| place_of(RESOURCE_COLUMNS, name);
    ResourceColumns {
        service_name: at("service_name"),
        service_namespace: at("service_namespace"),
        service_version: at("service_version"),
        service_instance_id: at("service_instance_id"),
        deployment_environment_name: at("deployment_environment_name"),
        host_name: at("host_name"),
        k8s_pod_name: at("k8s_pod_name"),
    }
});

fn place_of(columns: &[AttributeColumn], name: &str) -> usize {
    columns.iter().position(|column| column.column == name).expect("the schema has this column")
}
