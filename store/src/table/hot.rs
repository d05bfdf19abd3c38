//! Rows that are visible but not in Parquet yet, in the order they were published.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::schema::TableName;

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
}

/// Hot batches of one table. Cloning copies pointers only.
#[derive(Debug, Clone, Default)]
pub(super) struct HotBatches {
    batches: Vec<Arc<HotBatch>>,
    through: u64,
}

impl HotBatches {
    pub(super) fn push(&mut self, through: u64, rows: RecordBatch) {
        self.batches.push(Arc::new(HotBatch { through, rows }));
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

    pub(super) fn rows(&self) -> Vec<RecordBatch> {
        self.batches.iter().map(|batch| batch.rows.clone()).collect()
    }

    pub(super) fn size(&self) -> HotSize {
        HotSize {
            rows: self.batches.iter().map(|batch| batch.rows.num_rows()).sum(),
            bytes: self.batches.iter().map(|batch| batch.rows.get_array_memory_size()).sum(),
        }
    }

    /// All rows as one batch in the table's file order.
    pub(super) fn sorted(&self, table: TableName) -> Result<RecordBatch, ArrowError> {
        let schema = table.schema();
        let rows = concat_batches(&schema, self.batches.iter().map(|batch| &batch.rows))?;
        let by: Vec<SortColumn> = table
            .sort_columns()
            .iter()
            .map(|name| Ok(SortColumn { values: column(&rows, name)?, options: None }))
            .collect::<Result<_, ArrowError>>()?;
        take_record_batch(&rows, &lexsort_to_indices(&by, None)?)
    }
}

fn column(rows: &RecordBatch, name: &str) -> Result<ArrayRef, ArrowError> {
    rows.column_by_name(name).cloned().ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))
}
