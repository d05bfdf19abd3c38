//! OTLP/JSON read value by value and written as protobuf in the same step: neither a tree nor a list of its values is ever held.
//!
//! Always holds: what comes out takes at most four times what went in, for a count of two bytes (`0,`) takes eight.

use std::fmt;

use prost::encoding::{encode_varint, encoded_len_varint};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::JsonError;
use super::place::{Place, ShapeError};
use super::scalar::{self, Json, put_varint};
use crate::decode::schema::{Field, Kind, Scalar, Shape};
use crate::decode::wire::length;

/// The protobuf of a text that is JSON.
pub(super) fn read(shape: &'static Shape, text: &str) -> Result<Vec<u8>, JsonError> {
    // Names and quotes are about half of what is sent.
    let mut out = Output { bytes: Vec::with_capacity(text.len() / 2), fault: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let whole = Reader { slot: Slot::Body(shape), place: &Place::Root, out: &mut out };
    match whole.deserialize(&mut json).and_then(|()| json.end()) {
        Ok(()) => {
            out.bytes.shrink_to_fit();
            Ok(out.bytes)
        }
        Err(error) => Err(out.fault.map_or(JsonError::Syntax(error), JsonError::Shape)),
    }
}

/// What has been written, and why no more is.
struct Output {
    bytes: Vec<u8>,
    fault: Option<ShapeError>,
}

impl Output {
    /// Begins a field of some length, and answers where its content does.
    fn open(&mut self, number: u64) -> usize {
        put_varint(length(number), &mut self.bytes);
        self.bytes.push(0);
        self.bytes.len()
    }

    /// Ends the field whose content begins there. There was room for a short length; for a longer one the content is moved.
    fn close(&mut self, start: usize) {
        let content = self.bytes.len() - start;
        if let Ok(short @ ..0x80) = u8::try_from(content) {
            self.bytes[start - 1] = short;
            return;
        }
        let length = u64::try_from(content).unwrap_or(u64::MAX);
        let more = encoded_len_varint(length) - 1;
        self.bytes.resize(start + content + more, 0);
        self.bytes.copy_within(start..start + content, start + more);
        encode_varint(length, &mut &mut self.bytes[start - 1..start + more]);
    }
}

/// What a value is read as.
#[derive(Clone, Copy)]
enum Slot {
    Body(&'static Shape),
    Field(&'static Field),
    /// One of a list of messages.
    Message {
        number: u64,
        shape: &'static Shape,
    },
    /// One of a list of texts.
    Text {
        number: u64,
    },
    /// One of a list of numbers, which stand in one field.
    Number(Scalar),
}

/// Reads one value, and what it holds.
struct Reader<'p, 'o> {
    slot: Slot,
    place: &'p Place<'p>,
    out: &'o mut Output,
}

impl Reader<'_, '_> {
    /// The error that stops the reader of JSON; what is told stands in the output.
    fn refuse<E: Error>(self, expected: &'static str) -> E {
        self.out.fault = Some(self.place.must_be(expected));
        E::custom(expected)
    }

    /// The value is not of the type that is read here.
    #[cold]
    fn mismatch<E: Error>(self) -> E {
        let expected = self.expected();
        self.refuse(expected)
    }

    fn expected(&self) -> &'static str {
        match self.slot {
            Slot::Body(_) | Slot::Message { .. } | Slot::Field(Field { kind: Kind::One(_), .. }) => "an object",
            Slot::Field(Field { kind: Kind::Many { .. } | Kind::Scalars(_), .. }) => "a list",
            Slot::Field(Field { kind: Kind::Scalar(scalar), .. }) => scalar::expected(*scalar),
            Slot::Number(scalar) => scalar::expected(scalar),
            Slot::Text { .. } => scalar::expected(Scalar::Text),
        }
    }

    #[inline]
    fn scalar<E: Error>(self, value: Json<'_>) -> Result<(), E> {
        let out = &mut self.out.bytes;
        let written = match self.slot {
            Slot::Field(Field { kind: Kind::Scalar(scalar), number, even_zero, .. }) => {
                scalar::write_field(*scalar, *number, *even_zero, value, out)
            }
            Slot::Text { number } => scalar::write_field(Scalar::Text, number, true, value, out),
            Slot::Number(scalar) => scalar::write(scalar, value, out),
            Slot::Field(_) | Slot::Body(_) | Slot::Message { .. } => None,
        };
        written.ok_or_else(|| self.mismatch())
    }

    /// Reads the fields of an object. Those that its message does not have are ignored.
    fn fields<'de, A: MapAccess<'de>>(&mut self, shape: &'static Shape, object: &mut A) -> Result<(), A::Error> {
        let (mut next, mut seen) = (0, 0_u32);
        while let Some(found) = object.next_key_seed(Key { shape, next })? {
            let Some(at) = found else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            let field = &shape.0[at];
            let place = Place::Key(self.place, field.name);
            let reader = Reader { slot: Slot::Field(field), place: &place, out: self.out };
            if seen & 1 << at != 0 {
                return Err(reader.refuse("there only once"));
            }
            seen |= 1 << at;
            next = at + 1;
            object.next_value_seed(reader)?;
        }
        Ok(())
    }

    fn items<'de, A: SeqAccess<'de>>(&mut self, slot: Slot, list: &mut A) -> Result<(), A::Error> {
        let mut index = 0;
        while list.next_element_seed(Reader { slot, place: &Place::Index(self.place, index), out: self.out })?.is_some() {
            index += 1;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected())
    }

    /// `null` is the default.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.slot {
            Slot::Body(_) | Slot::Field(_) => Ok(()),
            Slot::Message { number, .. } => {
                self.out.open(number);
                Ok(())
            }
            Slot::Text { .. } | Slot::Number(_) => Err(self.mismatch()),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.scalar(Json::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.scalar(Json::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.scalar(Json::Double(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.scalar(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        match self.slot {
            Slot::Field(Field { kind: Kind::Many { shape, .. }, number, .. }) => {
                self.items(Slot::Message { number: *number, shape }, &mut list)
            }
            Slot::Field(Field { kind: Kind::Scalars(Scalar::Text), number, .. }) => self.items(Slot::Text { number: *number }, &mut list),
            Slot::Field(Field { kind: Kind::Scalars(scalar), number, .. }) => {
                let before = self.out.bytes.len();
                let start = self.out.open(*number);
                self.items(Slot::Number(*scalar), &mut list)?;
                if self.out.bytes.len() == start {
                    self.out.bytes.truncate(before);
                } else {
                    self.out.close(start);
                }
                Ok(())
            }
            Slot::Field(_) | Slot::Body(_) | Slot::Message { .. } | Slot::Text { .. } | Slot::Number(_) => Err(self.mismatch()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        let (number, shape) = match self.slot {
            Slot::Body(shape) => return self.fields(shape, &mut object),
            Slot::Message { number, shape } => (number, shape),
            Slot::Field(Field { kind: Kind::One(shape), number, .. }) => (*number, *shape),
            Slot::Field(_) | Slot::Text { .. } | Slot::Number(_) => return Err(self.mismatch()),
        };
        let start = self.out.open(number);
        self.fields(shape, &mut object)?;
        self.out.close(start);
        Ok(())
    }
}

/// Reads the name of a field, and answers which of its message that is.
struct Key {
    shape: &'static Shape,
    /// The one behind the last: encoders write them in about the same order.
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, key: D) -> Result<Option<usize>, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    #[inline]
    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        let fields = self.shape.0;
        Ok((self.next..fields.len()).chain(0..self.next).find(|at| fields[*at].name == name))
    }
}
