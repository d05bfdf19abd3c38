//! What an index tells of cases, for counting only.

use std::collections::HashMap;
use std::path::Path;

use crate::cli::CliError;

/// By case.
#[derive(Debug, Default)]
pub(in crate::cli::judge) struct Index(HashMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    design: String,
    onset_ms: Option<i64>,
}

impl Index {
    pub(super) fn read(file: &Path) -> Result<Self, CliError> {
        let told = |cause: &dyn std::fmt::Display| CliError::Usage(format!("cannot read the index {}: {cause}", file.display()));
        let mut rows = csv::Reader::from_path(file).map_err(|error| told(&error))?;
        let names = rows.headers().map_err(|error| told(&error))?.clone();
        let place = |name: &str| names.iter().position(|one| one == name);
        let id = place("case_id").ok_or_else(|| told(&"it has no column case_id"))?;
        let (design, onset) = (place("design"), place("onset_ms"));
        let mut entries = HashMap::new();
        for row in rows.records() {
            let row = row.map_err(|error| told(&error))?;
            let value = |at: Option<usize>| at.and_then(|at| row.get(at)).unwrap_or_default();
            let entry = Entry { design: value(design).to_owned(), onset_ms: value(onset).parse().ok() };
            entries.insert(row.get(id).unwrap_or_default().to_owned(), entry);
        }
        Ok(Self(entries))
    }

    /// How a case was made.
    pub(in crate::cli::judge) fn design(&self, case: &str) -> Option<&str> {
        self.0.get(case).map(|entry| entry.design.as_str()).filter(|design| !design.is_empty())
    }

    /// When its fault began, in Unix milliseconds.
    pub(in crate::cli::judge) fn onset_ms(&self, case: &str) -> Option<i64> {
        self.0.get(case)?.onset_ms
    }
}
