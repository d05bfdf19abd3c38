//! JSON's values that hold no others, written as protobuf's.

use prost::encoding::encode_varint;

use crate::decode::schema::{ANY_DOUBLE, Scalar};
use crate::{base64, hex};

/// One of them, as the reader of JSON gives it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Json<'j> {
    Bool(bool),
    Unsigned(u64),
    /// Below zero.
    Signed(i64),
    Double(f64),
    Text(&'j str),
}

/// Appends a field. `None`, with nothing appended that counts, when the value is not of its type.
pub(super) fn write_field(scalar: Scalar, number: u64, even_zero: bool, value: Json<'_>, out: &mut Vec<u8>) -> Option<()> {
    if let (Scalar::AnyInteger, Some(beyond)) = (scalar, value.beyond_i64()) {
        put_varint(ANY_DOUBLE, out);
        out.extend_from_slice(&beyond.to_le_bytes());
        return Some(());
    }
    let before = out.len();
    put_varint(scalar.tag(number), out);
    let start = out.len();
    write(scalar, value, out)?;
    // Zero is all zeros in each of protobuf's types, and so is the length of an empty text; a field that is not there says the same.
    if !even_zero && out[start..].iter().all(|byte| *byte == 0) {
        out.truncate(before);
    }
    Some(())
}

/// Appends a value without a tag, as lists of numbers have them.
pub(super) fn write(scalar: Scalar, value: Json<'_>, out: &mut Vec<u8>) -> Option<()> {
    match scalar {
        Scalar::Text => put_bytes(value.text()?.as_bytes(), out),
        Scalar::Id => {
            let digits = value.text()?;
            put_length(digits.len() / 2, out);
            hex::decode(digits, out)?;
        }
        Scalar::Bytes => put_bytes(&base64::decode(value.text()?)?, out),
        Scalar::Bool => out.push(u8::from(value.boolean()?)),
        Scalar::Uint32 => put_varint(value.unsigned32()?.into(), out),
        Scalar::Uint64 => put_varint(value.unsigned()?, out),
        Scalar::Sint32 => {
            let number = value.signed32()?;
            put_varint(((number << 1) ^ (number >> 31)).cast_unsigned().into(), out);
        }
        Scalar::Fixed32 => out.extend_from_slice(&value.unsigned32()?.to_le_bytes()),
        Scalar::Fixed64 => out.extend_from_slice(&value.unsigned()?.to_le_bytes()),
        Scalar::Sfixed64 => out.extend_from_slice(&value.signed()?.to_le_bytes()),
        Scalar::Double => out.extend_from_slice(&value.double()?.to_le_bytes()),
        Scalar::AnyInteger => put_varint(value.signed()?.cast_unsigned(), out),
        Scalar::Choice(by_name) => {
            let number = value.signed32().or_else(|| by_name(value.text()?))?;
            put_varint(i64::from(number).cast_unsigned(), out);
        }
    }
    Some(())
}

/// What is said of a value that is not of its type.
pub(super) fn expected(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Text => "a string",
        Scalar::Id => "an id in hex digits",
        Scalar::Bytes => "bytes in base64",
        Scalar::Bool => "true or false",
        Scalar::Uint32 | Scalar::Fixed32 => "a whole number of 0 to 2^32 - 1",
        Scalar::Uint64 | Scalar::Fixed64 => "a whole number of 0 to 2^64 - 1, or that as a string",
        Scalar::Sint32 => "a whole number of 32 bits",
        Scalar::Sfixed64 | Scalar::AnyInteger => "a whole number of 64 bits, or that as a string",
        Scalar::Double => "a number, or \"NaN\", \"Infinity\" or \"-Infinity\"",
        // Names are not valid OTLP, but harmless to take.
        Scalar::Choice(_) => "the number of an enum's value",
    }
}

#[inline]
pub(super) fn put_varint(number: u64, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(small @ ..0x80) => out.push(small),
        _ => encode_varint(number, out),
    }
}

fn put_length(bytes: usize, out: &mut Vec<u8>) {
    put_varint(u64::try_from(bytes).unwrap_or(u64::MAX), out);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// From 2^63 on an f64 no longer fits an i64; below -2^63 neither.
const I64_END: f64 = 9_223_372_036_854_775_808.0;

impl<'j> Json<'j> {
    fn text(self) -> Option<&'j str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn boolean(self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(value) } else { None }
    }

    fn unsigned(self) -> Option<u64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Unsigned(number) => Some(number),
            Self::Double(number) => whole(number).and_then(|number| u64::try_from(number).ok()),
            Self::Signed(_) | Self::Bool(_) => None,
        }
    }

    fn signed(self) -> Option<i64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Unsigned(number) => i64::try_from(number).ok(),
            Self::Signed(number) => Some(number),
            Self::Double(number) => whole(number),
            Self::Bool(_) => None,
        }
    }

    fn unsigned32(self) -> Option<u32> {
        self.unsigned().and_then(|wide| u32::try_from(wide).ok())
    }

    fn signed32(self) -> Option<i32> {
        self.signed().and_then(|wide| i32::try_from(wide).ok())
    }

    #[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
    fn double(self) -> Option<f64> {
        match self {
            Self::Text("NaN") => Some(f64::NAN),
            Self::Text("Infinity") => Some(f64::INFINITY),
            Self::Text("-Infinity") => Some(f64::NEG_INFINITY),
            Self::Text(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Unsigned(number) => Some(number as f64),
            Self::Signed(number) => Some(number as f64),
            Self::Double(number) => Some(number),
            Self::Bool(_) => None,
        }
    }

    /// A number, not a text, whose size no 64-bit integer has.
    #[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
    fn beyond_i64(self) -> Option<f64> {
        match self {
            Self::Unsigned(number) => i64::try_from(number).is_err().then_some(number as f64),
            Self::Double(number) => Some(number).filter(|number| !(-I64_END..I64_END).contains(number)),
            Self::Signed(_) | Self::Text(_) | Self::Bool(_) => None,
        }
    }
}

/// A number written as `5.0` or `1e3`.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && (-I64_END..I64_END).contains(&number)).then_some(number as i64)
}
