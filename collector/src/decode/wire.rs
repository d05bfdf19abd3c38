//! Protobuf's wire format, read without building anything: numbers and slices of the body come out, in order.
//!
//! Always holds: what this reads, `prost` reads to the same values. The reverse is left out on purpose: forms that no encoder writes (a
//! message in two pieces, a known field with another wire type, a group) are [`Irregular`], and a decoder that knows all of them takes over.

/// Not read here: either no protobuf at all, or written in a way that only a full decoder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Irregular;

/// The tag of a field of varint type.
pub(crate) const fn varint(field: u64) -> u64 {
    field << 3
}

/// The tag of a field of 8 bytes.
pub(crate) const fn fixed64(field: u64) -> u64 {
    field << 3 | 1
}

/// The tag of a field with a length: text, bytes, a message, packed numbers.
pub(crate) const fn length(field: u64) -> u64 {
    field << 3 | 2
}

/// The tag of a field of 4 bytes.
pub(crate) const fn fixed32(field: u64) -> u64 {
    field << 3 | 5
}

/// The fields of one message, in the order they were written.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    /// What has not been read yet.
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field's tag, `None` at the end.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<Option<u64>, Irregular> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.varint().map(Some)
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, Irregular> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.long_varint(u64::from(first & 0x7f))
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Irregular> {
        let (first, rest) = self.rest.split_first().ok_or(Irregular)?;
        self.rest = rest;
        Ok(*first)
    }

    /// The number, if nothing comes after it.
    #[inline]
    pub(crate) fn only_varint(mut self) -> Option<u64> {
        let number = self.varint().ok()?;
        self.rest.is_empty().then_some(number)
    }

    fn long_varint(&mut self, mut value: u64) -> Result<u64, Irregular> {
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(Irregular); // past 64 bits
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Irregular)
    }

    /// The bytes of a field with a length.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Irregular> {
        let length = usize::try_from(self.varint()?).map_err(|_| Irregular)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Irregular)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, Irregular> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(Irregular)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<u32, Irregular> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(Irregular)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    pub(crate) fn double(&mut self) -> Result<f64, Irregular> {
        self.fixed64().map(f64::from_bits)
    }

    pub(crate) fn signed64(&mut self) -> Result<i64, Irregular> {
        self.fixed64().map(u64::cast_signed)
    }

    /// `int32` and enums: the low 32 bits count.
    #[inline]
    pub(crate) fn int32(&mut self) -> Result<i32, Irregular> {
        self.uint32().map(u32::cast_signed)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "protobuf says that the low 32 bits count")]
    pub(crate) fn uint32(&mut self) -> Result<u32, Irregular> {
        self.varint().map(|value| value as u32)
    }

    /// `sint32`: zigzag.
    pub(crate) fn sint32(&mut self) -> Result<i32, Irregular> {
        self.uint32().map(|value| (value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Irregular> {
        self.varint().map(|value| value != 0)
    }

    /// Passes over a field that its message does not have. `known` is the message's highest field number.
    #[cold]
    pub(crate) fn skip_unknown(&mut self, tag: u64, known: u64) -> Result<(), Irregular> {
        let field = tag >> 3;
        if field <= known || tag > u64::from(u32::MAX) {
            return Err(Irregular);
        }
        match tag & 7 {
            0 => self.varint().map(|_| ()),
            1 => self.fixed64().map(|_| ()),
            2 => self.bytes().map(|_| ()),
            5 => self.fixed32().map(|_| ()),
            _ => Err(Irregular),
        }
    }
}

/// Takes a field that a message has once.
#[inline]
pub(crate) fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Irregular> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Irregular),
    }
}

/// Takes a text field that a message has once; two empty ones make no difference.
#[inline]
pub(crate) fn once_text<'a>(place: &mut &'a [u8], value: &'a [u8]) -> Result<(), Irregular> {
    if place.is_empty() {
        *place = value;
        return Ok(());
    }
    Err(Irregular)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_up_to_64_bits_and_no_further() {
        let mut most = vec![0xff; 9];
        most.push(1);
        assert_eq!(Fields::of(&most).varint(), Ok(u64::MAX));
        most[9] = 2;
        assert_eq!(Fields::of(&most).varint(), Err(Irregular));
        assert_eq!(Fields::of(&[0x80]).varint(), Err(Irregular));
        assert_eq!(Fields::of(&[0x80, 0x00]).varint(), Ok(0), "a longer form than needed is still a number");
    }

    #[test]
    fn zigzag_is_undone() {
        assert_eq!([0_u8, 1, 2, 3].map(|byte| Fields::of(&[byte]).sint32()), [Ok(0), Ok(-1), Ok(1), Ok(-2)]);
    }

    #[test]
    fn a_known_field_of_another_type_is_not_passed_over() {
        assert_eq!(Fields::of(&[7]).skip_unknown(varint(3), 3), Err(Irregular));
        assert_eq!(Fields::of(&[7]).skip_unknown(varint(4), 3), Ok(()));
        assert_eq!(Fields::of(&[]).skip_unknown(varint(0), 3), Err(Irregular));
    }
}
