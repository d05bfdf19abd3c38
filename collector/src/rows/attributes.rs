//! Which attributes move into a column of their own, and what stays in the map.
//!
//! Always holds: a key is in a map once (the last one of a record wins), and no attribute is lost: it is in its column, in the map, or in both.

use std::collections::HashMap;
use std::sync::LazyLock;

use ahash::RandomState;
use haldane_store::schema::{AttributeColumn, AttributeType, RESOURCE_COLUMNS, SPAN_AND_LOG_COLUMNS};
use hashbrown::HashTable;

use super::columns::{Columns, DictionaryColumn, IntegerColumn, MapColumn, PlainColumn, Seal};
use crate::decode::value::{Attribute, Value, as_text, last_of_each_key};
use crate::text::same;

/// Keys that are remembered; past this all are forgotten and learnt again.
const KEYS_MAX: usize = 4_096;
/// The same once they have so many bytes.
const KEY_BYTES_MAX: usize = 1 << 20;

/// A column for an attribute.
#[derive(Debug)]
enum PromotedColumn {
    Text(DictionaryColumn),
    FreeText(PlainColumn),
    Integer(IntegerColumn),
}

/// One column for each attribute of a list.
#[derive(Debug)]
pub(crate) struct PromotedColumns(Vec<PromotedColumn>);

/// A value in the type of a column, and whether that says all that the value says.
#[derive(Debug, PartialEq)]
pub(crate) enum Converted<'a> {
    Text(&'a [u8]),
    Json,
    Integer(i64),
}

impl PromotedColumns {
    pub(crate) fn new(attributes: &[AttributeColumn]) -> Self {
        let column = |attribute: &AttributeColumn| match attribute.kind {
            AttributeType::Text => PromotedColumn::Text(DictionaryColumn::new()),
            AttributeType::FreeText => PromotedColumn::FreeText(PlainColumn::new()),
            AttributeType::Integer => PromotedColumn::Integer(IntegerColumn::new()),
        };
        Self(attributes.iter().map(column).collect())
    }

    pub(crate) fn finish_into(&mut self, columns: &mut Columns, seal: &Seal) {
        for column in &mut self.0 {
            columns.push(match column {
                PromotedColumn::Text(column) => column.finish(seal),
                PromotedColumn::FreeText(column) => column.finish(seal),
                PromotedColumn::Integer(column) => column.finish(seal),
            });
        }
    }

    /// The text that a row has in a column; `None` also for a column of numbers.
    pub(crate) fn text_at(&self, column: usize, row: usize) -> Option<&[u8]> {
        match &self.0[column] {
            PromotedColumn::Text(column) => column.text_at(row),
            PromotedColumn::FreeText(column) => column.text_at(row),
            PromotedColumn::Integer(_) => None,
        }
    }

    /// The number that a row has in a column; `None` also for a column of text.
    pub(crate) fn number_at(&self, column: usize, row: usize) -> Option<i64> {
        match &self.0[column] {
            PromotedColumn::Integer(column) => column.number_at(row),
            PromotedColumn::Text(_) | PromotedColumn::FreeText(_) => None,
        }
    }

    /// Sets a value that is of the column's type, as most are; whether it was.
    #[inline]
    fn set_exactly(&mut self, column: usize, row: usize, value: Value<'_>) -> bool {
        match (&mut self.0[column], value) {
            (PromotedColumn::Text(column), Value::Text(text)) => column.set(row, text),
            (PromotedColumn::FreeText(column), Value::Text(text)) => column.set(row, text),
            (PromotedColumn::Integer(column), Value::Int(number)) => column.set(row, number),
            _ => return false,
        }
        true
    }

    fn set(&mut self, column: usize, row: usize, value: &Converted<'_>, json: &str) {
        match (&mut self.0[column], value) {
            (PromotedColumn::Text(column), Converted::Text(text)) => column.set(row, text),
            (PromotedColumn::Text(column), Converted::Json) => column.set(row, json.as_bytes()),
            (PromotedColumn::FreeText(column), Converted::Text(text)) => column.set(row, text),
            (PromotedColumn::FreeText(column), Converted::Json) => column.set(row, json.as_bytes()),
            (PromotedColumn::Integer(column), Converted::Integer(number)) => column.set(row, *number),
            (PromotedColumn::Text(_) | PromotedColumn::FreeText(_), Converted::Integer(_))
            | (PromotedColumn::Integer(_), Converted::Text(_) | Converted::Json) => {}
        }
    }

    /// Gives as many rows from `row` on the same value.
    pub(crate) fn set_run(&mut self, column: usize, rows: std::ops::Range<usize>, value: &ColumnValue) {
        match (&mut self.0[column], value) {
            (PromotedColumn::Text(column), ColumnValue::Text(text)) => column.set_run(rows.start, text.as_bytes(), rows.len()),
            (PromotedColumn::FreeText(column), ColumnValue::Text(text)) => rows.for_each(|row| column.set(row, text.as_bytes())),
            (PromotedColumn::Integer(column), ColumnValue::Integer(number)) => column.set_run(rows.start, *number, rows.len()),
            (PromotedColumn::Text(_) | PromotedColumn::FreeText(_), ColumnValue::Integer(_))
            | (PromotedColumn::Integer(_), ColumnValue::Text(_)) => {}
        }
    }
}

/// What stands in a promoted column of a resource, kept for all its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnValue {
    Text(String),
    Integer(i64),
}

/// The value in the type of a column, and whether that says all that the value says. Text that is not a string is appended to `json`.
#[inline]
fn convert<'a>(value: Value<'a>, kind: AttributeType, json: &mut String) -> Option<(Converted<'a>, bool)> {
    match (kind, value) {
        (_, Value::Empty) => None,
        (AttributeType::Text | AttributeType::FreeText, Value::Text(text)) => Some((Converted::Text(text), true)),
        (AttributeType::Text | AttributeType::FreeText, _) => {
            json.clear();
            value.write_json(json);
            Some((Converted::Json, false))
        }
        (AttributeType::Integer, Value::Int(number)) => Some((Converted::Integer(number), true)),
        (AttributeType::Integer, Value::Text(text)) => as_text(text).trim().parse().ok().map(|number| (Converted::Integer(number), false)),
        (AttributeType::Integer, Value::Double(number)) => whole(number).map(|number| (Converted::Integer(number), false)),
        (AttributeType::Integer, _) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and far within an i64")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
}

/// Where an attribute goes by its key: the column, and how good the name is (0 is the present one).
#[derive(Debug, Clone, Copy)]
struct Place {
    column: usize,
    rank: usize,
}

static RESOURCE: LazyLock<HashMap<&'static [u8], Place>> = LazyLock::new(|| places(RESOURCE_COLUMNS));
static RECORD: LazyLock<HashMap<&'static [u8], Place>> = LazyLock::new(|| places(SPAN_AND_LOG_COLUMNS));

fn places(columns: &'static [AttributeColumn]) -> HashMap<&'static [u8], Place> {
    let mut places = HashMap::new();
    for (column, attribute) in columns.iter().enumerate() {
        places.insert(attribute.key.as_bytes(), Place { column, rank: 0 });
        for (age, alias) in attribute.aliases.iter().enumerate() {
            places.entry(alias.as_bytes()).or_insert(Place { column, rank: age + 1 });
        }
    }
    places
}

/// A resource's attributes by where they go.
#[derive(Debug, Default)]
pub(crate) struct ResourceAttributes {
    /// By the place of the column in its list.
    pub(crate) columns: Vec<Option<ColumnValue>>,
    /// What stays in the map.
    pub(crate) rest: Vec<(String, Option<String>)>,
}

impl ResourceAttributes {
    pub(crate) fn of(attributes: &[Attribute<'_>]) -> Self {
        let mut found = Self { columns: vec![None; RESOURCE_COLUMNS.len()], rest: Vec::new() };
        let mut ranks = vec![usize::MAX; RESOURCE_COLUMNS.len()];
        let mut json = String::new();
        for attribute in last_of_each_key(attributes) {
            let mut moved = false;
            if let Some(&Place { column, rank }) = RESOURCE.get(attribute.key)
                && let Some((value, exact)) = convert(attribute.value, RESOURCE_COLUMNS[column].kind, &mut json)
            {
                moved = rank == 0 && exact;
                if rank < ranks[column] {
                    ranks[column] = rank;
                    found.columns[column] = Some(match value {
                        Converted::Text(text) => ColumnValue::Text(as_text(text).to_owned()),
                        Converted::Json => ColumnValue::Text(json.clone()),
                        Converted::Integer(number) => ColumnValue::Integer(number),
                    });
                }
            }
            if !moved {
                found.rest.push(entry(attribute));
            }
        }
        found
    }

    pub(crate) fn text(&self, column: usize) -> Option<&str> {
        match self.columns.get(column)? {
            Some(ColumnValue::Text(text)) => Some(text),
            Some(ColumnValue::Integer(_)) | None => None,
        }
    }
}

fn entry(attribute: Attribute<'_>) -> (String, Option<String>) {
    (as_text(attribute.key).to_owned(), attribute.value.to_text().map(std::borrow::Cow::into_owned))
}

/// All attributes as map entries, for the places that have no columns of their own.
pub(crate) fn push_all(map: &mut MapColumn, attributes: &[Attribute<'_>]) {
    for attribute in last_of_each_key(attributes) {
        map.push(attribute.key, attribute.value.to_text().as_deref().map(str::as_bytes));
    }
}

/// A key that has been seen.
#[derive(Debug)]
struct Key {
    bytes: Box<[u8]>,
    place: Option<Place>,
    /// The last record that had it.
    record: u64,
}

/// The attributes of spans, log records and points: their columns and their map.
#[derive(Debug)]
pub(crate) struct RecordAttributes {
    pub(crate) promoted: PromotedColumns,
    pub(crate) rest: MapColumn,
    index: HashTable<u32>,
    hasher: RandomState,
    keys: Vec<Key>,
    key_bytes: usize,
    /// By position in a record: the key that stood there last. Records of one source have the same keys in the same order.
    guesses: Vec<u32>,
    /// Of the record at hand, by position.
    resolved: Vec<u32>,
    /// By column: the last record that set it, and how good the name was.
    ranks: Vec<(u64, usize)>,
    record: u64,
    json: String,
}

impl RecordAttributes {
    pub(crate) fn new() -> Self {
        Self {
            promoted: PromotedColumns::new(SPAN_AND_LOG_COLUMNS),
            rest: MapColumn::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            keys: Vec::new(),
            key_bytes: 0,
            guesses: Vec::new(),
            resolved: Vec::new(),
            ranks: vec![(0, 0); SPAN_AND_LOG_COLUMNS.len()],
            record: 0,
            json: String::new(),
        }
    }

    /// Gives a row the attributes of its record.
    pub(crate) fn set(&mut self, row: usize, attributes: &[Attribute<'_>]) {
        self.record += 1;
        if self.keys.len() > KEYS_MAX || self.key_bytes > KEY_BYTES_MAX {
            self.forget();
        }
        self.resolved.clear();
        let mut again = false;
        for (position, attribute) in attributes.iter().enumerate() {
            let key = self.resolve(position, attribute.key);
            let seen = &mut self.keys[key as usize].record;
            again |= *seen == self.record;
            *seen = self.record;
            self.resolved.push(key);
        }
        if again {
            let kept: Vec<Attribute<'_>> = last_of_each_key(attributes).collect();
            self.resolved = kept.iter().map(|attribute| self.resolve(usize::MAX, attribute.key)).collect();
            self.place(row, &kept);
        } else {
            self.place(row, attributes);
        }
    }

    /// Puts attributes whose keys differ, and are resolved, where they belong.
    fn place(&mut self, row: usize, attributes: &[Attribute<'_>]) {
        for (attribute, key) in attributes.iter().zip(&self.resolved) {
            let place = self.keys[*key as usize].place;
            if let Some(Place { column, rank: 0 }) = place
                && self.promoted.set_exactly(column, row, attribute.value)
            {
                self.ranks[column] = (self.record, 0);
                continue;
            }
            let mut moved = false;
            if let Some(Place { column, rank }) = place
                && let Some((value, exact)) = convert(attribute.value, SPAN_AND_LOG_COLUMNS[column].kind, &mut self.json)
            {
                moved = rank == 0 && exact;
                let (record, best) = &mut self.ranks[column];
                if *record != self.record || rank < *best {
                    (*record, *best) = (self.record, rank);
                    self.promoted.set(column, row, &value, &self.json);
                }
            }
            if !moved {
                push_rest(&mut self.rest, attribute, &mut self.json);
            }
        }
        self.rest.end_row(row);
    }

    #[inline]
    fn resolve(&mut self, position: usize, key: &[u8]) -> u32 {
        if let Some(guess) = self.guesses.get(position).copied()
            && self.keys.get(guess as usize).is_some_and(|known| same(&known.bytes, key))
        {
            return guess;
        }
        self.look_up(position, key)
    }

    fn look_up(&mut self, position: usize, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        let keys = &self.keys;
        let number = match self.index.find(hash, |number| same(&keys[*number as usize].bytes, key)) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.keys.len()).expect("forgotten long before there are 2^32 keys");
                self.key_bytes += key.len();
                self.keys.push(Key { bytes: key.into(), place: RECORD.get(key).copied(), record: 0 });
                let (keys, hasher) = (&self.keys, &self.hasher);
                self.index.insert_unique(hash, number, |number| hasher.hash_one(&*keys[*number as usize].bytes));
                number
            }
        };
        if position < GUESSES_MAX {
            if self.guesses.len() <= position {
                self.guesses.resize(position + 1, u32::MAX);
            }
            self.guesses[position] = number;
        }
        number
    }

    fn forget(&mut self) {
        self.keys = Vec::new();
        self.key_bytes = 0;
        self.index.clear();
        self.guesses.clear();
    }
}

/// Positions for which a key is guessed.
const GUESSES_MAX: usize = 256;

#[inline]
fn push_rest(rest: &mut MapColumn, attribute: &Attribute<'_>, json: &mut String) {
    match attribute.value {
        Value::Text(text) => rest.push(attribute.key, Some(text)),
        Value::Empty => rest.push(attribute.key, None),
        Value::Int(number) => rest.push(attribute.key, Some(itoa::Buffer::new().format(number).as_bytes())),
        Value::Bool(_) | Value::Double(_) | Value::Bytes(_) | Value::Array(_) | Value::Map(_) | Value::StringIndex(_) => {
            json.clear();
            attribute.value.write_json(json);
            rest.push(attribute.key, Some(json.as_bytes()));
        }
    }
}

/// The places of the record columns that the roll-ups read.
#[derive(Debug)]
pub(crate) struct RecordColumns {
    pub(crate) http_request_method: usize,
    pub(crate) http_route: usize,
    pub(crate) http_response_status_code: usize,
    pub(crate) peer_service: usize,
    pub(crate) server_address: usize,
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
        peer_service: at("peer_service"),
        server_address: at("server_address"),
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
