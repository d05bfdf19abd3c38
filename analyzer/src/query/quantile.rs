//! `duration_quantile(q, duration_scale, duration_zero_count, duration_offset, duration_counts)`: a quantile of merged histograms of `red`, in seconds.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, ListArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use haldane_store::ExponentialHistogram;
use haldane_store::histogram::DURATION_SCALE;

const NAME: &str = "duration_quantile";
/// No bucket of a duration lies further from 1 ns.
const REACH_MAX: usize = 1 << 16;

/// The function.
pub(super) fn duration_quantile() -> AggregateUDF {
    let item = Arc::new(Field::new_list_field(DataType::Int64, true));
    let arguments = vec![DataType::Float64, DataType::Int32, DataType::Int64, DataType::Int32, DataType::List(item)];
    AggregateUDF::from(DurationQuantile { signature: Signature::exact(arguments, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DurationQuantile {
    signature: Signature,
}

impl AggregateUDFImpl for DurationQuantile {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Merged { quantile: None, histogram: ExponentialHistogram::new(DURATION_SCALE) }))
    }

    fn state_fields(&self, _: StateFieldsArgs<'_>) -> Result<Vec<Arc<Field>>> {
        let item = Arc::new(Field::new_list_field(DataType::Int64, true));
        let fields = [
            ("quantile", DataType::Float64),
            ("scale", DataType::Int32),
            ("zero_count", DataType::Int64),
            ("offset", DataType::Int32),
            ("counts", DataType::List(item)),
        ];
        Ok(fields.into_iter().map(|(name, kind)| Arc::new(Field::new(format!("{NAME}_{name}"), kind, true))).collect())
    }
}

/// Histograms of a group, merged.
#[derive(Debug)]
struct Merged {
    quantile: Option<f64>,
    histogram: ExponentialHistogram,
}

impl Accumulator for Merged {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [quantiles, scales, zeros, offsets, counts] = values else { return exec_err!("{NAME} takes five arguments") };
        let (quantiles, scales) = (quantiles.as_primitive_opt::<Float64Type>(), scales.as_primitive_opt::<Int32Type>());
        let (zeros, offsets) = (zeros.as_primitive_opt::<Int64Type>(), offsets.as_primitive_opt::<Int32Type>());
        let (Some(quantiles), Some(scales), Some(zeros), Some(offsets), Some(counts)) =
            (quantiles, scales, zeros, offsets, counts.as_list_opt::<i32>())
        else {
            return exec_err!(
                "{NAME} takes a quantile and the columns duration_scale, duration_zero_count, duration_offset, duration_counts"
            );
        };
        for row in (0..scales.len()).filter(|row| !scales.is_null(*row) && !counts.is_null(*row) && !quantiles.is_null(*row)) {
            self.quantile = Some(quantiles.value(row));
            let buckets = counts.value(row);
            let Some(buckets) = buckets.as_primitive_opt::<Int64Type>() else {
                return exec_err!("{NAME}: duration_counts are whole numbers");
            };
            let (offset, reach) = (offsets.value(row), offsets.value(row).unsigned_abs() as usize);
            if reach > REACH_MAX || buckets.len() > REACH_MAX {
                return exec_err!("{NAME}: a histogram reaches further than any duration does");
            }
            let whole = |count: &i64| u64::try_from(*count).unwrap_or(0);
            let buckets = buckets.values().iter().map(whole).collect();
            let zero = if zeros.is_null(row) { 0 } else { whole(&zeros.value(row)) };
            self.histogram.merge(&ExponentialHistogram::from_parts(scales.value(row), zero, offset, buckets));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.quantile.filter(|q| self.histogram.count() > 0 && (0.0..=1.0).contains(q));
        Ok(ScalarValue::Float64(value.map(|q| self.histogram.quantile(q) / 1e9)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + size_of_val(self.histogram.counts())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let counts: Vec<Option<i64>> = self.histogram.counts().iter().map(|count| Some(number(*count))).collect();
        let counts = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(counts)]);
        Ok(vec![
            ScalarValue::Float64(self.quantile),
            ScalarValue::Int32(Some(self.histogram.scale())),
            ScalarValue::Int64(Some(number(self.histogram.zero_count()))),
            ScalarValue::Int32(Some(self.histogram.offset())),
            ScalarValue::List(Arc::new(counts)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        // The state has the form of the arguments; a part that saw no row has no quantile, and adds nothing.
        self.update_batch(states)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cohort::tests::engine_over;
    use haldane_store::TableName;

    fn row(operation: &str, millis: &[f64]) -> Value {
        let mut histogram = ExponentialHistogram::new(DURATION_SCALE);
        millis.iter().for_each(|ms| histogram.record(ms * 1e6));
        json!({"time": "1970-01-12T13:46:40Z", "service_name": "cart", "operation": operation, "requests": millis.len(), "errors": 0, "span_kind": "SERVER",
            "duration_scale": histogram.scale(), "duration_zero_count": 0, "duration_offset": histogram.offset(), "duration_counts": histogram.counts()})
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn quantiles_of_merged_histograms_are_those_of_all_values() {
        let slow: Vec<f64> = (1..=50).map(|n| f64::from(n) * 10.0).collect();
        let fast: Vec<f64> = (1..=50).map(f64::from).collect();
        let (_dir, engine) = engine_over(vec![(TableName::Red, vec![row("a", &slow), row("a", &fast), row("b", &[5.0])])]).await;
        let session = engine.wire_session(Vec::new(), 64 << 20).await.unwrap();
        let sql = "SELECT operation, duration_quantile(0.9, duration_scale, duration_zero_count, duration_offset, duration_counts) AS p90, environment
            FROM red GROUP BY operation, environment ORDER BY operation";
        let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
        let all = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        let p90 = all.column(1).as_primitive::<Float64Type>();
        assert!((p90.value(0) / 0.4 - 1.0).abs() < 0.02 && (p90.value(1) / 0.005 - 1.0).abs() < 0.02, "{p90:?}");
        assert_eq!(all.column(2).as_string::<i32>().value(0), "default");
        assert!(session.sql("SELECT * FROM public.red").await.is_err(), "only the views can be named");
        let json = session.sql("SELECT cohort_attributes FROM red LIMIT 1").await.unwrap().collect().await.unwrap();
        assert_eq!(json[0].column(0).data_type(), &DataType::Utf8);
    }
}
