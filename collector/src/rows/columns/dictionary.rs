//! Text that repeats: each distinct value once, and a key for each row.

use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use hashbrown::HashTable;

use super::{Seal, Validity, fitted};

/// Distinct texts by number.
#[derive(Debug)]
pub(crate) struct Texts {
    ends: Vec<i32>,
    bytes: Vec<u8>,
    index: HashTable<u32>,
    hasher: RandomState,
    last: usize,
}

impl Texts {
    pub(crate) fn new() -> Self {
        Self { ends: vec![0], bytes: Vec::new(), index: HashTable::new(), hasher: RandomState::new(), last: usize::MAX }
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
        if self.last < self.len() && self.get(self.last) == text {
            return self.last;
        }
        let hash = self.hasher.hash_one(text);
        let (ends, bytes) = (&self.ends, &self.bytes);
        let found = self.index.find(hash, |number| text_at(ends, bytes, as_index(*number)) == text);
        self.last = match found {
            Some(number) => as_index(*number),
            None => self.add(hash, text),
        };
        self.last
    }

    fn add(&mut self, hash: u64, text: &[u8]) -> usize {
        let number = self.len();
        self.bytes.extend_from_slice(text);
        self.ends.push(i32::try_from(self.bytes.len()).expect("a batch is sealed long before it has 2 GiB of text"));
        let (ends, bytes, hasher) = (&self.ends, &self.bytes, &self.hasher);
        let short = u32::try_from(number).expect("fewer texts than bytes of text and rows");
        self.index.insert_unique(hash, short, |number| hasher.hash_one(text_at(ends, bytes, as_index(*number))));
        number
    }

    fn finish(&mut self) -> StringArray {
        let ends = fitted(std::mem::replace(&mut self.ends, vec![0]));
        let bytes = fitted(std::mem::take(&mut self.bytes));
        self.index.clear();
        self.last = usize::MAX;
        text_array(ends, bytes, None)
    }
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
        match &mut self.rows {
            Rows::Each { keys, validity } if keys.len() <= row => {
                pad(keys, validity, row);
                keys.push(key(number));
                validity.push(true);
            }
            Rows::Each { keys, validity } => {
                keys[row] = key(number);
                validity.set(row);
            }
            Rows::First(rows) if *rows == row && number == 0 => *rows += 1,
            Rows::Null if row == 0 => self.rows = Rows::First(1),
            Rows::Null | Rows::First(_) => {
                self.spell();
                self.set(row, text);
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
            Rows::Each { keys, validity } => {
                let set = validity.valid.get(row).copied().unwrap_or(false);
                set.then(|| self.texts.get(keys[row].cast_unsigned() as usize))
            }
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
        let (mut keys, mut validity) = (Vec::with_capacity(room), Validity::with_capacity(room));
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
