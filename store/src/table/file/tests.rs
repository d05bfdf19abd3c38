use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, ListArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Encoding;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use super::properties::STATISTICS_BYTES_MAX;
use super::*;

/// The columns as one row group's rows: a text in a dictionary, the same required, a list, a number.
fn rows(texts: &[Option<String>]) -> RecordBatch {
    let text: DictionaryArray<Int32Type> = texts.iter().map(Option::as_deref).collect();
    let required: DictionaryArray<Int32Type> = texts.iter().map(|text| Some(text.as_deref().unwrap_or("none"))).collect();
    let lists = texts.iter().map(|text| text.as_ref().map(|text| text.bytes().map(|byte| Some(i64::from(byte))).collect::<Vec<_>>()));
    let columns: [(&str, ArrayRef, bool); 4] = [
        ("http_route", Arc::new(text), true),
        ("lists", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)), true),
        ("service_name", Arc::new(required), false),
        ("number", Arc::new(Int64Array::from_iter_values(0..i64::try_from(texts.len()).unwrap())), false),
    ];
    let fields: Vec<Field> = columns.iter().map(|(name, column, null)| Field::new(*name, column.data_type().clone(), *null)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.map(|(_, column, _)| column).to_vec()).unwrap()
}

fn written(groups: &[RecordBatch]) -> std::fs::File {
    let mut rows = RowGroups::create(tempfile::tempfile().unwrap(), &groups[0].schema()).unwrap();
    for group in groups {
        let columns = group.schema().fields().iter().cloned().zip(group.columns().iter().cloned()).collect::<Vec<_>>();
        rows.write(columns.into_iter().map(Ok)).unwrap();
    }
    rows.finish().unwrap()
}

/// All rows of a file, text as plain text.
fn read(file: &std::fs::File) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.try_clone().unwrap()).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

fn plain(column: &ArrayRef) -> ArrayRef {
    if column.as_any_dictionary_opt().is_some() { cast(column, &DataType::Utf8).unwrap() } else { column.clone() }
}

/// Runs of few texts, many different ones, rows without.
fn texts() -> impl Strategy<Value = Vec<Option<String>>> {
    let text = prop_oneof![
        4 => prop::sample::select(vec!["GET", "POST", "", "ä€𝄞"]).prop_map(|text| Some(text.to_owned())),
        2 => "[a-z]{0,12}".prop_map(Some),
        1 => Just(None),
    ];
    prop::collection::vec((text, prop_oneof![1_usize..3, 1_usize..90]), 1..60)
        .prop_map(|runs| runs.into_iter().flat_map(|(text, times)| std::iter::repeat_n(text, times)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read(first in texts(), second in texts(), cut in 0_usize..40) {
        let second = rows(&second);
        let second = second.slice(cut.min(second.num_rows() - 1), second.num_rows() - cut.min(second.num_rows() - 1));
        let groups = [rows(&first), second];
        let file = written(&groups);
        let expected = arrow::compute::concat_batches(&groups[0].schema(), &groups).unwrap();
        let found = read(&file);
        let found = arrow::compute::concat_batches(&found[0].schema(), &found).unwrap();
        prop_assert_eq!(found.num_rows(), expected.num_rows());
        for (found, expected) in found.columns().iter().zip(expected.columns()) {
            prop_assert_eq!(&plain(found).to_data(), &plain(expected).to_data());
        }
    }
}

#[test]
fn a_chunk_says_its_least_and_greatest_text_and_how_many_rows_have_none() {
    let texts = [Some("b".to_owned()), None, Some("a".to_owned()), Some("c".to_owned())];
    let reader = SerializedFileReader::new(written(&[rows(&texts)])).unwrap();
    let group = reader.metadata().row_group(0);
    let Some(Statistics::ByteArray(found)) = group.column(0).statistics() else { panic!("no statistics") };
    assert_eq!((found.min_bytes_opt(), found.max_bytes_opt(), found.null_count_opt()), (Some(&b"a"[..]), Some(&b"c"[..]), Some(1)));
    let long = [Some("b".repeat(STATISTICS_BYTES_MAX + 1)), None];
    let reader = SerializedFileReader::new(written(&[rows(&long)])).unwrap();
    let Some(Statistics::ByteArray(found)) = reader.metadata().row_group(0).column(0).statistics() else { panic!("no statistics") };
    assert_eq!((found.min_bytes_opt(), found.null_count_opt()), (None, Some(1)), "no reader is told a text that is not there");
}

#[test]
fn texts_that_do_not_fit_a_dictionary_are_written_all_the_same() {
    let texts: Vec<Option<String>> = (0..200).map(|number| Some(format!("{number}").repeat(20_000))).collect();
    let rows = rows(&texts);
    let rows = rows.project(&[0, 3]).unwrap();
    let file = written(std::slice::from_ref(&rows));
    let found: usize =
        read(&file).iter().map(|batch| cast(batch.column(0), &DataType::Utf8).unwrap().as_string::<i32>().values().len()).sum();
    assert_eq!(found, texts.iter().flatten().map(String::len).sum::<usize>());
}

#[test]
fn values_that_no_row_has_are_left_out() {
    let keys = arrow::array::Int32Array::from(vec![2, 2, 0]);
    let values = Arc::new(StringArray::from(vec!["a", "unused", "c"]));
    let column: ArrayRef = Arc::new(DictionaryArray::new(keys, values));
    let schema = Arc::new(Schema::new(vec![Field::new("service_name", column.data_type().clone(), true)]));
    let rows = RecordBatch::try_new(schema, vec![column]).unwrap();
    let reader = SerializedFileReader::new(written(&[rows])).unwrap();
    let mut pages = reader.get_row_group(0).unwrap().get_column_page_reader(0).unwrap();
    let dictionary = pages.get_next_page().unwrap().unwrap();
    assert_eq!((dictionary.num_values(), &dictionary.buffer()[..]), (2, &b"\x01\0\0\0c\x01\0\0\0a"[..]));
}

#[test]
fn a_part_of_a_batch_has_the_texts_that_its_rows_have() {
    let all = rows(&["a", "b", "", "c", "b"].map(|text| Some(text.to_owned()).filter(|text| !text.is_empty())));
    let part = part_of(&all, &[2, 4]).unwrap();
    let expected = rows(&["", "b"].map(|text| Some(text.to_owned()).filter(|text| !text.is_empty())));
    assert_eq!(part.column(0).as_dictionary::<Int32Type>().values().len(), 1);
    for (found, expected) in part.columns().iter().zip(expected.columns()).take(3) {
        assert_eq!(&plain(found).to_data(), &plain(expected).to_data());
    }
    assert_eq!(part_of(&all, &[0, 1, 2, 3, 4]).unwrap(), all);
}

#[test]
fn rows_of_very_many_days_need_few_open_files() {
    const DAY: i64 = 86_400_000_000;
    let dir = tempfile::tempdir().unwrap();
    let times: Vec<i64> = (0..200).map(|row| (row * 37 % 100) * DAY + row).collect();
    let rows = crate::table::tests::batch(TableName::Spans, "shop", &times);
    let mut output = Output::new(TableName::Spans, dir.path());
    let (mut days, mut first) = (0, None);
    let write = |day, rows: Vec<RecordBatch>| {
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 2, "day {day}");
        output.write_group(day, &rows[..])?;
        assert!(output.open.len() <= OPEN_MAX);
        days += 1;
        first.get_or_insert(rows);
        Ok(())
    };
    by_day(&with_values(TableName::Spans, &[rows]).unwrap(), write).unwrap();
    assert_eq!(days, 100);
    // A day that comes back has another file.
    output.write_group(0, &first.unwrap()[..]).unwrap();
    let (files, _) = output.finish().unwrap().keep();
    assert_eq!(files.len(), 101);
}

#[test]
fn short_texts_that_hardly_repeat_are_written_without_a_dictionary() {
    let encodings = |texts: Vec<Option<String>>| {
        let rows = rows(&texts).project(&[0, 3]).unwrap();
        let file = written(std::slice::from_ref(&rows));
        let found = read(&file);
        let found = arrow::compute::concat_batches(&found[0].schema(), &found).unwrap();
        assert_eq!(&plain(found.column(0)).to_data(), &plain(rows.column(0)).to_data());
        let reader = SerializedFileReader::new(file).unwrap();
        reader.metadata().row_group(0).column(0).encodings().collect::<Vec<_>>()
    };
    let user = |number: usize| Some(format!("user-{number:06}"));
    assert!(encodings((0..6_000).map(|row| user(row % 3_000)).collect()).contains(&Encoding::DELTA_LENGTH_BYTE_ARRAY));
    let others = [
        // Few, many that repeat often, and long ones.
        (0..1_000).map(|row| user(row % 500)).collect(),
        (0..6_000).map(|row| user(row % 1_500)).collect(),
        (0..6_000).map(|row| user(row % 3_000).map(|text| text.repeat(2))).collect(),
    ];
    for texts in others {
        assert!(encodings(texts).contains(&Encoding::RLE_DICTIONARY));
    }
}
