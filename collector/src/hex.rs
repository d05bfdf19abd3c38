//! Ids as hex digits: lower case when written, either case when read.

/// Appends the digits of `bytes`.
#[inline]
pub(crate) fn append(bytes: &[u8], text: &mut Vec<u8>) {
    match bytes.as_array::<8>() {
        Some(span_id) => text.extend_from_slice(span_id.map(pair).as_flattened()),
        None => text.extend(bytes.iter().flat_map(|byte| pair(*byte))),
    }
}

/// The digits of a trace id.
#[inline]
pub(crate) fn digits(id: &[u8; 16]) -> [u8; 32] {
    let mut digits = [0; 32];
    digits.copy_from_slice(id.map(pair).as_flattened());
    digits
}

#[inline]
fn pair(byte: u8) -> [u8; 2] {
    [digit(byte >> 4), digit(byte & 15)]
}

/// Computed, not looked up, so that the digits of an id are made all at once.
#[inline]
const fn digit(number: u8) -> u8 {
    number + if number < 10 { b'0' } else { b'a' - 10 }
}

/// The digits of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| pair(*byte)).map(char::from).collect()
}

/// Appends the bytes of an even number of hex digits; `None` when it is something else, and what was appended then says nothing.
pub(crate) fn decode(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    // One look at the end tells whether all were digits: `NONE` has bits that no value has.
    let mut seen = 0;
    bytes.extend(pairs.iter().map(|pair| {
        let [high, low] = pair.map(|digit| VALUES[usize::from(digit)]);
        seen |= high | low;
        high << 4 | low
    }));
    (odd.is_empty() && seen < 16).then_some(())
}

/// Stands for what is no digit.
const NONE: u8 = 0xff;

/// The values of digits.
static VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        let digit = digit(value);
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cases_are_read_and_lower_case_is_written() {
        let mut bytes = vec![7];
        decode("00aBfF", &mut bytes).unwrap();
        assert_eq!(encode(&bytes), "0700abff");
        for wrong in ["abc", "0g", "g0", "0/", "0:", "0@", "0G", "0`", "ä"] {
            assert_eq!(decode(wrong, &mut bytes), None, "{wrong}");
        }
    }

    #[test]
    fn all_ways_of_writing_agree() {
        let id: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 17).unwrap());
        let mut appended = Vec::new();
        append(&id, &mut appended);
        assert_eq!((encode(&id).as_bytes(), &digits(&id)[..]), (&appended[..], &appended[..]));
        let mut span_id = Vec::new();
        append(&id[8..], &mut span_id);
        assert_eq!(span_id, appended[16..]);
    }
}
