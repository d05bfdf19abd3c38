//! Reading JSON values by key, with errors that name the place. Missing, `null` and a field's default are the same, as in proto3.

use std::fmt;
use std::mem::size_of;

use super::tape::Item;
use crate::{base64, hex};

/// A value of the wrong type, and where it stands.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{path} must be {expected}")]
pub(crate) struct ShapeError {
    /// Such as `resourceSpans[0].scopeSpans[1].spans[2].traceId`.
    path: String,
    /// What may stand there.
    expected: &'static str,
}

/// Where a value stands: a chain up to the root, on the stack, turned into text only for an error.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'p> {
    Root,
    Key(&'p Place<'p>, &'p str),
    Index(&'p Place<'p>, usize),
}

impl Place<'_> {
    pub(super) fn must_be(&self, expected: &'static str) -> ShapeError {
        ShapeError { path: self.to_string(), expected }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the body"),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The fields of an object; none when it is `null`. Fields that are not asked for are ignored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'v, 'p> {
    fields: Option<Item<'v>>,
    place: &'p Place<'p>,
}

impl<'v, 'p> Object<'v, 'p> {
    pub(super) fn open(value: Item<'v>, place: &'p Place<'p>) -> Result<Self, ShapeError> {
        match (value.is_object(), value.is_null()) {
            (true, _) => Ok(Self { fields: Some(value), place }),
            (_, true) => Ok(Self { fields: None, place }),
            (false, false) => Err(place.must_be("an object")),
        }
    }

    /// The value of a field, unless it is missing or `null`.
    fn get(&self, key: &str) -> Option<Item<'v>> {
        self.fields.and_then(|fields| fields.field(key)).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn read<T>(&self, key: &str, expected: &'static str, read: impl Fn(Item<'v>) -> Option<T>) -> Result<Option<T>, ShapeError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| Place::Key(self.place, key).must_be(expected))
    }

    pub(super) fn text(&self, key: &str) -> Result<String, ShapeError> {
        Ok(self.read(key, "a string", |value| value.text())?.unwrap_or_default().to_owned())
    }

    pub(super) fn boolean(&self, key: &str) -> Result<bool, ShapeError> {
        Ok(self.read(key, "true or false", |value| value.boolean())?.unwrap_or_default())
    }

    pub(super) fn double(&self, key: &str) -> Result<Option<f64>, ShapeError> {
        self.read(key, "a number, or \"NaN\", \"Infinity\" or \"-Infinity\"", double_of)
    }

    pub(super) fn u64(&self, key: &str) -> Result<u64, ShapeError> {
        Ok(self.read(key, "a whole number of 0 to 2^64 - 1, or that as a string", u64_of)?.unwrap_or_default())
    }

    pub(super) fn i64(&self, key: &str) -> Result<i64, ShapeError> {
        Ok(self.read(key, "a whole number of 64 bits, or that as a string", i64_of)?.unwrap_or_default())
    }

    /// A number, not a text, whose size no 64-bit integer has.
    pub(super) fn number_beyond_i64(&self, key: &str) -> Option<f64> {
        let number = self.get(key)?.number()?.as_f64()?;
        (!(-I64_END..I64_END).contains(&number)).then_some(number)
    }

    pub(super) fn u32(&self, key: &str) -> Result<u32, ShapeError> {
        let narrow = |value| u64_of(value).and_then(|wide| u32::try_from(wide).ok());
        Ok(self.read(key, "a whole number of 0 to 2^32 - 1", narrow)?.unwrap_or_default())
    }

    pub(super) fn i32(&self, key: &str) -> Result<i32, ShapeError> {
        Ok(self.read(key, "a whole number of 32 bits", i32_of)?.unwrap_or_default())
    }

    /// An enum by number; names are not valid OTLP, but harmless to take.
    pub(super) fn choice(&self, key: &str, by_name: impl Fn(&str) -> Option<i32>) -> Result<i32, ShapeError> {
        let number = |value: Item<'v>| i32_of(value).or_else(|| value.text().and_then(&by_name));
        Ok(self.read(key, "the number of an enum's value", number)?.unwrap_or_default())
    }

    pub(super) fn id(&self, key: &str) -> Result<Vec<u8>, ShapeError> {
        Ok(self.read(key, "an id in hex digits", |value| value.text().and_then(hex::decode))?.unwrap_or_default())
    }

    pub(super) fn bytes(&self, key: &str) -> Result<Vec<u8>, ShapeError> {
        Ok(self.read(key, "bytes in base64", |value| value.text().and_then(base64::decode))?.unwrap_or_default())
    }

    /// A nested object, `None` when it is missing.
    pub(super) fn child<T>(&self, key: &str, read: impl Fn(&Object<'v, '_>) -> Result<T, ShapeError>) -> Result<Option<T>, ShapeError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(&Object::open(value, &Place::Key(self.place, key))?).map(Some)
    }

    /// A list of objects.
    pub(super) fn list<T>(&self, key: &str, read: impl Fn(&Object<'v, '_>) -> Result<T, ShapeError>) -> Result<Vec<T>, ShapeError> {
        self.items(key, |value, place| read(&Object::open(value, place)?))
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>, ShapeError> {
        self.items(key, |value, place| value.text().map(str::to_owned).ok_or_else(|| place.must_be("a string")))
    }

    pub(super) fn doubles(&self, key: &str) -> Result<Vec<f64>, ShapeError> {
        self.items(key, |value, place| double_of(value).ok_or_else(|| place.must_be("a number")))
    }

    pub(super) fn counts(&self, key: &str) -> Result<Vec<u64>, ShapeError> {
        self.items(key, |value, place| u64_of(value).ok_or_else(|| place.must_be("a count")))
    }

    fn items<T>(&self, key: &str, read: impl Fn(Item<'v>, &Place<'_>) -> Result<T, ShapeError>) -> Result<Vec<T>, ShapeError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let place = Place::Key(self.place, key);
        let items = value.items().ok_or_else(|| place.must_be("a list"))?;
        let read_one = |(index, item): (usize, Item<'v>)| {
            if !item.has_room_for(size_of::<T>()) {
                return Err(place.must_be("shorter: what the body holds would take too much memory"));
            }
            read(item, &Place::Index(&place, index))
        };
        items.enumerate().map(read_one).collect()
    }
}

/// From 2^63 on an f64 no longer fits an i64; below -2^63 neither.
const I64_END: f64 = 9_223_372_036_854_775_808.0;

fn double_of(value: Item<'_>) -> Option<f64> {
    match value.text() {
        None => value.number()?.as_f64(),
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

fn u64_of(value: Item<'_>) -> Option<u64> {
    match value.text() {
        Some(text) => text.parse().ok(),
        None => value.number()?.as_u64().or_else(|| whole(value).and_then(|number| u64::try_from(number).ok())),
    }
}

fn i64_of(value: Item<'_>) -> Option<i64> {
    match value.text() {
        Some(text) => text.parse().ok(),
        None => value.number()?.as_i64().or_else(|| whole(value)),
    }
}

fn i32_of(value: Item<'_>) -> Option<i32> {
    i64_of(value).and_then(|wide| i32::try_from(wide).ok())
}

/// A number written as `5.0` or `1e3`.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
fn whole(value: Item<'_>) -> Option<i64> {
    let number = value.number()?.as_f64()?;
    (number.fract() == 0.0 && (-I64_END..I64_END).contains(&number)).then_some(number as i64)
}
