//! Points out of the columns of `metrics`, and what they add back into them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, PrimitiveArray,
    UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{Field, Float64Type, Int32Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use haldane_store::histogram::{ExplicitHistogram, ExponentialHistogram};

use super::RESET;
use crate::series::{Increase, Point, TwoSided, Values, increase};

/// What a row is told by, besides its values.
pub(super) const READ: &[&str] = &["series_id", "metric_type", "temporality", "is_monotonic", "time_unix_nano", "flags"];
/// What is written anew.
pub(super) const WRITTEN: &[&str] = &[
    "start_time_unix_nano",
    "value_double",
    "value_int",
    "count",
    "sum",
    "explicit_bounds",
    "bucket_counts",
    "scale",
    "zero_count",
    "zero_threshold",
    "positive_offset",
    "positive_bucket_counts",
    "negative_offset",
    "negative_bucket_counts",
];
/// What a total tells of all its time only.
const OF_ALL_TIME: [&str; 3] = ["min", "max", "quantiles"];
/// A point that says that there is no value.
const NO_RECORDED_VALUE: i64 = 1;

/// Goes through rows that are sorted by series and time.
pub(super) struct Walk {
    schema: SchemaRef,
    known_from: Option<i64>,
    before: Option<(String, Point)>,
}

impl Walk {
    pub(super) fn new(schema: SchemaRef, known_from: Option<i64>) -> Self {
        Self { schema, known_from, before: None }
    }

    /// The rows that add something that can be told.
    pub(super) fn deltas(&mut self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let points = Points::of(rows)?;
        let (mut kept, mut written) = (Vec::new(), Written::default());
        for row in 0..rows.num_rows() {
            let (Some(series), Some(point)) = (points.text("series_id", row), points.point(row)) else { continue };
            if points.text("temporality", row) == Some("delta") {
                let start = point.start.unwrap_or(point.time);
                written.push(Increase { start, values: point.values, reset: false }, true);
                kept.push(row);
                continue;
            }
            let before = self.before.as_ref().filter(|(known, _)| known == series).map(|(_, point)| point);
            if before.is_some_and(|before| point.time <= before.time) {
                continue;
            }
            if let Some(increase) = increase(before, &point, self.known_from) {
                written.push(increase, false);
                kept.push(row);
            }
            match &mut self.before {
                Some((known, before)) if known == series => *before = point,
                other => *other = Some((series.to_owned(), point)),
            }
        }
        let kept = kept.into_iter().map(|row| u32::try_from(row).map_err(|_| ArrowError::ComputeError("a batch is too long".to_owned())));
        let kept: UInt32Array = kept.collect::<Result<Vec<_>, _>>()?.into();
        let (mut written, whole) = written.finish();
        let columns = self.schema.fields().iter().map(|field| {
            let name = field.name().as_str();
            if let Some(at) = written.iter().position(|(written, _)| *written == name) {
                return Ok(written.swap_remove(at).1);
            }
            let column = take(points.column(name)?, &kept, None)?;
            if OF_ALL_TIME.contains(&name) {
                arrow::compute::kernels::zip::zip(&whole, &column, &new_null_array(column.data_type(), column.len()))
            } else {
                Ok(column)
            }
        });
        RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<Vec<_>, _>>()?)
    }
}

/// The rows of a batch as points.
struct Points<'r>(&'r RecordBatch);

impl<'r> Points<'r> {
    fn of(rows: &'r RecordBatch) -> Result<Self, ArrowError> {
        let points = Self(rows);
        READ.iter().chain(WRITTEN).try_for_each(|name| points.column(name).map(drop))?;
        Ok(points)
    }

    fn column(&self, name: &str) -> Result<&'r ArrayRef, ArrowError> {
        self.0.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("metrics has no column {name}")))
    }

    fn text(&self, name: &str, row: usize) -> Option<&'r str> {
        let column = self.0.column_by_name(name)?.as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn number<T: ArrowPrimitiveType>(&self, name: &str, row: usize) -> Option<T::Native> {
        let column = self.0.column_by_name(name)?.as_primitive_opt::<T>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn list<T: ArrowPrimitiveType>(&self, name: &str, row: usize) -> Option<PrimitiveArray<T>> {
        let column = self.0.column_by_name(name)?.as_list_opt::<i32>()?;
        if column.is_null(row) {
            return None;
        }
        column.value(row).as_primitive_opt::<T>().cloned()
    }

    fn count(&self, name: &str, row: usize) -> Option<u64> {
        self.number::<Int64Type>(name, row).and_then(|count| u64::try_from(count).ok())
    }

    fn counts(&self, name: &str, row: usize) -> Vec<u64> {
        let counts = self.list::<Int64Type>(name, row);
        counts.iter().flat_map(|counts| counts.values().iter().map(|count| u64::try_from(*count).unwrap_or(0))).collect()
    }

    /// `None` for a point without a value.
    fn point(&self, row: usize) -> Option<Point> {
        if self.number::<Int64Type>("flags", row).is_some_and(|flags| flags & NO_RECORDED_VALUE != 0) {
            return None;
        }
        let time = self.number::<Int64Type>("time_unix_nano", row)?;
        Some(Point { start: self.number::<Int64Type>("start_time_unix_nano", row), time, values: self.values(row)? })
    }

    fn values(&self, row: usize) -> Option<Values> {
        let monotonic = || {
            let column = self.0.column_by_name("is_monotonic").and_then(|column| column.as_boolean_opt());
            column.is_some_and(|column| column.is_valid(row) && column.value(row))
        };
        let sum = || self.number::<Float64Type>("sum", row);
        Some(match self.text("metric_type", row)? {
            "sum" => match self.number::<Int64Type>("value_int", row) {
                Some(value) => Values::Int { value, monotonic: monotonic() },
                None => Values::Double { value: self.number::<Float64Type>("value_double", row)?, monotonic: monotonic() },
            },
            "histogram" => {
                let bounds = self.list::<Float64Type>("explicit_bounds", row).map(|bounds| bounds.values().to_vec()).unwrap_or_default();
                let histogram = ExplicitHistogram::from_parts(bounds, self.counts("bucket_counts", row))?;
                Values::Explicit { count: self.count("count", row)?, sum: sum(), histogram }
            }
            "exponential_histogram" => {
                let scale = self.number::<Int32Type>("scale", row)?;
                let side = |zero_count, offset, counts| {
                    let offset = self.number::<Int32Type>(offset, row).unwrap_or_default();
                    ExponentialHistogram::from_parts(scale, zero_count, offset, self.counts(counts, row))
                };
                let zero_threshold = self.number::<Float64Type>("zero_threshold", row).unwrap_or_default();
                let positive = side(self.count("zero_count", row).unwrap_or_default(), "positive_offset", "positive_bucket_counts");
                let negative = side(0, "negative_offset", "negative_bucket_counts");
                let histogram = TwoSided { zero_threshold, positive, negative };
                Values::Exponential { count: self.count("count", row)?, sum: sum(), histogram }
            }
            "summary" => Values::Summary { count: self.count("count", row)?, sum: sum() },
            _ => return None,
        })
    }
}

/// The columns that are written anew, as they grow.
struct Written {
    reset: BooleanBuilder,
    /// Whether a row tells all that its point told.
    whole: BooleanBuilder,
    start: Int64Builder,
    value_double: Float64Builder,
    value_int: Int64Builder,
    count: Int64Builder,
    sum: Float64Builder,
    explicit_bounds: ListBuilder<Float64Builder>,
    bucket_counts: ListBuilder<Int64Builder>,
    scale: Int32Builder,
    zero_count: Int64Builder,
    zero_threshold: Float64Builder,
    sides: [(Int32Builder, ListBuilder<Int64Builder>); 2],
}

impl Default for Written {
    fn default() -> Self {
        let counts = || ListBuilder::new(Int64Builder::new()).with_field(Field::new("element", Int64Type::DATA_TYPE, true));
        Self {
            reset: BooleanBuilder::new(),
            whole: BooleanBuilder::new(),
            start: Int64Builder::new(),
            value_double: Float64Builder::new(),
            value_int: Int64Builder::new(),
            count: Int64Builder::new(),
            sum: Float64Builder::new(),
            explicit_bounds: ListBuilder::new(Float64Builder::new()).with_field(Field::new("element", Float64Type::DATA_TYPE, true)),
            bucket_counts: counts(),
            scale: Int32Builder::new(),
            zero_count: Int64Builder::new(),
            zero_threshold: Float64Builder::new(),
            sides: [(Int32Builder::new(), counts()), (Int32Builder::new(), counts())],
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn append_counts(list: &mut ListBuilder<Int64Builder>, counts: Option<&[u64]>) {
    match counts {
        None => list.append_null(),
        Some(counts) => list.append_value(counts.iter().map(|count| Some(signed(*count)))),
    }
}

impl Written {
    fn push(&mut self, increase: Increase, whole: bool) {
        self.reset.append_value(increase.reset);
        self.whole.append_value(whole);
        self.start.append_value(increase.start);
        let (mut value_int, mut value_double, mut count, mut sum, mut explicit, mut exponential) = (None, None, None, None, None, None);
        match increase.values {
            Values::Int { value, .. } => value_int = Some(value),
            Values::Double { value, .. } => value_double = Some(value),
            Values::Summary { count: n, sum: s } => (count, sum) = (Some(n), s),
            Values::Explicit { count: n, sum: s, histogram } => (count, sum, explicit) = (Some(n), s, Some(histogram)),
            Values::Exponential { count: n, sum: s, histogram } => (count, sum, exponential) = (Some(n), s, Some(histogram)),
        }
        self.value_int.append_option(value_int);
        self.value_double.append_option(value_double);
        self.count.append_option(count.map(signed));
        self.sum.append_option(sum);
        match &explicit {
            Some(histogram) => self.explicit_bounds.append_value(histogram.bounds().iter().map(|bound| Some(*bound))),
            None => self.explicit_bounds.append_null(),
        }
        append_counts(&mut self.bucket_counts, explicit.as_ref().map(ExplicitHistogram::counts));
        self.scale.append_option(exponential.as_ref().map(|histogram| histogram.positive.scale()));
        self.zero_count.append_option(
            exponential.as_ref().map(|histogram| signed(histogram.positive.zero_count().saturating_add(histogram.negative.zero_count()))),
        );
        self.zero_threshold.append_option(exponential.as_ref().map(|histogram| histogram.zero_threshold));
        let sides = exponential.as_ref().map(|histogram| [&histogram.positive, &histogram.negative]);
        for (at, (offset, counts)) in self.sides.iter_mut().enumerate() {
            let side = sides.map(|sides| sides[at]);
            offset.append_option(side.map(ExponentialHistogram::offset));
            append_counts(counts, side.map(ExponentialHistogram::counts));
        }
    }

    /// The columns by name, and which rows are whole.
    fn finish(mut self) -> (Vec<(&'static str, ArrayRef)>, arrow::array::BooleanArray) {
        let [(positive_offset, positive), (negative_offset, negative)] = &mut self.sides;
        let columns: Vec<(&'static str, ArrayRef)> = vec![
            (RESET, Arc::new(self.reset.finish())),
            ("start_time_unix_nano", Arc::new(self.start.finish())),
            ("value_double", Arc::new(self.value_double.finish())),
            ("value_int", Arc::new(self.value_int.finish())),
            ("count", Arc::new(self.count.finish())),
            ("sum", Arc::new(self.sum.finish())),
            ("explicit_bounds", Arc::new(self.explicit_bounds.finish())),
            ("bucket_counts", Arc::new(self.bucket_counts.finish())),
            ("scale", Arc::new(self.scale.finish())),
            ("zero_count", Arc::new(self.zero_count.finish())),
            ("zero_threshold", Arc::new(self.zero_threshold.finish())),
            ("positive_offset", Arc::new(positive_offset.finish())),
            ("positive_bucket_counts", Arc::new(positive.finish())),
            ("negative_offset", Arc::new(negative_offset.finish())),
            ("negative_bucket_counts", Arc::new(negative.finish())),
        ];
        (columns, self.whole.finish())
    }
}
