//! Text that repeats: each distinct value once, and a key for each row.

use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use hashbrown::HashTable;

use super::{Seal, Validity, fitted};
use crate::text::same;

/// A text in the index. Most are so short that they are told apart without being looked at where they lie: with many distinct ones each look is a wait
/// for memory.
#[derive(Debug, Clone, Copy)]
struct Known {
    head: u64,
    tail: u32,
    number: u32,
}

impl Known {
    #[inline]
    fn brief(&self) -> Brief {
        Brief { head: self.head, tail: self.tail }
    }
}

/// Up to eleven bytes of text and how many they are; of a longer one its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Brief {
    head: u64,
    tail: u32,
}

impl Brief {
    /// In place of the length of a short text.
    const LONG: u32 = u32::MAX;
    /// Of no text.
    const NONE: Self = Self { head: 0, tail: u32::MAX - 1 };

    /// Says all of a text, if it is short.
    #[inline]
    fn of_short(text: &[u8]) -> Option<Self> {
        let length = u32::try_from(text.len()).ok()?;
        let (head, more) = match text.len() {
            0 => (0, 0),
            1..4 => (u64::from(text[0]) | u64::from(text[text.len() / 2]) << 8 | u64::from(text[text.len() - 1]) << 16, 0),
            4..8 => (u64::from(u32::from_le_bytes(*text.first_chunk()?)) | u64::from(u32::from_le_bytes(*text.last_chunk()?)) << 32, 0),
            8..12 => (u64::from_le_bytes(*text.first_chunk()?), u32::from_le_bytes(*text.last_chunk()?)),
            12.. => return None,
        };
        // The first of the last four bytes, which makes room for the length, is the eighth at most: it is in the head.
        Some(Self { head, tail: more & 0xffff_ff00 | length })
    }
}

/// Distinct texts by number.
#[derive(Debug)]
pub(crate) struct Texts {
    ends: Vec<i32>,
    bytes: Vec<u8>,
    index: HashTable<Known>,
    hasher: RandomState,
    last: usize,
    last_brief: Brief,
    /// So many texts the last batch had,
    texts_before: usize,
    /// and so many bytes of them.
    bytes_before: usize,
}

impl Texts {
    pub(crate) fn new() -> Self {
        Self {
            ends: vec![0],
            bytes: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            last: usize::MAX,
            last_brief: Brief::NONE,
            texts_before: 0,
            bytes_before: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len() - 1
    }

    #[inline]
    pub(crate) fn get(&self, number: usize) -> &[u8] {
        text_at(&self.ends, &self.bytes, number)
    }

    /// The number of a text, a new one if it is new.
    #[inline]
    pub(crate) fn number(&mut self, text: &[u8]) -> usize {
        let (hash, brief, found) = match Brief::of_short(text) {
            Some(brief) if brief == self.last_brief => return self.last,
            Some(brief) => {
                let hash = hash_of(&self.hasher, brief);
                (hash, brief, self.index.find(hash, |known| known.brief() == brief))
            }
            None if self.last_brief.tail == Brief::LONG && same(self.get(self.last), text) => return self.last,
            None => {
                let hash = self.hasher.hash_one(text);
                let brief = Brief { head: hash, tail: Brief::LONG };
                let (ends, bytes) = (&self.ends, &self.bytes);
                let is_it = |known: &Known| known.brief() == brief && same(text_at(ends, bytes, as_index(known.number)), text);
                (hash, brief, self.index.find(hash, is_it))
            }
        };
        self.last = match found {
            Some(known) => as_index(known.number),
            None => self.add(hash, brief, text),
        };
        self.last_brief = brief;
        self.last
    }

    fn add(&mut self, hash: u64, brief: Brief, text: &[u8]) -> usize {
        let number = self.len();
        if number == 0 {
            self.ends.reserve(self.texts_before);
            self.bytes.reserve(self.bytes_before);
        }
        self.bytes.extend_from_slice(text);
        self.ends.push(i32::try_from(self.bytes.len()).expect("a batch is sealed long before it has 2 GiB of text"));
        let hasher = &self.hasher;
        let Brief { head, tail } = brief;
        let known = Known { head, tail, number: u32::try_from(number).expect("fewer texts than bytes of text and rows") };
        self.index.insert_unique(hash, known, |known| hash_of(hasher, known.brief()));
        number
    }

    fn finish(&mut self) -> StringArray {
        (self.texts_before, self.bytes_before) = (self.len(), self.bytes.len());
        let ends = fitted(std::mem::replace(&mut self.ends, vec![0]));
        let bytes = fitted(std::mem::take(&mut self.bytes));
        self.index.clear();
        (self.last, self.last_brief) = (usize::MAX, Brief::NONE);
        text_array(ends, bytes, None)
    }
}

#[inline]
fn hash_of(hasher: &RandomState, Brief { head, tail }: Brief) -> u64 {
    if tail == Brief::LONG { head } else { hasher.hash_one((head, tail)) }
}

#[inline]
fn as_index(number: u32) -> usize {
    number as usize
}

#[inline]
fn text_at<'t>(ends: &[i32], bytes: &'t [u8], number: usize) -> &'t [u8] {
    &bytes[ends[number].cast_unsigned() as usize..ends[number + 1].cast_unsigned() as usize]
}

/// Text that was checked before it came here, checked again as a whole, which is cheap.
pub(super) fn text_array(ends: Vec<i32>, bytes: Vec<u8>, nulls: Option<arrow::buffer::NullBuffer>) -> StringArray {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
    StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls)
        .expect("all text was found to be UTF-8 before the request was acknowledged")
}

/// A column of text that repeats.
#[derive(Debug)]
pub(crate) struct DictionaryColumn {
    texts: Texts,
    rows: Rows,
    /// So many the last batch had.
    rows_before: usize,
}

#[derive(Debug)]
enum Rows {
    /// Nulls only.
    Null,
    /// This many times the first text.
    First(usize),
    Each {
        keys: Vec<i32>,
        validity: Validity,
    },
}

impl DictionaryColumn {
    pub(crate) fn new() -> Self {
        Self { texts: Texts::new(), rows: Rows::Null, rows_before: 0 }
    }

    /// Gives a row its text; of two for one row the later one stays.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, text: &[u8]) {
        let number = self.texts.number(text);
        self.set_number(row, number);
    }

    /// Gives a row the text that was given last in this batch.
    #[inline]
    pub(crate) fn set_again(&mut self, row: usize) {
        self.set_number(row, self.texts.last);
    }

    #[inline]
    fn set_number(&mut self, row: usize, number: usize) {
        match &mut self.rows {
            Rows::Each { keys, validity } if keys.len() <= row => {
                pad(keys, validity, row);
                keys.push(key(number));
                validity.push_valid(1);
            }
            Rows::Each { keys, validity } => {
                keys[row] = key(number);
                validity.set(row);
            }
            Rows::First(rows) if *rows == row && number == 0 => *rows += 1,
            Rows::Null if row == 0 => self.rows = Rows::First(1),
            Rows::Null | Rows::First(_) => {
                self.spell();
                self.set_number(row, number);
            }
        }
    }

    /// Gives as many rows from `row` on the same text.
    pub(crate) fn set_run(&mut self, row: usize, text: &[u8], count: usize) {
        if count == 0 {
            return;
        }
        self.set(row, text);
        let number = self.texts.last;
        match &mut self.rows {
            Rows::Each { keys, validity } => {
                keys.resize(row + count, key(number));
                validity.push_valid(count - 1);
            }
            Rows::First(rows) => *rows += count - 1,
            Rows::Null => {}
        }
    }

    /// The text of a row that has just been given one.
    pub(crate) fn text_at(&self, row: usize) -> Option<&[u8]> {
        match &self.rows {
            Rows::First(rows) => (row < *rows).then(|| self.texts.get(0)),
            Rows::Each { keys, validity } => validity.is_valid(row).then(|| self.texts.get(keys[row].cast_unsigned() as usize)),
            Rows::Null => None,
        }
    }

    fn spell(&mut self) {
        let rows = match self.rows {
            Rows::Null => 0,
            Rows::First(rows) => rows,
            Rows::Each { .. } => return,
        };
        let room = self.rows_before.max(rows);
        let (mut keys, mut validity) = (Vec::with_capacity(room), Validity::with_room(room));
        keys.resize(rows, 0);
        validity.push_valid(rows);
        self.rows = Rows::Each { keys, validity };
    }

    pub(crate) fn finish(&mut self, seal: &Seal) -> ArrayRef {
        self.finish_rows(seal, seal.rows)
    }

    pub(super) fn finish_rows(&mut self, seal: &Seal, rows: usize) -> ArrayRef {
        if matches!(self.rows, Rows::First(first) if first < rows) {
            self.spell();
        }
        let (keys, nulls) = match std::mem::replace(&mut self.rows, Rows::Null) {
            Rows::Null => (seal.zero_keys(rows), (rows > 0).then(|| seal.nulls(rows))),
            Rows::First(_) => (seal.zero_keys(rows), None),
            Rows::Each { mut keys, mut validity } => {
                pad(&mut keys, &mut validity, rows);
                self.rows_before = rows;
                (fitted(keys).into(), validity.finish())
            }
        };
        let keys = Int32Array::new(keys, nulls);
        Arc::new(DictionaryArray::try_new(keys, Arc::new(self.texts.finish())).expect("each key is the number of a text"))
    }
}

fn pad(keys: &mut Vec<i32>, validity: &mut Validity, row: usize) {
    if keys.len() < row {
        validity.push_nulls(row - keys.len());
        keys.resize(row, 0);
    }
}

#[inline]
fn key(number: usize) -> i32 {
    i32::try_from(number).expect("a batch has fewer rows than 2^31")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_has_the_number_of_its_first_appearance(
            texts in prop::collection::vec(prop::collection::vec(prop::sample::select(&[0_u8, b'a', 0xff][..]), 0..16), 0..200),
        ) {
            let mut numbered = Texts::new();
            let mut distinct: Vec<&[u8]> = Vec::new();
            for text in &texts {
                let expected = distinct.iter().position(|one| one == text).unwrap_or_else(|| {
                    distinct.push(text);
                    distinct.len() - 1
                });
                prop_assert_eq!(numbered.number(text), expected, "{:?}", text);
                prop_assert_eq!(numbered.get(expected), &text[..]);
            }
        }
    }

    #[test]
    fn texts_are_told_apart_at_every_byte() {
        let mut texts = Texts::new();
        let mut count = 0;
        for length in 0..30 {
            let text: Vec<u8> = (0..length).collect();
            let changed = (0..text.len()).map(|at| {
                let mut other = text.clone();
                other[at] ^= 0x40;
                other
            });
            for text in std::iter::once(text.clone()).chain(changed) {
                assert_eq!(texts.number(&text), count);
                count += 1;
            }
        }
        assert_eq!(texts.len(), count);
    }
}
