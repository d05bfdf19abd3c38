//! A JSON text as a flat list of its values, text in place: a tree of maps takes many times the memory of the text.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// The values of a JSON text, each container before what it holds; in objects, keys before their values.
#[derive(Debug)]
pub(super) struct Tape<'b>(Vec<Entry<'b>>);

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
        let mut entries = Vec::new();
        let mut text = serde_json::Deserializer::from_slice(body);
        Recorder(&mut entries).deserialize(&mut text)?;
        text.end()?;
        Ok(Self(entries))
    }

    /// A text that is `null`.
    pub(super) fn null() -> Self {
        Self(vec![Entry::Null])
    }

    pub(super) fn root(&self) -> Item<'_> {
        Item { entries: &self.0, at: 0 }
    }
}

/// A value on a tape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'v> {
    entries: &'v [Entry<'v>],
    at: usize,
}

impl<'v> Item<'v> {
    fn entry(&self) -> &'v Entry<'v> {
        &self.entries[self.at]
    }

    /// The place behind it and all it holds.
    fn end(&self) -> usize {
        match self.entry() {
            Entry::Array(end) | Entry::Object(end) => *end as usize,
            Entry::Null | Entry::Bool(_) | Entry::Number(_) | Entry::Text(_) | Entry::Unescaped(_) => self.at + 1,
        }
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
        let (entries, end) = (self.entries, self.end());
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            let child = Item { entries, at };
            (at < end).then(|| {
                at = child.end();
                child
            })
        })
    }
}

/// Writes a value down as it is read.
struct Recorder<'t, 'b>(&'t mut Vec<Entry<'b>>);

impl<'b> Recorder<'_, 'b> {
    fn push<E: Error>(self, entry: Entry<'b>) -> Result<(), E> {
        self.0.push(entry);
        Ok(())
    }

    /// Where the next value will stand.
    fn next<E: Error>(&self) -> Result<u32, E> {
        u32::try_from(self.0.len()).map_err(|_| E::custom("there are too many values"))
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

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.push(Entry::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.push(Entry::Bool(value))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.push(Entry::Number(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.push(Entry::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        // JSON has no other numbers than finite ones.
        let number = Number::from_f64(number).ok_or_else(|| E::custom("a number that is not finite"))?;
        self.push(Entry::Number(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'b str) -> Result<(), E> {
        self.push(Entry::Text(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.push(Entry::Unescaped(text.into()))
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut list: A) -> Result<(), A::Error> {
        let at = self.0.len();
        self.0.push(Entry::Array(0));
        while list.next_element_seed(Recorder(self.0))?.is_some() {}
        self.0[at] = Entry::Array(self.next()?);
        Ok(())
    }

    fn visit_map<A: MapAccess<'b>>(self, mut object: A) -> Result<(), A::Error> {
        let at = self.0.len();
        self.0.push(Entry::Object(0));
        while object.next_key_seed(Recorder(self.0))?.is_some() {
            object.next_value_seed(Recorder(self.0))?;
        }
        self.0[at] = Entry::Object(self.next()?);
        Ok(())
    }
}
