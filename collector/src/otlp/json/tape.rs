//! A JSON text as a flat list of its values, text in place: a tree of maps takes many times the memory of the text.

use std::cell::Cell;
use std::fmt;
use std::mem::size_of;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::request::objects_bytes_max;

/// The values of a JSON text, each container before what it holds; in objects, keys before their values.
#[derive(Debug)]
pub(super) struct Tape<'b> {
    entries: Vec<Entry<'b>>,
    /// The memory that what is read of it may still take.
    left: Cell<usize>,
}

#[derive(Debug)]
enum Entry<'b> {
    Null,
    Bool(bool),
    Number(Number),
    Text(&'b str),
    /// Text that was written with escapes.
    Unescaped(Box<str>),
    /// With the place behind its last value.
    Array(u32),
    Object(u32),
}

impl<'b> Tape<'b> {
    pub(super) fn parse(body: &'b [u8]) -> Result<Self, serde_json::Error> {
        // `{}` is two bytes and becomes a span of hundreds.
        let bytes_max = objects_bytes_max(body.len());
        let (mut entries, entries_max) = (Vec::new(), bytes_max / size_of::<Entry<'_>>());
        let mut text = serde_json::Deserializer::from_slice(body);
        Recorder { entries: &mut entries, entries_max }.deserialize(&mut text)?;
        text.end()?;
        let left = bytes_max.saturating_sub(entries.len() * size_of::<Entry<'_>>());
        Ok(Self { entries, left: Cell::new(left) })
    }

    /// A text that is `null`.
    pub(super) fn null() -> Self {
        Self { entries: vec![Entry::Null], left: Cell::new(0) }
    }

    pub(super) fn root(&self) -> Item<'_> {
        Item { tape: self, at: 0 }
    }
}

/// A value on a tape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'v> {
    tape: &'v Tape<'v>,
    at: usize,
}

impl<'v> Item<'v> {
    fn entry(&self) -> &'v Entry<'v> {
        &self.tape.entries[self.at]
    }

    /// The place behind it and all it holds.
    fn end(&self) -> usize {
        match self.entry() {
            Entry::Array(end) | Entry::Object(end) => *end as usize,
            Entry::Null | Entry::Bool(_) | Entry::Number(_) | Entry::Text(_) | Entry::Unescaped(_) => self.at + 1,
        }
    }

    /// Whether there is room for something of this size that is read of it.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        let left = self.tape.left.get().checked_sub(bytes);
        self.tape.left.set(left.unwrap_or(0));
        left.is_some()
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.entry(), Entry::Null)
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self.entry(), Entry::Object(_))
    }

    pub(super) fn text(&self) -> Option<&'v str> {
        if let Entry::Unescaped(text) = self.entry() {
            return Some(text);
        }
        if let Entry::Text(text) = self.entry() { Some(text) } else { None }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        if let Entry::Bool(value) = self.entry() { Some(*value) } else { None }
    }

    pub(super) fn number(&self) -> Option<&'v Number> {
        if let Entry::Number(number) = self.entry() { Some(number) } else { None }
    }

    /// The values of a list.
    pub(super) fn items(&self) -> Option<impl Iterator<Item = Item<'v>> + use<'v>> {
        matches!(self.entry(), Entry::Array(_)).then(|| self.children())
    }

    /// The value of a field; of the last one where there are several of that name.
    pub(super) fn field(&self, name: &str) -> Option<Item<'v>> {
        if !self.is_object() {
            return None;
        }
        let (mut children, mut found) = (self.children(), None);
        while let (Some(key), Some(value)) = (children.next(), children.next()) {
            if key.text() == Some(name) {
                found = Some(value);
            }
        }
        found
    }

    fn children(&self) -> impl Iterator<Item = Item<'v>> + use<'v> {
        let (tape, end) = (self.tape, self.end());
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            let child = Item { tape, at };
            (at < end).then(|| {
                at = child.end();
                child
            })
        })
    }
}

/// Writes a value down as it is read.
struct Recorder<'t, 'b> {
    entries: &'t mut Vec<Entry<'b>>,
    entries_max: usize,
}

impl<'b> Recorder<'_, 'b> {
    fn push<E: Error>(&mut self, entry: Entry<'b>) -> Result<(), E> {
        if self.entries.len() >= self.entries_max {
            return Err(E::custom("there are too many values"));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Where the next value will stand.
    fn next<E: Error>(&self) -> Result<u32, E> {
        u32::try_from(self.entries.len()).map_err(|_| E::custom("there are too many values"))
    }

    /// For a value inside of this one.
    fn inside(&mut self) -> Recorder<'_, 'b> {
        Recorder { entries: self.entries, entries_max: self.entries_max }
    }
}

impl<'b> DeserializeSeed<'b> for Recorder<'_, 'b> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'b>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for Recorder<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.push(Entry::Null)
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.push(Entry::Bool(value))
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        self.push(Entry::Number(number.into()))
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        self.push(Entry::Number(number.into()))
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        // JSON has no other numbers than finite ones.
        let number = Number::from_f64(number).ok_or_else(|| E::custom("a number that is not finite"))?;
        self.push(Entry::Number(number))
    }

    fn visit_borrowed_str<E: Error>(mut self, text: &'b str) -> Result<(), E> {
        self.push(Entry::Text(text))
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.push(Entry::Unescaped(text.into()))
    }

    fn visit_seq<A: SeqAccess<'b>>(mut self, mut list: A) -> Result<(), A::Error> {
        let at = self.entries.len();
        self.push(Entry::Array(0))?;
        while list.next_element_seed(self.inside())?.is_some() {}
        self.entries[at] = Entry::Array(self.next()?);
        Ok(())
    }

    fn visit_map<A: MapAccess<'b>>(mut self, mut object: A) -> Result<(), A::Error> {
        let at = self.entries.len();
        self.push(Entry::Object(0))?;
        while object.next_key_seed(self.inside())?.is_some() {
            object.next_value_seed(self.inside())?;
        }
        self.entries[at] = Entry::Object(self.next()?);
        Ok(())
    }
}
