//! Whole numbers, and the two columns of time.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, TimestampMicrosecondArray};
use haldane_store::UnixNanos;

use super::{Columns, Seal, Validity, fitted};

/// A column of 64-bit integers.
#[derive(Debug)]
pub(crate) struct IntegerColumn {
    rows: Rows,
    /// So many the last batch had.
    rows_before: usize,
}

#[derive(Debug)]
enum Rows {
    /// Nulls only.
    Null,
    /// This many zeros.
    Zero(usize),
    Each {
        numbers: Vec<i64>,
        validity: Validity,
    },
}

impl IntegerColumn {
    pub(crate) const fn new() -> Self {
        Self { rows: Rows::Null, rows_before: 0 }
    }

    /// Gives a row its number; of two for one row the later one stays.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, number: i64) {
        match &mut self.rows {
            Rows::Each { numbers, validity } if numbers.len() <= row => {
                pad(numbers, validity, row);
                numbers.push(number);
                validity.push_valid(1);
            }
            Rows::Each { numbers, validity } => {
                numbers[row] = number;
                validity.set(row);
            }
            Rows::Zero(rows) if *rows == row && number == 0 => *rows += 1,
            Rows::Null if row == 0 && number == 0 => self.rows = Rows::Zero(1),
            Rows::Null | Rows::Zero(_) => {
                self.spell();
                self.set(row, number);
            }
        }
    }

    /// Gives as many rows from `row` on the same number.
    pub(crate) fn set_run(&mut self, row: usize, number: i64, count: usize) {
        if count == 0 {
            return;
        }
        self.set(row, number);
        match &mut self.rows {
            Rows::Each { numbers, validity } => {
                numbers.resize(row + count, number);
                validity.push_valid(count - 1);
            }
            Rows::Zero(rows) => *rows += count - 1,
            Rows::Null => {}
        }
    }

    /// The number of a row that has just been given one.
    pub(crate) fn number_at(&self, row: usize) -> Option<i64> {
        match &self.rows {
            Rows::Null => None,
            Rows::Zero(rows) => (row < *rows).then_some(0),
            Rows::Each { numbers, validity } => validity.is_valid(row).then(|| numbers[row]),
        }
    }

    fn spell(&mut self) {
        let rows = match self.rows {
            Rows::Null => 0,
            Rows::Zero(rows) => rows,
            Rows::Each { .. } => return,
        };
        let room = self.rows_before.max(rows);
        let (mut numbers, mut validity) = (Vec::with_capacity(room), Validity::with_room(room));
        numbers.resize(rows, 0);
        validity.push_valid(rows);
        self.rows = Rows::Each { numbers, validity };
    }

    pub(crate) fn finish(&mut self, seal: &Seal) -> ArrayRef {
        self.finish_rows(seal, seal.rows)
    }

    pub(crate) fn finish_rows(&mut self, seal: &Seal, rows: usize) -> ArrayRef {
        if matches!(self.rows, Rows::Zero(zeros) if zeros < rows) {
            self.spell();
        }
        let (numbers, nulls) = match std::mem::replace(&mut self.rows, Rows::Null) {
            Rows::Null => (seal.zeros(rows), (rows > 0).then(|| seal.nulls(rows))),
            Rows::Zero(_) => (seal.zeros(rows), None),
            Rows::Each { mut numbers, mut validity } => {
                pad(&mut numbers, &mut validity, rows);
                self.rows_before = rows;
                (fitted(numbers).into(), validity.finish())
            }
        };
        Arc::new(Int64Array::new(numbers, nulls))
    }
}

fn pad(numbers: &mut Vec<i64>, validity: &mut Validity, row: usize) {
    if numbers.len() < row {
        validity.push_nulls(row - numbers.len());
        numbers.resize(row, 0);
    }
}

/// `date` and `time`, which every row has.
#[derive(Debug, Default)]
pub(crate) struct TimeColumns {
    dates: Vec<i32>,
    times: Vec<i64>,
    day: Day,
}

/// The day that was seen last: most times lie in it, and a division is saved.
#[derive(Debug, Default, Clone, Copy)]
struct Day {
    days: i32,
    first_micros: i64,
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

impl TimeColumns {
    #[inline]
    pub(crate) fn push(&mut self, at: UnixNanos) {
        let micros = at.as_micros();
        if !(0..MICROS_PER_DAY).contains(&micros.wrapping_sub(self.day.first_micros)) {
            let days = at.as_days();
            self.day = Day { days, first_micros: i64::from(days) * MICROS_PER_DAY };
        }
        self.dates.push(self.day.days);
        self.times.push(micros);
    }

    pub(crate) fn finish_into(&mut self, columns: &mut Columns) {
        columns.push(Arc::new(Date32Array::from(std::mem::take(&mut self.dates))));
        columns.push(Arc::new(TimestampMicrosecondArray::from(std::mem::take(&mut self.times)).with_timezone("UTC")));
    }
}
