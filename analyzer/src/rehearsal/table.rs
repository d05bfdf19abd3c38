//! `calibrations` in SQL: a row for each service and comparison.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::calibrations::{Calibrated, Calibrations};
use crate::judge::ComparisonCalibration;

/// What is known when it is read.
#[derive(Debug)]
pub(crate) struct CalibrationTable {
    schema: SchemaRef,
    calibrations: Calibrations,
}

impl CalibrationTable {
    /// The table's name in SQL.
    pub(crate) const NAME: &str = "calibrations";

    pub(crate) fn new(calibrations: Calibrations) -> Self {
        let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let fields = [
            ("service_name", DataType::Utf8),
            ("environment", DataType::Utf8),
            ("check", DataType::Utf8),
            ("from", time()),
            ("until", time()),
            ("replays", DataType::Int64),
            ("alarms", DataType::Int64),
            ("false_rollback_rate", DataType::Float64),
            ("stated_rate", DataType::Float64),
            ("phi", DataType::Float64),
            ("tau", DataType::Float64),
            ("discount", DataType::Float64),
        ];
        let schema = Schema::new(fields.map(|(name, kind)| Field::new(name, kind, false)).to_vec());
        Self { schema: Arc::new(schema), calibrations }
    }

    fn rows(&self) -> Result<RecordBatch> {
        let all = self.calibrations.all();
        let rows: Vec<(&Calibrated, &ComparisonCalibration)> =
            all.iter().flat_map(|one| one.calibration.comparisons.iter().map(move |comparison| (one, comparison))).collect();
        let text = |value: fn(&Calibrated, &ComparisonCalibration) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(one, comparison)| value(one, comparison))))
        };
        let time = |value: fn(&Calibrated) -> i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(one, _)| value(one))).with_timezone("UTC"))
        };
        let count = |value: fn(&Calibrated, &ComparisonCalibration) -> u64| -> ArrayRef {
            let counts = rows.iter().map(|(one, comparison)| i64::try_from(value(one, comparison)).unwrap_or(i64::MAX));
            Arc::new(Int64Array::from_iter_values(counts))
        };
        let number = |value: fn(&Calibrated, &ComparisonCalibration) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|(one, comparison)| value(one, comparison))))
        };
        let columns = vec![
            text(|one, _| one.service.clone()),
            text(|one, _| one.environment.clone()),
            text(|_, comparison| comparison.name.clone()),
            time(|one| one.calibration.from.as_micros()),
            time(|one| one.calibration.until.as_micros()),
            count(|one, _| one.calibration.replays),
            count(|_, comparison| comparison.alarms),
            number(|one, comparison| comparison.alarms as f64 / one.calibration.replays.max(1) as f64),
            number(|_, comparison| comparison.stated),
            number(|_, comparison| comparison.phi),
            number(|_, comparison| comparison.tau),
            number(|_, comparison| comparison.discount.exp()),
        ];
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

#[async_trait::async_trait]
impl TableProvider for CalibrationTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = MemTable::try_new(self.schema.clone(), vec![vec![self.rows()?]])?;
        rows.scan(session, projection, filters, limit).await
    }
}
