//! Text that seldom repeats: one value after the other.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use super::dictionary::text_array;
use super::{Seal, Validity, fitted};

/// A column of text that seldom repeats.
#[derive(Debug)]
pub(crate) struct PlainColumn {
    ends: Vec<i32>,
    bytes: Vec<u8>,
    validity: Validity,
    /// So many rows the last batch had,
    rows_before: usize,
    /// and so many bytes of text.
    bytes_before: usize,
}

impl PlainColumn {
    pub(crate) fn new() -> Self {
        Self { ends: Vec::new(), bytes: Vec::new(), validity: Validity::default(), rows_before: 0, bytes_before: 0 }
    }

    pub(crate) fn rows(&self) -> usize {
        self.ends.len().saturating_sub(1)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Gives a row its text; of two for one row the later one stays.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, text: &[u8]) {
        self.set_with(row, |bytes| bytes.extend_from_slice(text));
    }

    /// Gives a row the text that a function appends.
    #[inline]
    pub(crate) fn set_with(&mut self, row: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.take_back(row);
        self.pad(row);
        write(&mut self.bytes);
        self.end();
        self.validity.push_valid(1);
    }

    /// The text of the row that was given one last.
    pub(crate) fn text_at(&self, row: usize) -> Option<&[u8]> {
        self.validity
            .is_valid(row)
            .then(|| &self.bytes[self.ends[row].cast_unsigned() as usize..self.ends[row + 1].cast_unsigned() as usize])
    }

    fn pad(&mut self, row: usize) {
        if self.ends.is_empty() {
            self.ends.reserve(self.rows_before + 1);
            self.validity = Validity::with_room(self.rows_before);
            self.bytes.reserve(self.bytes_before);
            self.ends.push(0);
        }
        let missing = row - self.rows().min(row);
        if missing > 0 {
            let last = self.ends[self.ends.len() - 1];
            self.ends.resize(row + 1, last);
            self.validity.push_nulls(missing);
        }
    }

    /// Only the last row can have been given a text before.
    fn take_back(&mut self, row: usize) {
        if self.rows() > row {
            self.ends.truncate(row + 1);
            self.bytes.truncate(self.ends[row].cast_unsigned() as usize);
            self.validity.pop();
        }
    }

    fn end(&mut self) {
        self.ends.push(i32::try_from(self.bytes.len()).expect("a batch is sealed long before it has 2 GiB of text"));
    }

    pub(crate) fn finish(&mut self, seal: &Seal) -> ArrayRef {
        self.finish_rows(seal, seal.rows)
    }

    pub(super) fn finish_rows(&mut self, seal: &Seal, rows: usize) -> ArrayRef {
        if self.rows() == 0 {
            let nulls = (rows > 0).then(|| seal.nulls(rows));
            let empty = StringArray::try_new(seal.no_offsets(rows), Vec::<u8>::new().into(), nulls);
            return Arc::new(empty.expect("there is no text in it"));
        }
        self.pad(rows);
        (self.rows_before, self.bytes_before) = (rows, self.bytes.len());
        let (ends, bytes) = (std::mem::take(&mut self.ends), std::mem::take(&mut self.bytes));
        Arc::new(text_array(fitted(ends), fitted(bytes), self.validity.finish()))
    }
}
