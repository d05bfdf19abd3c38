//! The columns of `metrics` that hold values: those of other types of point are null.

use std::sync::Arc;

use arrow::array::{ArrayBuilder as _, ArrayRef, Float64Builder, Int32Builder, Int64Builder, StructArray};
use haldane_store::schema::quantile_fields;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;

use super::columns::{Columns, ListRows, signed};
use super::point::PointValue;

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

/// One row of all of them; what is not set is null.
#[derive(Debug, Default)]
struct Values<'a> {
    number: Option<number_data_point::Value>,
    count: Option<u64>,
    sum: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    explicit_bounds: Option<&'a [f64]>,
    bucket_counts: Option<&'a [u64]>,
    scale: Option<i32>,
    zero_count: Option<u64>,
    zero_threshold: Option<f64>,
    positive: Option<&'a Buckets>,
    negative: Option<&'a Buckets>,
    quantiles: Option<&'a [ValueAtQuantile]>,
}

impl<'a> From<PointValue<'a>> for Values<'a> {
    fn from(value: PointValue<'a>) -> Self {
        match value {
            PointValue::Number(number) => Self { number, ..Self::default() },
            PointValue::Histogram(point) => Self {
                count: Some(point.count),
                sum: point.sum,
                min: point.min,
                max: point.max,
                explicit_bounds: Some(&point.explicit_bounds),
                bucket_counts: Some(&point.bucket_counts),
                ..Self::default()
            },
            PointValue::Exponential(point) => Self {
                count: Some(point.count),
                sum: point.sum,
                min: point.min,
                max: point.max,
                scale: Some(point.scale),
                zero_count: Some(point.zero_count),
                zero_threshold: Some(point.zero_threshold),
                positive: point.positive.as_ref(),
                negative: point.negative.as_ref(),
                ..Self::default()
            },
            PointValue::Summary(point) => {
                Self { count: Some(point.count), sum: Some(point.sum), quantiles: Some(&point.quantile_values), ..Self::default() }
            }
        }
    }
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
            explicit_bounds: DoubleListColumn { rows: ListRows::new(), items: Float64Builder::new() },
            bucket_counts: CountListColumn::new(),
            scale: Int32Builder::new(),
            zero_count: Int64Builder::new(),
            zero_threshold: Float64Builder::new(),
            positive_offset: Int32Builder::new(),
            positive_bucket_counts: CountListColumn::new(),
            negative_offset: Int32Builder::new(),
            negative_bucket_counts: CountListColumn::new(),
            quantiles: QuantileColumn { rows: ListRows::new(), quantile: Float64Builder::new(), value: Float64Builder::new() },
        }
    }

    pub(crate) fn append(&mut self, value: PointValue<'_>) {
        let values = Values::from(value);
        let (double, int) = match values.number {
            Some(number_data_point::Value::AsDouble(number)) => (Some(number), None),
            Some(number_data_point::Value::AsInt(number)) => (None, Some(number)),
            None => (None, None),
        };
        self.value_double.append_option(double);
        self.value_int.append_option(int);
        self.count.append_option(values.count.map(signed));
        self.sum.append_option(values.sum);
        self.min.append_option(values.min);
        self.max.append_option(values.max);
        self.explicit_bounds.append(values.explicit_bounds);
        self.bucket_counts.append(values.bucket_counts);
        self.scale.append_option(values.scale);
        self.zero_count.append_option(values.zero_count.map(signed));
        self.zero_threshold.append_option(values.zero_threshold);
        self.positive_offset.append_option(values.positive.map(|buckets| buckets.offset));
        self.positive_bucket_counts.append(values.positive.map(|buckets| &buckets.bucket_counts[..]));
        self.negative_offset.append_option(values.negative.map(|buckets| buckets.offset));
        self.negative_bucket_counts.append(values.negative.map(|buckets| &buckets.bucket_counts[..]));
        self.quantiles.append(values.quantiles);
    }

    pub(crate) fn finish_into(&mut self, columns: &mut Columns) {
        columns.push(Arc::new(self.value_double.finish()));
        columns.push(Arc::new(self.value_int.finish()));
        columns.push(Arc::new(self.count.finish()));
        columns.push(Arc::new(self.sum.finish()));
        columns.push(Arc::new(self.min.finish()));
        columns.push(Arc::new(self.max.finish()));
        columns.push(self.explicit_bounds.finish());
        columns.push(self.bucket_counts.finish());
        columns.push(Arc::new(self.scale.finish()));
        columns.push(Arc::new(self.zero_count.finish()));
        columns.push(Arc::new(self.zero_threshold.finish()));
        columns.push(Arc::new(self.positive_offset.finish()));
        columns.push(self.positive_bucket_counts.finish());
        columns.push(Arc::new(self.negative_offset.finish()));
        columns.push(self.negative_bucket_counts.finish());
        columns.push(self.quantiles.finish());
    }
}

/// A list of counts.
#[derive(Debug)]
pub(crate) struct CountListColumn {
    rows: ListRows,
    items: Int64Builder,
}

impl CountListColumn {
    pub(crate) fn new() -> Self {
        Self { rows: ListRows::new(), items: Int64Builder::new() }
    }

    pub(crate) fn append(&mut self, counts: Option<&[u64]>) {
        for count in counts.unwrap_or_default() {
            self.items.append_value(signed(*count));
        }
        match counts {
            Some(_) => self.rows.end_row(self.items.len()),
            None => self.rows.null_row(self.items.len()),
        }
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        let items = Arc::new(self.items.finish());
        self.rows.finish(items)
    }
}

#[derive(Debug)]
struct DoubleListColumn {
    rows: ListRows,
    items: Float64Builder,
}

impl DoubleListColumn {
    fn append(&mut self, numbers: Option<&[f64]>) {
        self.items.append_slice(numbers.unwrap_or_default());
        match numbers {
            Some(_) => self.rows.end_row(self.items.len()),
            None => self.rows.null_row(self.items.len()),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        let items = Arc::new(self.items.finish());
        self.rows.finish(items)
    }
}

#[derive(Debug)]
struct QuantileColumn {
    rows: ListRows,
    quantile: Float64Builder,
    value: Float64Builder,
}

impl QuantileColumn {
    fn append(&mut self, quantiles: Option<&[ValueAtQuantile]>) {
        for quantile in quantiles.unwrap_or_default() {
            self.quantile.append_value(quantile.quantile);
            self.value.append_value(quantile.value);
        }
        match quantiles {
            Some(_) => self.rows.end_row(self.value.len()),
            None => self.rows.null_row(self.value.len()),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        let columns: Columns = vec![Arc::new(self.quantile.finish()), Arc::new(self.value.finish())];
        self.rows.finish(Arc::new(StructArray::new(quantile_fields(), columns, None)))
    }
}
