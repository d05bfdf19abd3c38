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
fn digit(number: u8) -> u8 {
    number + if number < 10 { b'0' } else { b'a' - 10 }
}

/// The digits of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| pair(*byte)).map(char::from).collect()
}

/// The bytes of an even number of hex digits.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(value_of(pair[0])? << 4 | value_of(pair[1])?)).collect()
}

fn value_of(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cases_are_read_and_lower_case_is_written() {
        assert_eq!(encode(&decode("00aBfF").unwrap()), "00abff");
        assert_eq!(decode("abc"), None);
        assert_eq!(decode("0g"), None);
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
