//! A column of text that is in a dictionary already, as a column chunk of Parquet.
//!
//! The writer of the Parquet library looks each row's text up in a hash table to build the dictionary that the column had when it came: half of what
//! writing a file costs. Here the dictionary becomes the dictionary page, and its keys the data page.

use arrow::array::{Array, AsArray, DictionaryArray, StringArray};
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, EncodingMask, PageType};
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::properties::{DICTIONARY_BYTES_MAX, STATISTICS_BYTES_MAX, ZSTD_LEVEL};
use super::runs;

/// Of fewer texts places are short,
const MANY: usize = 1_000;
/// and of texts that have more bytes than this, a dictionary saves the second one of each.
const SHORT: usize = 16;

/// An encoded chunk, as a row group takes it.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) close: ColumnCloseResult,
}

/// What became of a column.
#[derive(Debug)]
pub(super) enum Encoded {
    Chunk(Box<Chunk>),
    /// Better left to the library: no dictionary of texts, rows without any text, and so many texts that they do not fit a dictionary.
    ByLibrary,
    /// Texts that are short and hardly repeat: written one by one they take less than in a dictionary.
    AsPlainText,
}

/// Encodes chunks, one after the other.
pub(super) struct ChunkEncoder {
    compressor: zstd::bulk::Compressor<'static>,
}

/// The texts that rows have, each once, and every row's place among them.
struct Used<'v> {
    values: &'v StringArray,
    /// Places in `values`, in the order in which rows have them.
    texts: Vec<usize>,
    /// Of the rows that have a text, the place in `texts`.
    rows: Vec<u32>,
}

impl ChunkEncoder {
    pub(super) fn new() -> Result<Self, ParquetError> {
        Ok(Self { compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL)? })
    }

    pub(super) fn encode(&mut self, descr: &ColumnDescPtr, column: &dyn Array, with_statistics: bool) -> Result<Encoded, ParquetError> {
        let Some(column) = column.as_dictionary_opt::<Int32Type>() else { return Ok(Encoded::ByLibrary) };
        let Some(used) = Used::of(column) else { return Ok(Encoded::ByLibrary) };
        let Some(dictionary) = used.dictionary() else { return Ok(Encoded::ByLibrary) };
        if used.is_no_use() {
            return Ok(Encoded::AsPlainText);
        }
        let mut sink = TrackedWrite::new(Vec::new());
        let mut pages = SerializedPageWriter::new(&mut sink);
        let buf = self.compressed(&dictionary)?;
        let page = Page::DictionaryPage { buf, num_values: short(used.texts.len())?, encoding: Encoding::PLAIN, is_sorted: false };
        let dictionary = pages.write_page(CompressedPage::new(page, dictionary.len()))?;
        let data = used.data(column, descr.max_def_level() > 0);
        let page = Page::DataPage {
            buf: self.compressed(&data)?,
            num_values: short(column.len())?,
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let data = pages.write_page(CompressedPage::new(page, data.len()))?;
        let bytes = Bytes::from(sink.into_inner()?);
        let mut metadata = ColumnChunkMetaData::builder(descr.clone())
            .set_compression(Compression::ZSTD(super::properties::zstd_level()))
            .set_encodings_mask(EncodingMask::new_from_encodings([Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY].iter()))
            .set_page_encoding_stats(vec![
                PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 },
                PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: Encoding::RLE_DICTIONARY, count: 1 },
            ])
            .set_total_compressed_size(long(dictionary.compressed_size + data.compressed_size)?)
            .set_total_uncompressed_size(long(dictionary.uncompressed_size + data.uncompressed_size)?)
            .set_num_values(long(column.len())?)
            .set_dictionary_page_offset(Some(0))
            .set_data_page_offset(long(dictionary.compressed_size)?);
        if with_statistics {
            metadata = metadata.set_statistics(used.statistics(column.null_count() as u64));
        }
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: column.len() as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok(Encoded::Chunk(Box::new(Chunk { bytes, close })))
    }

    fn compressed(&mut self, page: &[u8]) -> Result<Bytes, ParquetError> {
        Ok(self.compressor.compress(page)?.into())
    }
}

impl<'v> Used<'v> {
    fn of(column: &'v DictionaryArray<Int32Type>) -> Option<Self> {
        let values = column.values().as_string_opt::<i32>()?;
        if values.null_count() > 0 || column.null_count() == column.len() {
            return None;
        }
        let mut numbers = vec![u32::MAX; values.len()];
        let (mut texts, mut rows) = (Vec::new(), Vec::with_capacity(column.len()));
        for key in column.keys().iter().flatten() {
            let key = key.cast_unsigned() as usize;
            if numbers[key] == u32::MAX {
                numbers[key] = u32::try_from(texts.len()).ok()?;
                texts.push(key);
            }
            rows.push(numbers[key]);
        }
        Some(Self { values, texts, rows })
    }

    /// A place in a dictionary of many texts has nearly as many bits as a short text tells, and no pattern that could be compressed.
    fn is_no_use(&self) -> bool {
        let bytes: usize = self.texts.iter().map(|text| self.values.value(*text).len()).sum();
        self.texts.len() >= MANY && self.texts.len() * 3 > self.rows.len() && bytes <= self.texts.len() * SHORT
    }

    /// The texts in the plain encoding: each with its length before it.
    fn dictionary(&self) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        for text in &self.texts {
            let text = self.values.value(*text);
            plain.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
            plain.extend_from_slice(text.as_bytes());
            if plain.len() > DICTIONARY_BYTES_MAX {
                return None;
            }
        }
        Some(plain)
    }

    /// Which rows have a text, and which one.
    fn data(&self, column: &DictionaryArray<Int32Type>, nullable: bool) -> Vec<u8> {
        let mut page = Vec::new();
        if nullable {
            let levels: Vec<u32> = match column.nulls() {
                None => vec![1; column.len()],
                Some(nulls) => nulls.iter().map(u32::from).collect(),
            };
            page.extend_from_slice(&[0; 4]);
            runs::encode(&levels, 1, &mut page);
            let bytes = u32::try_from(page.len() - 4).unwrap_or(u32::MAX);
            page[..4].copy_from_slice(&bytes.to_le_bytes());
        }
        let last = self.texts.len().saturating_sub(1);
        let bits = usize::BITS - last.leading_zeros();
        page.extend_from_slice(&bits.to_le_bytes()[..1]);
        runs::encode(&self.rows, bits, &mut page);
        page
    }

    /// Long text is left out, as readers take these to be exact.
    fn statistics(&self, nulls: u64) -> Statistics {
        let texts = || self.texts.iter().map(|text| self.values.value(*text));
        let short = |text: &&str| text.len() <= STATISTICS_BYTES_MAX;
        let ends = texts().min().zip(texts().max()).filter(|(least, most)| short(least) && short(most));
        let (least, most) = ends.map(|(least, most)| (ByteArray::from(least), ByteArray::from(most))).unzip();
        Statistics::byte_array(least, most, None, Some(nulls), false)
    }
}

fn short(number: usize) -> Result<u32, ParquetError> {
    u32::try_from(number).map_err(|_| ParquetError::General("a page has fewer values than 2^32".to_owned()))
}

fn long(number: usize) -> Result<i64, ParquetError> {
    i64::try_from(number).map_err(|_| ParquetError::General("a chunk has fewer bytes than 2^63".to_owned()))
}
