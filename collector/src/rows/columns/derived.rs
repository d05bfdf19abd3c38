//! Text that is made from something smaller: an id, a number.

use arrow::array::ArrayRef;

use super::{DictionaryColumn, Seal};

/// A column of such texts. Only where a row is made from another thing than the row before is its text made and looked for.
#[derive(Debug)]
pub(crate) struct DerivedColumn<K> {
    texts: DictionaryColumn,
    last: Option<K>,
}

impl<K: PartialEq + Copy> DerivedColumn<K> {
    pub(crate) fn new() -> Self {
        Self { texts: DictionaryColumn::new(), last: None }
    }

    /// Gives a row the text that a function makes of its key.
    #[inline]
    pub(crate) fn set<T: AsRef<[u8]>>(&mut self, row: usize, key: K, text_of: impl FnOnce(K) -> T) {
        if self.last == Some(key) {
            self.texts.set_again(row);
        } else {
            self.texts.set(row, text_of(key).as_ref());
            self.last = Some(key);
        }
    }

    pub(crate) fn finish(&mut self, seal: &Seal) -> ArrayRef {
        self.last = None;
        self.texts.finish(seal)
    }
}
