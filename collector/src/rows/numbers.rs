//! The columns of `metrics` that hold values: those of other types of point are null.

use std::sync::Arc;

use arrow::array::{ArrayBuilder as _, ArrayRef, Float64Builder, Int32Builder, Int64Array, Int64Builder, StructArray};
use haldane_store::schema::quantile_fields;

use super::columns::{Columns, ListRows, Seal, fitted};
use super::signed;
use crate::decode::metric::{Eights, Point, PointLists, Quantile, Varints};

/// `value_double` to `quantiles`.
#[derive(Debug)]
pub(crate) struct ValueColumns {
    value_double: Float64Builder,
    value_int: Int64Builder,
    count: Int64Builder,
    sum: Float64Builder,
    min: Float64Builder,
    max: Float64Builder,
    explicit_bounds: DoubleListColumn,
    bucket_counts: CountListColumn,
    scale: Int32Builder,
    zero_count: Int64Builder,
    zero_threshold: Float64Builder,
    positive_offset: Int32Builder,
    positive_bucket_counts: CountListColumn,
    negative_offset: Int32Builder,
    negative_bucket_counts: CountListColumn,
    quantiles: QuantileColumn,
}

impl ValueColumns {
    pub(crate) fn new() -> Self {
        Self {
            value_double: Float64Builder::new(),
            value_int: Int64Builder::new(),
            count: Int64Builder::new(),
            sum: Float64Builder::new(),
            min: Float64Builder::new(),
            max: Float64Builder::new(),
            explicit_bounds: DoubleListColumn { rows: ListRows::sometimes(), items: Float64Builder::new() },
            bucket_counts: CountListColumn::new(),
            scale: Int32Builder::new(),
            zero_count: Int64Builder::new(),
            zero_threshold: Float64Builder::new(),
            positive_offset: Int32Builder::new(),
            positive_bucket_counts: CountListColumn::new(),
            negative_offset: Int32Builder::new(),
            negative_bucket_counts: CountListColumn::new(),
            quantiles: QuantileColumn { rows: ListRows::sometimes(), quantile: Float64Builder::new(), value: Float64Builder::new() },
        }
    }

    pub(crate) fn set(&mut self, row: usize, point: &Point<'_>, lists: &PointLists<'_>) {
        self.value_double.append_option(point.value_double);
        self.value_int.append_option(point.value_int);
        self.count.append_option(point.count.map(signed));
        self.sum.append_option(point.sum);
        self.min.append_option(point.min);
        self.max.append_option(point.max);
        self.explicit_bounds.set(row, point.explicit_bounds);
        self.bucket_counts.set(row, point.bucket_counts.map(Eights::numbers));
        self.scale.append_option(point.scale);
        self.zero_count.append_option(point.zero_count.map(signed));
        self.zero_threshold.append_option(point.zero_threshold);
        self.positive_offset.append_option(point.positive.map(|buckets| buckets.offset));
        self.positive_bucket_counts.set(row, point.positive.map(|buckets| Varints::numbers(buckets.counts)));
        self.negative_offset.append_option(point.negative.map(|buckets| buckets.offset));
        self.negative_bucket_counts.set(row, point.negative.map(|buckets| Varints::numbers(buckets.counts)));
        if point.has_quantiles {
            self.quantiles.set(row, &lists.quantiles);
        }
    }

    pub(crate) fn finish_into(&mut self, columns: &mut Columns, seal: &Seal) {
        columns.push(Arc::new(self.value_double.finish()));
        columns.push(Arc::new(self.value_int.finish()));
        columns.push(Arc::new(self.count.finish()));
        columns.push(Arc::new(self.sum.finish()));
        columns.push(Arc::new(self.min.finish()));
        columns.push(Arc::new(self.max.finish()));
        columns.push(self.explicit_bounds.finish(seal));
        columns.push(self.bucket_counts.finish(seal));
        columns.push(Arc::new(self.scale.finish()));
        columns.push(Arc::new(self.zero_count.finish()));
        columns.push(Arc::new(self.zero_threshold.finish()));
        columns.push(Arc::new(self.positive_offset.finish()));
        columns.push(self.positive_bucket_counts.finish(seal));
        columns.push(Arc::new(self.negative_offset.finish()));
        columns.push(self.negative_bucket_counts.finish(seal));
        columns.push(self.quantiles.finish(seal));
    }
}

/// A list of counts.
#[derive(Debug)]
pub(crate) struct CountListColumn {
    rows: ListRows,
    items: Vec<i64>,
}

impl CountListColumn {
    pub(crate) fn new() -> Self {
        Self { rows: ListRows::sometimes(), items: Vec::new() }
    }

    pub(crate) fn set(&mut self, row: usize, counts: Option<impl Iterator<Item = u64>>) {
        let Some(counts) = counts else { return };
        self.items.extend(counts.map(signed));
        self.rows.end_row(row, self.items.len());
    }

    pub(crate) fn finish(&mut self, seal: &Seal) -> ArrayRef {
        let items = Arc::new(Int64Array::from(fitted(std::mem::take(&mut self.items))));
        self.rows.finish(items, seal)
    }
}

#[derive(Debug)]
struct DoubleListColumn {
    rows: ListRows,
    items: Float64Builder,
}

impl DoubleListColumn {
    fn set(&mut self, row: usize, numbers: Option<Eights<'_>>) {
        let Some(numbers) = numbers else { return };
        numbers.doubles().for_each(|number| self.items.append_value(number));
        self.rows.end_row(row, self.items.len());
    }

    fn finish(&mut self, seal: &Seal) -> ArrayRef {
        let items = Arc::new(self.items.finish());
        self.rows.finish(items, seal)
    }
}

#[derive(Debug)]
struct QuantileColumn {
    rows: ListRows,
    quantile: Float64Builder,
    value: Float64Builder,
}

impl QuantileColumn {
    fn set(&mut self, row: usize, quantiles: &[Quantile]) {
        for quantile in quantiles {
            self.quantile.append_value(quantile.quantile);
            self.value.append_value(quantile.value);
        }
        self.rows.end_row(row, self.value.len());
    }

    fn finish(&mut self, seal: &Seal) -> ArrayRef {
        let columns: Columns = vec![Arc::new(self.quantile.finish()), Arc::new(self.value.finish())];
        self.rows.finish(Arc::new(StructArray::new(quantile_fields(), columns, None)), seal)
    }
}
