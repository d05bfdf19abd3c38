//! Parquet's hybrid of runs and bit-packed groups, in which it writes levels and places in a dictionary.
//!
//! Source: Parquet format, "Encodings", RLE = 3: a run is `length << 1` and the value in whole bytes; groups of 8 values are `groups << 1 | 1` and the
//! values, lowest bits first.

/// Shorter runs are packed: a run of 8 saves nothing over a group of 8.
const RUN_MIN: usize = 16;
const GROUP: usize = 8;

/// Appends the values in so many bits each (0 to 32).
pub(super) fn encode(values: &[u32], bits: u32, out: &mut Vec<u8>) {
    let (mut packed_from, mut at) = (0, 0);
    while at < values.len() {
        let run = run_length(&values[at..]);
        let missing = (at - packed_from).next_multiple_of(GROUP) - (at - packed_from); // to end the group before the run
        if run >= RUN_MIN + missing {
            at += missing;
            pack(&values[packed_from..at], bits, out);
            repeat(values[at], run - missing, bits, out);
            at += run - missing;
            packed_from = at;
        } else {
            at += run;
        }
    }
    pack(&values[packed_from..], bits, out);
}

fn run_length(values: &[u32]) -> usize {
    let first = values[0];
    values.iter().position(|value| *value != first).unwrap_or(values.len())
}

fn repeat(value: u32, times: usize, bits: u32, out: &mut Vec<u8>) {
    varint((times as u64) << 1, out);
    let bytes = bits.div_ceil(8) as usize;
    out.extend_from_slice(&value.to_le_bytes()[..bytes]);
}

/// All of them in groups; the last group is filled with zeros, which only the end of the values may be.
fn pack(values: &[u32], bits: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    varint((values.len().div_ceil(GROUP) as u64) << 1 | 1, out);
    let (mut waiting, mut filled) = (0_u64, 0);
    let padding = values.len().next_multiple_of(GROUP) - values.len();
    for value in values.iter().copied().chain(std::iter::repeat_n(0, padding)) {
        waiting |= u64::from(value) << filled;
        filled += bits;
        if filled >= 32 {
            let [low, high] = [waiting & 0xffff_ffff, waiting >> 32];
            out.extend_from_slice(&low.to_le_bytes()[..4]);
            (waiting, filled) = (high, filled - 32);
        }
    }
    out.extend_from_slice(&waiting.to_le_bytes()[..filled.div_ceil(8) as usize]);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(values: &[u32], bits: u32) -> Vec<u8> {
        let mut out = Vec::new();
        encode(values, bits, &mut out);
        out
    }

    /// By the format's text, one bit after the other.
    fn decoded(bytes: &[u8], bits: u32, count: usize) -> Vec<u32> {
        let (mut at, mut values) = (0, Vec::new());
        while values.len() < count {
            let (mut header, mut shift) = (0_u64, 0);
            loop {
                header |= u64::from(bytes[at] & 0x7f) << shift;
                at += 1;
                shift += 7;
                if bytes[at - 1] < 0x80 {
                    break;
                }
            }
            let length = usize::try_from(header >> 1).unwrap();
            if header & 1 == 0 {
                let width = bits.div_ceil(8) as usize;
                let value = bytes[at..at + width].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
                values.extend(std::iter::repeat_n(value, length));
                at += width;
            } else {
                for number in 0..length * GROUP {
                    let bit = |one: usize| u32::from(bytes[at + one / 8] >> (one % 8) & 1);
                    let first = number * bits as usize;
                    values.push((0..bits as usize).map(|one| bit(first + one) << one).sum());
                }
                at += length * bits as usize;
            }
        }
        assert_eq!(at, bytes.len());
        values.truncate(count);
        values
    }

    #[test]
    fn the_format_s_example_is_written_as_it_says() {
        assert_eq!(encoded(&[0, 1, 2, 3, 4, 5, 6, 7], 3), [0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        assert_eq!(encoded(&[4; 200], 3), [0b1001_0000, 0b11, 4]);
        assert_eq!(encoded(&[0; 200], 0), [0b1001_0000, 0b11]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            runs in prop::collection::vec((any::<u32>(), prop_oneof![1_usize..4, 1_usize..60]), 0..40),
            bits in 0_u32..=32,
        ) {
            let mask = u32::MAX.checked_shr(32 - bits).unwrap_or(0);
            let values: Vec<u32> = runs.iter().flat_map(|(value, times)| std::iter::repeat_n(value & mask, *times)).collect();
            prop_assert_eq!(decoded(&encoded(&values, bits), bits, values.len()), values);
        }
    }
}
