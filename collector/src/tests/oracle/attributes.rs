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
        (AttributeType::Text | AttributeType::FreeText, Value::StringValue(text)) => Some((ColumnValue::Text(Cow::Borrowed(text)), true)),
        (AttributeType::Text | AttributeType::FreeText, _) => text_of(value).map(|text| (ColumnValue::Text(text), false)),
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
