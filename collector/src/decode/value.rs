//! Attributes and their values, seen in place; and a value as text: a string as it is, anything else as JSON (bytes as a base64 string, `NaN`
//! as a string).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use super::wire::{Fields, Irregular, fixed64, length, once, once_text, varint};
use crate::base64;

/// Values may nest this deeply; `prost` stops a little earlier.
const DEPTH_MAX: usize = 128;

/// Up to here duplicate keys are found by comparing all pairs, which costs no memory.
const FEW: usize = 24;

/// An `AnyValue`. Text is UTF-8 once it has been checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Empty,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// The message behind it.
    Array(&'a [u8]),
    /// The message behind it.
    Map(&'a [u8]),
    /// A string by its place in a dictionary, which the signals kept here do not have.
    StringIndex(i32),
}

/// A `KeyValue`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Attribute<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Value<'a>,
}

impl<'a> Attribute<'a> {
    /// Adds what a message says to a list. Of those that say nothing one in a row is kept: they are two bytes here, and forty there.
    #[inline]
    pub(super) fn add_to(list: &mut Vec<Self>, message: &'a [u8]) -> Result<(), Irregular> {
        let attribute = Self::parse(message)?;
        let says_nothing = attribute.key.is_empty() && attribute.value == Value::Empty;
        if !(says_nothing && list.last() == Some(&attribute)) {
            list.push(attribute);
        }
        Ok(())
    }

    /// What a message says is good.
    #[inline]
    fn check_message(message: &'a [u8]) -> Result<(), Irregular> {
        let attribute = Self::parse(message)?;
        // Tags and lengths below 128 are ASCII too, so one look says it of key and text.
        if message.is_ascii() && matches!(attribute.value, Value::Text(_)) { Ok(()) } else { attribute.check() }
    }
}

/// What becomes of the attributes of records as they are read, one record after the other.
pub(crate) trait TakeAttributes<'a> {
    /// A new record begins.
    fn begin(&mut self);

    /// Takes the message of one attribute.
    ///
    /// # Errors
    /// When it cannot be read.
    fn take(&mut self, message: &'a [u8]) -> Result<(), Irregular>;
}

/// Those of the record at hand.
impl<'a> TakeAttributes<'a> for Vec<Attribute<'a>> {
    #[inline]
    fn begin(&mut self) {
        self.clear();
    }

    #[inline]
    fn take(&mut self, message: &'a [u8]) -> Result<(), Irregular> {
        Attribute::add_to(self, message)
    }
}

/// Keeps none, and finds out whether they are good.
#[derive(Debug, Default)]
pub(crate) struct CheckAttributes;

impl<'a> TakeAttributes<'a> for CheckAttributes {
    #[inline]
    fn begin(&mut self) {}

    #[inline]
    fn take(&mut self, message: &'a [u8]) -> Result<(), Irregular> {
        Attribute::check_message(message)
    }
}

impl<'a> Value<'a> {
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Irregular> {
        let mut fields = Fields::of(bytes);
        let Some(tag) = fields.tag()? else { return Ok(Self::Empty) };
        const TEXT: u64 = length(1);
        const BOOL: u64 = varint(2);
        const INT: u64 = varint(3);
        const DOUBLE: u64 = fixed64(4);
        const ARRAY: u64 = length(5);
        const MAP: u64 = length(6);
        const BYTES: u64 = length(7);
        const STRING_INDEX: u64 = varint(8);
        let value = match tag {
            TEXT => Self::Text(fields.bytes()?),
            INT => Self::Int(fields.varint()?.cast_signed()),
            BOOL => Self::Bool(fields.boolean()?),
            DOUBLE => Self::Double(fields.double()?),
            ARRAY => Self::Array(fields.bytes()?),
            MAP => Self::Map(fields.bytes()?),
            BYTES => Self::Bytes(fields.bytes()?),
            STRING_INDEX => Self::StringIndex(fields.int32()?),
            _ => return Err(Irregular),
        };
        // More than one value, or unknown fields: for the full decoder.
        if fields.tag()?.is_some() { Err(Irregular) } else { Ok(value) }
    }

    /// The value as the tables have it, `None` for an empty one. The value has been checked.
    pub(crate) fn to_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Empty => None,
            Self::Text(text) => Some(Cow::Borrowed(as_text(text))),
            Self::Bool(_) | Self::Int(_) | Self::Double(_) | Self::Bytes(_) | Self::Array(_) | Self::Map(_) | Self::StringIndex(_) => {
                let mut json = String::new();
                self.write_json(&mut json);
                Some(Cow::Owned(json))
            }
        }
    }

    /// What `body_type` says of a value, `None` for an empty one.
    pub(crate) fn type_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Empty => return None,
            Self::Text(_) => "string",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::StringIndex(_) => "int",
            Self::Double(_) => "double",
            Self::Bytes(_) => "bytes",
            Self::Array(_) => "array",
            Self::Map(_) => "kvlist",
        })
    }

    /// Appends the value as JSON; what has not been checked and cannot be read becomes `null`.
    pub(crate) fn write_json(self, out: &mut String) {
        match self {
            Self::Empty => out.push_str("null"),
            Self::Text(text) => write_string(as_text(text), out),
            Self::Bool(flag) => out.push_str(if flag { "true" } else { "false" }),
            Self::Int(number) => out.push_str(itoa::Buffer::new().format(number)),
            Self::StringIndex(index) => out.push_str(itoa::Buffer::new().format(index)),
            Self::Double(number) => write_double(number, out),
            Self::Bytes(bytes) => write_string(&base64::encode(bytes), out),
            Self::Array(message) => {
                let items = items(message).map(|item| item.and_then(Value::parse).unwrap_or(Value::Empty));
                write_between(('[', ']'), items, out, Value::write_json);
            }
            Self::Map(message) => {
                let members: Vec<Attribute<'_>> = items(message).filter_map(|item| item.and_then(Attribute::parse).ok()).collect();
                write_between(('{', '}'), last_of_each_key(&members), out, |member, out| {
                    write_string(as_text(member.key), out);
                    out.push(':');
                    member.value.write_json(out);
                });
            }
        }
    }

    /// Whether all text in it is UTF-8 and all messages in it can be read.
    #[inline]
    pub(crate) fn check(self) -> Result<(), Irregular> {
        match self {
            Self::Text(text) => check_text(text),
            Self::Array(_) | Self::Map(_) => self.check_nested(0),
            Self::Empty | Self::Bool(_) | Self::Int(_) | Self::Double(_) | Self::Bytes(_) | Self::StringIndex(_) => Ok(()),
        }
    }

    fn check_nested(self, depth: usize) -> Result<(), Irregular> {
        if depth > DEPTH_MAX {
            return Err(Irregular);
        }
        match self {
            Self::Text(text) => check_text(text),
            Self::Array(message) => items(message).try_for_each(|item| Value::parse(item?)?.check_nested(depth + 1)),
            Self::Map(message) => items(message).try_for_each(|item| {
                let member = Attribute::parse(item?)?;
                check_text(member.key)?;
                member.value.check_nested(depth + 1)
            }),
            Self::Empty | Self::Bool(_) | Self::Int(_) | Self::Double(_) | Self::Bytes(_) | Self::StringIndex(_) => Ok(()),
        }
    }
}

impl<'a> Attribute<'a> {
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Irregular> {
        match Self::parse_usual(bytes) {
            Some(attribute) => Ok(attribute),
            None => Self::parse_any(bytes),
        }
    }

    /// As encoders write nearly all of them: a short key, then a short text or a number.
    #[inline]
    fn parse_usual(bytes: &'a [u8]) -> Option<Self> {
        const KEY: u8 = length(1).to_le_bytes()[0];
        const VALUE: u8 = length(2).to_le_bytes()[0];
        const TEXT: u8 = length(1).to_le_bytes()[0];
        const INT: u8 = varint(3).to_le_bytes()[0];
        const ONE_BYTE: u8 = 0x80;
        let [KEY, key_length @ ..ONE_BYTE, rest @ ..] = bytes else { return None };
        let (key, rest) = rest.split_at_checked(usize::from(*key_length))?;
        let [VALUE, value_length @ ..ONE_BYTE, tag, value @ ..] = rest else { return None };
        if usize::from(*value_length) != value.len() + 1 {
            return None;
        }
        let value = match (*tag, value) {
            (TEXT, [text_length, text @ ..]) if usize::from(*text_length) == text.len() => Value::Text(text),
            (INT, number) => Value::Int(Fields::of(number).only_varint()?.cast_signed()),
            _ => return None,
        };
        Some(Self { key, value })
    }

    fn parse_any(bytes: &'a [u8]) -> Result<Self, Irregular> {
        const KEY: u64 = length(1);
        const VALUE: u64 = length(2);
        const KEY_INDEX: u64 = varint(3);
        let mut fields = Fields::of(bytes);
        let (mut key, mut value): (&[u8], _) = (&[], None);
        while let Some(tag) = fields.tag()? {
            match tag {
                KEY => once_text(&mut key, fields.bytes()?)?,
                VALUE => once(&mut value, Value::parse(fields.bytes()?)?)?,
                KEY_INDEX => drop(fields.int32()?), // no dictionary here that it could point into
                _ => fields.skip_unknown(tag, 3)?,
            }
        }
        Ok(Self { key, value: value.unwrap_or(Value::Empty) })
    }

    #[inline]
    pub(crate) fn check(&self) -> Result<(), Irregular> {
        check_text(self.key)?;
        self.value.check()
    }
}

/// All attributes of a list are good.
#[inline]
pub(crate) fn check_all(attributes: &[Attribute<'_>]) -> Result<(), Irregular> {
    attributes.iter().try_for_each(Attribute::check)
}

#[inline]
pub(crate) fn check_text(text: &[u8]) -> Result<(), Irregular> {
    // Most text is short and ASCII, which is found out faster than where characters of several bytes end.
    if text.is_ascii() || std::str::from_utf8(text).is_ok() { Ok(()) } else { Err(Irregular) }
}

/// Text of a request that has been checked.
pub(crate) fn as_text(checked: &[u8]) -> &str {
    std::str::from_utf8(checked).unwrap_or_default()
}

/// The messages in field 1 of an `ArrayValue` or a `KeyValueList`.
fn items(message: &[u8]) -> impl Iterator<Item = Result<&[u8], Irregular>> {
    let mut fields = Fields::of(message);
    std::iter::from_fn(move || match fields.tag() {
        Ok(None) => None,
        Ok(Some(tag)) if tag == length(1) => Some(fields.bytes()),
        Ok(Some(_)) | Err(Irregular) => {
            fields = Fields::of(&[]);
            Some(Err(Irregular))
        }
    })
}

/// The attributes without those whose key comes again further on, in linear time.
pub(crate) fn last_of_each_key<'s, 'a>(attributes: &'s [Attribute<'a>]) -> impl Iterator<Item = Attribute<'a>> + use<'s, 'a> {
    let superseded = superseded(attributes);
    attributes.iter().enumerate().filter(move |(index, _)| !superseded.contains(index)).map(|(_, attribute)| *attribute)
}

fn superseded(attributes: &[Attribute<'_>]) -> HashSet<usize> {
    if attributes.len() <= FEW {
        let again = |index: usize| attributes[index + 1..].iter().any(|later| later.key == attributes[index].key);
        return (0..attributes.len()).filter(|index| again(*index)).collect();
    }
    let mut seen = HashSet::with_capacity(attributes.len());
    (0..attributes.len()).rev().filter(|index| !seen.insert(attributes[*index].key)).collect()
}

fn write_between<T>((open, close): (char, char), items: impl Iterator<Item = T>, out: &mut String, write: impl Fn(T, &mut String)) {
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

fn write_string(text: &str, out: &mut String) {
    let _ = write!(out, "{}", serde_json::Value::from(text)); // writing to a string cannot fail
}

/// JSON has no `NaN` and no infinities; OTLP writes them as strings.
fn write_double(number: f64, out: &mut String) {
    if number.is_finite() {
        let _ = write!(out, "{}", serde_json::Value::from(number)); // writing to a string cannot fail
    } else if number.is_nan() {
        out.push_str("\"NaN\"");
    } else {
        out.push_str(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
}
