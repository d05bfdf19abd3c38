//! What a body would take as the full decoder's structs, told before they are made: two bytes can become a metric of hundreds.

use std::mem::size_of;

use super::schema::{self, Kind, Scalar, Shape};
use super::wire::{Fields, Irregular};
use crate::request::Signal;

/// The full decoder goes no deeper.
const DEPTH_MAX: usize = 100;

/// Lists grow by doubling, so half of one may be empty.
const ROOM: usize = 2;

/// Bytes of the structs that a body becomes, but for text and numbers, which take a few times what they take in the body. Whatever stands behind
/// the first fault in it is not counted, and not decoded either.
pub(super) fn bytes_of(signal: Signal, body: &[u8]) -> usize {
    let mut bytes = 0;
    // What is broken here is told by the full decoder.
    let _ = add(schema::request(signal), body, 0, &mut bytes);
    bytes
}

/// A body may become so many: some times its own length, and what smaller ones never reach.
pub(super) fn bytes_max(body_bytes: usize) -> usize {
    body_bytes.saturating_mul(8).saturating_add(64 << 20)
}

fn add(shape: &Shape, message: &[u8], depth: usize, bytes: &mut usize) -> Result<(), Irregular> {
    if depth > DEPTH_MAX {
        return Err(Irregular);
    }
    let mut fields = Fields::of(message);
    while let Some(tag) = fields.tag()? {
        match tag & 7 {
            0 => fields.varint().map(|_| ())?,
            1 => fields.fixed64().map(|_| ())?,
            5 => fields.fixed32().map(|_| ())?,
            2 => {
                let within = fields.bytes()?;
                let field = shape.0.iter().find(|field| field.number == tag >> 3);
                match field.map(|field| field.kind) {
                    // It is part of the message that has it.
                    Some(Kind::One(shape)) => add(shape, within, depth + 1, bytes)?,
                    Some(Kind::Many { shape, struct_bytes }) => {
                        *bytes = bytes.saturating_add(ROOM * struct_bytes);
                        add(shape, within, depth + 1, bytes)?;
                    }
                    Some(Kind::Scalars(Scalar::Text)) => *bytes = bytes.saturating_add(ROOM * size_of::<String>()),
                    Some(Kind::Scalar(_) | Kind::Scalars(_)) | None => {}
                }
            }
            // What is inside a group is passed over by the full decoder; counted here, it makes the sum greater at most.
            _ => {}
        }
    }
    Ok(())
}
