//! Evidence in little memory, for as long as nobody looks at it: names as numbers, trace ids as bytes, histograms without their empty buckets.
//!
//! Always holds: what was packed unpacks as it was.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::mem::size_of;
use std::sync::Arc;

use haldane_store::{ExponentialHistogram, UnixNanos};

use super::Bundle;
use crate::judge::{CallCount, Cell, ErrorCount, Evidence, Role, Sample};

/// The text of a trace's id with what it takes to hold it.
const TRACE_BYTES: usize = 48;

/// A bundle with its cells packed.
#[derive(Debug)]
pub struct PackedBundle {
    /// Its evidence has no cells.
    rest: Bundle,
    cells: PackedCells,
}

impl PackedBundle {
    /// Takes much less memory.
    pub fn new(mut bundle: Bundle) -> Self {
        let cells = PackedCells::new(&std::mem::take(&mut bundle.evidence.cells));
        Self { rest: bundle, cells }
    }

    /// As it was.
    pub fn unpack(&self) -> Bundle {
        let mut bundle = self.rest.clone();
        bundle.evidence.cells = self.cells.unpack(self.cells.rows.len());
        bundle
    }

    pub(crate) fn evidence_without_cells(&self) -> &Evidence {
        &self.rest.evidence
    }

    pub(crate) fn cells(&self) -> &PackedCells {
        &self.cells
    }

    /// About the memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let evidence = &self.rest.evidence;
        let errors = evidence.errors.len() * (size_of::<ErrorCount>() + TRACE_BYTES);
        let rest = errors + evidence.calls.len() * size_of::<CallCount>() + evidence.samples.len() * size_of::<Sample>();
        rest + self.rest.verdict.len() + self.cells.rows.len() * size_of::<Row>() + self.cells.counts.len() * size_of::<u32>()
    }
}

/// Cells in the order of time.
#[derive(Debug, Default)]
pub(crate) struct PackedCells {
    names: Vec<Arc<str>>,
    rows: Vec<Row>,
    counts: Vec<u32>,
}

#[derive(Debug)]
struct Row {
    at: UnixNanos,
    cohort: Role,
    /// Where its histogram begins among the counts.
    counts_at: usize,
    operation: u32,
    instance: u32,
    requests: u64,
    errors: u64,
    scale: i32,
    offset: i32,
    zero_count: u64,
    error_trace: Trace,
    slow_trace: Trace,
}

#[derive(Debug)]
enum Trace {
    None,
    Id([u8; 16]),
    /// What is no id of 32 digits.
    Text(Arc<str>),
}

/// A word of the counts with this bit is so many empty buckets.
const EMPTY: u32 = 1 << 31;
/// This word stands before a count that takes two.
const LARGE: u32 = u32::MAX;

impl PackedCells {
    pub(crate) fn new(cells: &[Cell]) -> Self {
        let (mut numbers, mut packed) = (HashMap::new(), Self::default());
        packed.rows.reserve_exact(cells.len());
        for cell in cells {
            let (operation, instance) = (packed.number(&mut numbers, &cell.operation), packed.number(&mut numbers, &cell.instance));
            let durations = &cell.durations;
            let counts_at = packed.counts.len();
            packed.add_counts(durations.counts());
            packed.rows.push(Row {
                at: cell.at,
                cohort: cell.cohort,
                counts_at,
                operation,
                instance,
                requests: cell.requests,
                errors: cell.errors,
                scale: durations.scale(),
                offset: durations.offset(),
                zero_count: durations.zero_count(),
                error_trace: Trace::new(cell.error_trace.as_ref()),
                slow_trace: Trace::new(cell.slow_trace.as_ref()),
            });
        }
        packed.counts.shrink_to_fit();
        packed
    }

    /// The cells before a time, with room for so many more.
    pub(crate) fn before(&self, from: UnixNanos, more: usize) -> Vec<Cell> {
        let mut cells = self.unpack(self.rows.partition_point(|row| row.at < from));
        cells.reserve(more);
        cells
    }

    fn unpack(&self, rows: usize) -> Vec<Cell> {
        let ends = self.rows.iter().skip(1).map(|row| row.counts_at).chain([self.counts.len()]);
        self.rows.iter().zip(ends).take(rows).map(|(row, end)| self.cell(row, end)).collect()
    }

    fn cell(&self, row: &Row, counts_end: usize) -> Cell {
        let counts = counts_of(&self.counts[row.counts_at..counts_end]);
        Cell {
            at: row.at,
            cohort: row.cohort,
            operation: self.names[row.operation as usize].clone(),
            instance: self.names[row.instance as usize].clone(),
            requests: row.requests,
            errors: row.errors,
            durations: ExponentialHistogram::from_parts(row.scale, row.zero_count, row.offset, counts),
            error_trace: row.error_trace.text(),
            slow_trace: row.slow_trace.text(),
        }
    }

    fn number<'c>(&mut self, numbers: &mut HashMap<&'c str, u32>, name: &'c Arc<str>) -> u32 {
        *numbers.entry(name).or_insert_with(|| {
            self.names.push(name.clone());
            u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn add_counts(&mut self, counts: &[u64]) {
        let mut empty = 0;
        for count in counts {
            if *count == 0 {
                empty += 1;
                continue;
            }
            self.add_empty(std::mem::take(&mut empty));
            match u32::try_from(*count) {
                Ok(small) if small < EMPTY => self.counts.push(small),
                #[expect(clippy::cast_possible_truncation, reason = "its two halves")]
                _ => self.counts.extend([LARGE, (count >> 32) as u32, *count as u32]),
            }
        }
        self.add_empty(empty);
    }

    fn add_empty(&mut self, mut empty: u32) {
        // One less than would read as the word before a large count.
        while empty > 0 {
            let run = empty.min(LARGE - EMPTY - 1);
            self.counts.push(EMPTY | run);
            empty -= run;
        }
    }
}

fn counts_of(words: &[u32]) -> Vec<u64> {
    let (mut counts, mut words) = (Vec::new(), words.iter().copied());
    while let Some(word) = words.next() {
        if word == LARGE {
            let (high, low) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
            counts.push(u64::from(high) << 32 | u64::from(low));
        } else if word >= EMPTY {
            counts.resize(counts.len() + (word - EMPTY) as usize, 0);
        } else {
            counts.push(u64::from(word));
        }
    }
    counts
}

impl Trace {
    fn new(text: Option<&Arc<str>>) -> Self {
        let Some(text) = text else { return Self::None };
        Self::id(text).map_or_else(|| Self::Text(text.clone()), Self::Id)
    }

    /// Of 32 digits, the letters small: others would read back as another text.
    fn id(text: &str) -> Option<[u8; 16]> {
        let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
    }

    fn text(&self) -> Option<Arc<str>> {
        match self {
            Self::None => None,
            Self::Id(id) => {
                let mut text = String::with_capacity(32);
                let _ = write!(text, "{:032x}", u128::from_be_bytes(*id));
                Some(text.into())
            }
            Self::Text(text) => Some(text.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = Option<Arc<str>>> {
        prop_oneof![
            Just(None),
            "[0-9a-f]{32}".prop_map(|text| Some(text.into())),
            "[0-9A-F]{32}|[+0-9]{32}|[a-z]{0,3}".prop_map(|text| Some(text.into()))
        ]
    }

    prop_compose! {
        fn cell()(
            at in 0_i64..5,
            canary in any::<bool>(),
            names in ("[ab]{0,2}", "[ab]{0,2}"),
            numbers in (any::<u64>(), any::<u64>(), any::<u64>()),
            (scale, offset) in (-4_i32..8, any::<i32>()),
            counts in prop::collection::vec(prop_oneof![5 => Just(0), 3 => 1_u64..9, 1 => (1_u64 << 31) - 2..(1 << 31) + 2, 1 => (1_u64 << 32) - 2..(1 << 32) + 2, 1 => any::<u64>()], 0..60),
            traces in (text(), text()),
        ) -> Cell {
            Cell {
                at: UnixNanos::from_seconds(at),
                cohort: if canary { Role::Canary } else { Role::Baseline },
                operation: names.0.into(),
                instance: names.1.into(),
                requests: numbers.0,
                errors: numbers.1,
                durations: ExponentialHistogram::from_parts(scale, numbers.2, offset, counts),
                error_trace: traces.0,
                slow_trace: traces.1,
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_unpacks_as_it_was(mut cells in prop::collection::vec(cell(), 0..20), from in 0_i64..6) {
            cells.sort_by_key(|cell| cell.at);
            let packed = PackedCells::new(&cells);
            let from = UnixNanos::from_seconds(from);
            let before: Vec<Cell> = cells.iter().filter(|cell| cell.at < from).cloned().collect();
            prop_assert_eq!(packed.before(from, 3), before);
            prop_assert_eq!(packed.unpack(cells.len()), cells);
        }
    }
}
