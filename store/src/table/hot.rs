//! Rows that are visible but not in Parquet yet, in the order they were published.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::ArrayData;
use arrow::record_batch::RecordBatch;

/// How much of a table is hot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HotSize {
    /// Rows.
    pub rows: usize,
    /// Memory they take, in bytes.
    pub bytes: usize,
}

#[derive(Debug, Clone)]
struct HotBatch {
    through: u64,
    rows: RecordBatch,
    bytes: usize,
}

/// Hot batches of one table. Cloning copies pointers only.
#[derive(Debug, Clone, Default)]
pub(super) struct HotBatches {
    batches: Vec<Arc<HotBatch>>,
    through: u64,
}

impl HotBatches {
    pub(super) fn push(&mut self, through: u64, rows: RecordBatch) {
        let bytes = size_of_batch(&rows);
        self.batches.push(Arc::new(HotBatch { through, rows, bytes }));
    }

    /// Notes that everything up to `through` has been published.
    pub(super) fn advance(&mut self, through: u64) {
        self.through = self.through.max(through);
    }

    /// The last log sequence published.
    pub(super) fn through(&self) -> u64 {
        self.through
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn drop_through(&mut self, through: u64) {
        self.batches.retain(|batch| batch.through > through);
    }

    /// How many rows a commit that reaches `through` has.
    pub(super) fn rows_through(&self, through: u64) -> usize {
        self.batches.iter().filter(|batch| batch.through <= through).map(|batch| batch.rows.num_rows()).sum()
    }

    pub(super) fn rows(&self) -> Vec<RecordBatch> {
        self.batches.iter().map(|batch| batch.rows.clone()).collect()
    }

    pub(super) fn size(&self) -> HotSize {
        HotSize {
            rows: self.batches.iter().map(|batch| batch.rows.num_rows()).sum(),
            bytes: self.batches.iter().map(|batch| batch.bytes).sum(),
        }
    }
}

/// The memory of a batch. Its columns share buffers where they say nothing, and each counts once.
pub(super) fn size_of_batch(rows: &RecordBatch) -> usize {
    let mut seen = HashSet::new();
    rows.columns().iter().map(|column| size_of_data(&column.to_data(), &mut seen)).sum()
}

fn size_of_data(data: &ArrayData, seen: &mut HashSet<*const u8>) -> usize {
    let nulls = data.nulls().map(|nulls| nulls.buffer());
    let buffers = data.buffers().iter().chain(nulls);
    let own: usize = buffers.filter(|buffer| seen.insert(buffer.data_ptr().as_ptr().cast_const())).map(|buffer| buffer.capacity()).sum();
    own + data.child_data().iter().map(|child| size_of_data(child, seen)).sum::<usize>()
}
