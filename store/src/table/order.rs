//! Brings rows into the order of a table's files: by text columns, then by time, rows that are alike in the order they came.
//!
//! A service has few names and a batch has them in a dictionary, so the sort is one of small numbers.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, StringArray, UInt32Array};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Int32Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::file::FileError;
use crate::schema::TableName;

/// Rows whose columns are made one at a time, when they are asked for, so that not all have to be held.
pub(super) trait Rows {
    /// Their columns.
    fn schema(&self) -> SchemaRef;

    /// How many they are.
    fn count(&self) -> usize;

    /// A column of all of them, in the type that the schema says.
    fn column(&self, at: usize) -> Result<ArrayRef, FileError>;
}

/// Batches as one; the types are those of the first.
impl Rows for [RecordBatch] {
    fn schema(&self) -> SchemaRef {
        self.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema)
    }

    fn count(&self) -> usize {
        self.iter().map(RecordBatch::num_rows).sum()
    }

    fn column(&self, at: usize) -> Result<ArrayRef, FileError> {
        let schema = self.schema();
        let data_type = schema.field(at).data_type();
        let parts = self.iter().map(|batch| in_type(batch.column(at), data_type)).collect::<Result<Vec<_>, _>>()?;
        Ok(joined(&parts)?)
    }
}

/// Parts of a column as one. A text that several dictionaries have is in one of them afterwards.
pub(super) fn joined(parts: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
    if let [one] = parts {
        return Ok(one.clone());
    }
    let dictionaries: Vec<_> = parts.iter().filter_map(in_dictionary).collect();
    if parts.is_empty() || dictionaries.len() < parts.len() {
        return concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    }
    Ok(Arc::new(merged(&dictionaries)?))
}

/// A part's places and texts.
type InDictionary<'p> = (&'p Int32Array, &'p StringArray);

fn in_dictionary(part: &ArrayRef) -> Option<InDictionary<'_>> {
    let dictionary = part.as_dictionary_opt::<Int32Type>()?;
    let texts = dictionary.values().as_string_opt::<i32>()?;
    (texts.null_count() == 0).then_some((dictionary.keys(), texts))
}

fn merged(parts: &[InDictionary<'_>]) -> Result<DictionaryArray<Int32Type>, ArrowError> {
    let bytes: usize = parts.iter().map(|(_, texts)| texts.values().len()).sum();
    i32::try_from(bytes).map_err(|_| ArrowError::OffsetOverflowError(bytes))?;
    let (mut places, mut distinct) = (HashMap::new(), Vec::new());
    let mut keys: Vec<Option<i32>> = Vec::with_capacity(parts.iter().map(|(keys, _)| keys.len()).sum());
    for (own, texts) in parts {
        let place_of = |text| {
            *places.entry(text).or_insert_with(|| {
                distinct.push(text);
                distinct.len() - 1
            })
        };
        let moved = texts.iter().flatten().map(place_of).map(i32::try_from).collect::<Result<Vec<i32>, _>>();
        let moved = moved.map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
        for key in own.iter() {
            let place = key.map(|key| moved.get(key.cast_unsigned() as usize).copied().ok_or(ArrowError::DictionaryKeyOverflowError));
            keys.push(place.transpose()?);
        }
    }
    DictionaryArray::try_new(Int32Array::from(keys), Arc::new(StringArray::from(distinct)))
}

/// Rows in the table's order.
#[derive(Debug)]
pub(super) struct Sorted<'r, R: ?Sized> {
    rows: &'r R,
    schema: SchemaRef,
    /// `None` when the rows stand in order.
    order: Option<UInt32Array>,
}

impl<'r, R: Rows + ?Sized> Sorted<'r, R> {
    pub(super) fn of(table: TableName, rows: &'r R) -> Result<Self, FileError> {
        let mut sorted = Self { rows, schema: rows.schema(), order: None };
        let by = table.sort_columns().iter().map(|name| sorted.schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let columns = by.iter().map(|at| sorted.column(*at)).collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatch::try_new(Arc::new(sorted.schema.project(&by)?), columns)?;
        sorted.order = order_of(table, &rows)?;
        Ok(sorted)
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn count(&self) -> usize {
        self.rows.count()
    }

    /// A column of all rows.
    pub(super) fn column(&self, at: usize) -> Result<ArrayRef, FileError> {
        let column = self.rows.column(at)?;
        Ok(match &self.order {
            Some(order) => taken(&column, order)?,
            None => column,
        })
    }
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

/// A column in a type that holds the same values.
pub(super) fn in_type(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type { Ok(column.clone()) } else { cast(column, data_type) }
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

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use arrow::datatypes::Field;
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
            cut in 0_usize..40,
        ) {
            let all = rows(&of, in_dictionary);
            let batches = [all.slice(0, cut.min(of.len())), all.slice(cut.min(of.len()), of.len() - cut.min(of.len()))];
            let sorted = Sorted::of(TableName::Spans, &batches[..]).unwrap();
            prop_assert_eq!(sorted.count(), of.len());
            let mut expected: Vec<_> = of.iter().zip(0_u32..).collect();
            expected.sort_by_key(|(row, _)| **row);
            let numbers = sorted.column(2).unwrap().as_primitive::<arrow::datatypes::UInt32Type>().values().to_vec();
            prop_assert_eq!(numbers, expected.into_iter().map(|(_, number)| number).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_text_of_several_dictionaries_is_in_the_joined_one_once() {
        let part = |texts: &[Option<&str>]| -> ArrayRef { Arc::new(texts.iter().copied().collect::<DictionaryArray<Int32Type>>()) };
        let parts = [part(&[Some("a"), None, Some("b")]), part(&[]), part(&[Some("b"), Some("c"), Some("a")])];
        let joined = joined(&parts).unwrap();
        let found = joined.as_dictionary::<Int32Type>();
        assert_eq!(found.values().as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "b", "c"]);
        let rows = found.downcast_dict::<StringArray>().unwrap();
        assert_eq!(rows.into_iter().collect::<Vec<_>>(), [Some("a"), None, Some("b"), Some("b"), Some("c"), Some("a")]);
    }
}
