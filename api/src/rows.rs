//! Rows of a query as text: JSON for programs, CSV for spreadsheets, a table for people. The server and the command line share it.
//!
//! In JSON a row is a list, in the order of the columns; maps and structs are objects, times RFC 3339, bytes hexadecimal, and a
//! number that is not finite is null.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;

/// Rows that fit into memory, and whether there were more.
#[derive(Debug, Clone)]
pub struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    truncated: bool,
}

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the rows as text")]
pub struct RowsError(#[from] ArrowError);

impl haldane_store::Classified for RowsError {
    fn fault(&self) -> haldane_store::Fault {
        haldane_store::Fault::Bug
    }
}

impl Rows {
    /// The first `limit` rows of the batches; `truncated` says that some were left out before.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>, truncated: bool, limit: usize) -> Self {
        let mut rows = Self { schema, batches: Vec::with_capacity(batches.len()), truncated };
        let mut left = limit;
        for batch in batches {
            if batch.num_rows() > left {
                rows.truncated = true;
            }
            let part = batch.slice(0, left.min(batch.num_rows()));
            left -= part.num_rows();
            rows.batches.push(part);
        }
        rows
    }

    /// Whether there were more rows than these.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// `{"columns": [{"name", "type"}], "rows": [[…]], "truncated": false}`.
    ///
    /// # Errors
    /// When a column has a type that has no text.
    pub fn json(&self) -> Result<Vec<u8>, RowsError> {
        let columns =
            self.schema.fields().iter().map(|field| serde_json::json!({ "name": field.name(), "type": field.data_type().to_string() }));
        let mut out = b"{\"columns\":".to_vec();
        out.extend(serde_json::Value::Array(columns.collect()).to_string().into_bytes());
        out.extend(b",\"rows\":[");
        let mut first = true;
        for batch in &self.batches {
            let mut columns = self.columns(batch, Cells::json)?;
            for row in 0..batch.num_rows() {
                out.extend(if first { "[" } else { ",[" }.bytes());
                first = false;
                for (at, column) in columns.iter_mut().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    column.write_json(row, &mut out);
                }
                out.push(b']');
            }
        }
        out.extend(format!("],\"truncated\":{}}}\n", self.truncated).into_bytes());
        Ok(out)
    }

    /// CSV (RFC 4180, lines end with a line feed) with a header. Null is nothing, empty text is `""`; maps, lists and structs are JSON.
    ///
    /// # Errors
    /// When a column has a type that has no text.
    pub fn csv(&self) -> Result<String, RowsError> {
        let header: Vec<String> = self.schema.fields().iter().map(|field| csv_cell(field.name())).collect();
        let mut out = header.join(",") + "\n";
        for batch in &self.batches {
            let mut columns = self.columns(batch, Cells::text)?;
            for row in 0..batch.num_rows() {
                for (at, column) in columns.iter_mut().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    if let Some(text) = column.write_text(row) {
                        out.push_str(&csv_cell(&text));
                    }
                }
                out.push('\n');
            }
        }
        Ok(out)
    }

    /// A table with borders, and under it how many rows there are.
    ///
    /// # Errors
    /// When a column has a type that has no text.
    pub fn table(&self) -> Result<String, RowsError> {
        let empty = [RecordBatch::new_empty(self.schema.clone())];
        let batches: &[RecordBatch] = if self.batches.is_empty() { &empty } else { &self.batches };
        let options = display_options();
        let table = pretty_format_batches_with_options(batches, &options)?;
        let count: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        let mut out = String::new();
        // Telemetry may hold anything, also what would steer a terminal.
        out.extend(table.to_string().chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }));
        let (rows, more) = (if count == 1 { "row" } else { "rows" }, if self.truncated { ", and there are more" } else { "" });
        let _ = writeln!(out, "\n{count} {rows}{more}");
        Ok(out)
    }

    fn columns<'a>(
        &'a self,
        batch: &'a RecordBatch,
        cells: fn(&'a FieldRef, &'a ArrayRef) -> Result<Cells<'a>, ArrowError>,
    ) -> Result<Vec<Cells<'a>>, ArrowError> {
        self.schema.fields().iter().zip(batch.columns()).map(|(field, array)| cells(field, array)).collect()
    }
}

/// How to write the cells of one column of one batch.
enum Cells<'a> {
    Json(arrow::json::writer::NullableEncoder<'a>),
    Text { array: &'a ArrayRef, formatter: ArrayFormatter<'a> },
}

impl<'a> Cells<'a> {
    fn json(field: &'a FieldRef, array: &'a ArrayRef) -> Result<Self, ArrowError> {
        static OPTIONS: std::sync::LazyLock<EncoderOptions> =
            std::sync::LazyLock::new(|| EncoderOptions::default().with_explicit_nulls(true));
        // Types without a form in JSON, such as intervals, become text.
        make_encoder(field, array, &OPTIONS).map(Self::Json).or_else(|_| Self::display(array))
    }

    fn text(field: &'a FieldRef, array: &'a ArrayRef) -> Result<Self, ArrowError> {
        let kind = array.data_type();
        let nested = kind.is_list() || matches!(kind, DataType::Map(..) | DataType::Struct(_));
        if nested { Self::json(field, array) } else { Self::display(array) }
    }

    fn display(array: &'a ArrayRef) -> Result<Self, ArrowError> {
        static OPTIONS: std::sync::LazyLock<FormatOptions<'static>> = std::sync::LazyLock::new(display_options);
        Ok(Self::Text { array, formatter: ArrayFormatter::try_new(array, &OPTIONS)? })
    }

    fn write_json(&mut self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Json(encoder) if encoder.is_null(row) => out.extend(b"null"),
            Self::Json(encoder) => encoder.encode(row, out),
            Self::Text { array, .. } if array.is_null(row) => out.extend(b"null"),
            Self::Text { formatter, .. } => {
                out.extend(serde_json::Value::String(formatter.value(row).to_string()).to_string().into_bytes());
            }
        }
    }

    fn write_text(&mut self, row: usize) -> Option<String> {
        match self {
            Self::Json(encoder) if encoder.is_null(row) => None,
            Self::Json(encoder) => {
                let mut out = Vec::new();
                encoder.encode(row, &mut out);
                Some(String::from_utf8_lossy(&out).into_owned())
            }
            Self::Text { array, .. } if array.is_null(row) => None,
            Self::Text { formatter, .. } => Some(formatter.value(row).to_string()),
        }
    }
}

fn display_options() -> FormatOptions<'static> {
    FormatOptions::default().with_display_error(true)
}

fn csv_cell(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, Float64Array, IntervalYearMonthArray, MapBuilder, StringArray, StringBuilder, TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn sample() -> Rows {
        let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        map.keys().append_value("k");
        map.values().append_value("a,b");
        map.append(true).unwrap();
        map.append(false).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("text", Arc::new(StringArray::from(vec![Some("say \"hi\""), Some("")]))),
            ("number", Arc::new(Float64Array::from(vec![Some(f64::NAN), None]))),
            ("time", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]).with_timezone("UTC"))),
            ("bytes", Arc::new(BinaryArray::from(vec![Some(b"\x01\xff".as_slice()), None]))),
            ("span", Arc::new(IntervalYearMonthArray::from(vec![Some(13), None]))),
            ("map", Arc::new(map.finish())),
        ];
        let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, array)| array).collect()).unwrap();
        Rows::new(schema, vec![batch], false, 10)
    }

    #[test]
    fn json_keeps_every_kind_of_value() {
        let json: serde_json::Value = serde_json::from_slice(&sample().json().unwrap()).unwrap();
        assert_eq!(json["columns"][0], serde_json::json!({"name": "text", "type": "Utf8"}));
        let first = serde_json::json!(["say \"hi\"", null, "1970-01-01T00:00:01.500Z", "01ff", "1 years 1 mons", {"k": "a,b"}]);
        assert_eq!(json["rows"][0].to_string().replace("1.500000", "1.500"), first.to_string());
        assert_eq!(json["rows"][1], serde_json::json!(["", null, null, null, null, null]));
        assert_eq!(json["truncated"], false);
    }

    #[test]
    fn csv_quotes_what_needs_it_and_tells_null_from_empty() {
        let csv = sample().csv().unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[0], "text,number,time,bytes,span,map");
        assert!(lines[1].starts_with("\"say \"\"hi\"\"\",NaN,1970-01-01T00:00:01.5"), "{}", lines[1]);
        assert!(lines[1].ends_with("\"{\"\"k\"\":\"\"a,b\"\"}\""), "{}", lines[1]);
        assert_eq!(lines[2], "\"\",,,,,");
    }

    #[test]
    fn a_limit_cuts_and_says_so() {
        let Rows { schema, batches, .. } = sample();
        let cut = Rows::new(schema.clone(), batches.clone(), false, 1);
        assert!(cut.truncated() && cut.table().unwrap().contains("1 row, and there are more"));
        assert!(!Rows::new(schema.clone(), batches, false, 2).truncated());
        let none = Rows::new(schema, Vec::new(), false, 2).table().unwrap();
        assert!(none.contains("| text |") && none.ends_with("0 rows\n"), "{none}");
    }

    #[test]
    fn a_table_does_not_steer_the_terminal() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(StringArray::from(vec!["\u{1b}[2J"]))]).unwrap();
        assert!(!Rows::new(schema, vec![batch], false, 5).table().unwrap().contains('\u{1b}'));
    }
}
