//! Brings rows into the order of a table's files: by text columns, then by time, rows that are alike in the order they came.
//!
//! A service has few names and a batch has them in a dictionary, so the sort is one of small numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int32Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::schema::TableName;

/// The rows in the table's order. What has that order already is not copied.
pub(super) fn sorted(table: TableName, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let Some(order) = order_of(table, &rows)? else { return Ok(rows) };
    let columns = rows.columns().iter().map(|column| taken(column, &order)).collect::<Result<_, _>>()?;
    RecordBatch::try_new(rows.schema(), columns)
}

/// A column whose rows are all alike is the same in any order.
fn taken(column: &ArrayRef, order: &UInt32Array) -> Result<ArrayRef, ArrowError> {
    let one_text = column.as_any_dictionary_opt().is_some_and(|dictionary| dictionary.values().len() == 1 && column.null_count() == 0);
    let empty_maps = column.as_map_opt().is_some_and(|maps| maps.entries().is_empty());
    let empty_lists = column.as_list_opt::<i32>().is_some_and(|lists| lists.values().is_empty());
    let no_items = (empty_maps || empty_lists) && column.null_count() == 0;
    if one_text || no_items || column.null_count() == column.len() {
        return Ok(column.clone());
    }
    take(column, order, None)
}

/// Which row comes first, second, …; `None` when they stand in order.
fn order_of(table: TableName, rows: &RecordBatch) -> Result<Option<UInt32Array>, ArrowError> {
    let mut ranks = vec![0_u64; rows.num_rows()];
    for name in table.sort_columns().iter().filter(|name| **name != "time") {
        add_ranks(column(rows, name)?, &mut ranks)?;
    }
    let times = column(rows, "time")?;
    let times =
        times.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| ArrowError::SchemaError("time is no timestamp".to_owned()))?;
    let mut keys: Vec<(u64, i64, u32)> =
        ranks.into_iter().zip(times.values()).zip(0..).map(|((rank, time), row)| (rank, *time, row)).collect();
    if keys.is_sorted() {
        return Ok(None);
    }
    keys.sort_unstable();
    Ok(Some(keys.into_iter().map(|(_, _, row)| row).collect::<Vec<_>>().into()))
}

/// Makes the ranks finer by one text column; rows without a text come first.
fn add_ranks(texts: &ArrayRef, ranks: &mut [u64]) -> Result<(), ArrowError> {
    let texts = cast(texts, &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)))?;
    let texts = texts.as_dictionary::<Int32Type>();
    let values = texts.values().as_string::<i32>();
    let by_value = ranks_of(values);
    let kinds = values.len() as u64 + 1;
    let keys: &Int32Array = texts.keys();
    for (row, rank) in ranks.iter_mut().enumerate() {
        let own = if keys.is_null(row) { 0 } else { by_value[keys.value(row).cast_unsigned() as usize] };
        *rank = *rank * kinds + own;
    }
    Ok(())
}

/// The place of each text among all, from 1; texts that are the same have the same.
fn ranks_of(values: &StringArray) -> Vec<u64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values.value(*a).cmp(values.value(*b)));
    let mut ranks = vec![0; values.len()];
    let mut rank = 0;
    for (place, at) in order.iter().enumerate() {
        let same = place > 0 && values.value(order[place - 1]) == values.value(*at);
        rank += u64::from(!same);
        ranks[*at] = rank;
    }
    ranks
}

fn column<'r>(rows: &'r RecordBatch, name: &str) -> Result<&'r ArrayRef, ArrowError> {
    rows.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))
}

/// Several batches as one, in the types of the first.
pub(super) fn joined(batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let [first, others @ ..] = batches else { return Err(ArrowError::InvalidArgumentError("no rows".to_owned())) };
    if others.is_empty() {
        return Ok(first.clone());
    }
    let schema = first.schema();
    let alike = batches.iter().map(|batch| in_types_of(&schema, batch)).collect::<Result<Vec<_>, _>>()?;
    arrow::compute::concat_batches(&schema, &alike)
}

/// A batch with its columns in the types of a schema of the same columns.
pub(super) fn in_types_of(schema: &arrow::datatypes::SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if batch.schema().fields() == schema.fields() {
        return Ok(batch.clone());
    }
    let columns =
        schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            if column.data_type() == field.data_type() { Ok(column.clone()) } else { cast(column, field.data_type()) }
        });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Schema};
    use proptest::prelude::*;

    use super::*;

    fn rows(of: &[(Option<&str>, i64)], in_dictionary: bool) -> RecordBatch {
        let services = of.iter().map(|(service, _)| *service);
        let services: ArrayRef = if in_dictionary {
            Arc::new(services.collect::<DictionaryArray<Int32Type>>())
        } else {
            Arc::new(services.collect::<StringArray>())
        };
        let times = Arc::new(TimestampMicrosecondArray::from_iter_values(of.iter().map(|(_, time)| *time)));
        let numbers = Arc::new(UInt32Array::from_iter_values(0..u32::try_from(of.len()).unwrap()));
        let columns: [(&str, ArrayRef); 3] = [("service_name", services), ("time", times), ("number", numbers)];
        let fields: Vec<Field> = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.map(|(_, column)| column).to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn rows_are_sorted_by_service_and_time_and_stay_in_order_otherwise(
            of in prop::collection::vec((prop::option::of(prop::sample::select(&["b", "a", "", "c"][..])), 0_i64..4), 0..40),
            in_dictionary in any::<bool>(),
        ) {
            let sorted = sorted(TableName::Spans, rows(&of, in_dictionary)).unwrap();
            let mut expected: Vec<_> = of.iter().zip(0_u32..).collect();
            expected.sort_by_key(|(row, _)| **row);
            let numbers = sorted.column(2).as_primitive::<arrow::datatypes::UInt32Type>().values().to_vec();
            prop_assert_eq!(numbers, expected.into_iter().map(|(_, number)| number).collect::<Vec<_>>());
        }
    }
}
