//! Policies as files in a folder: each says which rollouts it is for, and what differs from the default policy.
//!
//! Always holds: the first file that matches counts, in the order of their names; a rollout keeps the policy that it began with; a file that
//! cannot be read changes nothing but the log, and what it said before stays in force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use haldane_store::name::{matches_pattern, sha256_hex};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Policy, PolicyOverrides};

/// Most files in a folder.
const FILES_MAX: usize = 1_000;
/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// So much of the hash names a version.
const VERSION_DIGITS: usize = 12;

/// A policy file, in YAML or JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyFile {
    /// What it is called; the file's name without its ending if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only rollouts of these services; a `*` stands for any text. All if left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Only rollouts in these environments; a `*` stands for any text. All if left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// Only rollouts with these values in their metadata; a `*` stands for any text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What differs from the default policy.
    pub policy: PolicyOverrides,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {wrong}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct PolicyFileError {
    /// Which file.
    pub file: PathBuf,
    /// In which line, where that is known.
    pub line: Option<u64>,
    /// What is wrong.
    pub wrong: String,
}

/// A policy that is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedPolicy {
    /// What it is called.
    pub name: String,
    /// The start of the SHA-256 of its file.
    pub version: String,
    /// What it says.
    pub file: PolicyFile,
}

/// A policy that came, went, or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    /// Which one.
    pub name: String,
    /// Its version now; none if it is gone.
    pub version: Option<String>,
}

/// The policies of a folder. Cheap to clone; without a folder there are none.
#[derive(Debug, Clone, Default)]
pub struct PolicyFolder {
    folder: Option<Arc<PathBuf>>,
    known: Arc<RwLock<BTreeMap<PathBuf, Known>>>,
}

/// A file as it was read last.
#[derive(Debug, Clone)]
struct Known {
    /// Of what is in force.
    policy: Option<NamedPolicy>,
    /// Of what was read, good or not, so that a mistake is told once.
    hash: String,
}

impl PolicyFile {
    /// Reads and checks the text of a file.
    ///
    /// # Errors
    /// All that is wrong with it, by line.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<PolicyFileError>> {
        let told = |line: Option<u64>, wrong: String| PolicyFileError { file: file.to_owned(), line, wrong };
        let parsed: Self = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map(|place| place.line());
            let first = error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            vec![told(line, first)]
        })?;
        match Policy::default().with(&parsed.policy) {
            Ok(_) => Ok(parsed),
            Err(error) => Err(error
                .mistakes
                .iter()
                .map(|mistake| {
                    let wrong = mistake.to_string();
                    told(line_of(text, &wrong), wrong)
                })
                .collect()),
        }
    }

    /// Whether it is for such a rollout.
    pub fn is_for(&self, service: &str, environment: &str, labels: &BTreeMap<String, String>) -> bool {
        let any = |patterns: &[String], text: &str| patterns.is_empty() || patterns.iter().any(|pattern| matches_pattern(pattern, text));
        let labelled = |(key, pattern): (&String, &String)| labels.get(key).is_some_and(|value| matches_pattern(pattern, value));
        any(&self.services, service) && any(&self.environments, environment) && self.labels.iter().all(labelled)
    }
}

/// The line of the first word of a mistake that is a key or a value in the text.
fn line_of(text: &str, wrong: &str) -> Option<u64> {
    let words = wrong.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).filter(|word| word.len() > 3);
    let line_with = |word: &str| {
        let has = |line: &str| line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).any(|part| part == word);
        text.lines().position(has)
    };
    words.filter_map(line_with).next().and_then(|at| u64::try_from(at + 1).ok())
}

impl PolicyFolder {
    /// Reads a folder.
    ///
    /// # Errors
    /// All that is wrong with its files, or that it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, Vec<PolicyFileError>> {
        let this = Self { folder: Some(Arc::new(folder.to_owned())), known: Arc::default() };
        let (_, mistakes) = this.look();
        if mistakes.is_empty() { Ok(this) } else { Err(mistakes) }
    }

    /// Reads the folder again: what changed, and what is wrong since now.
    pub fn look(&self) -> (Vec<PolicyChange>, Vec<PolicyFileError>) {
        let Some(folder) = &self.folder else { return (Vec::new(), Vec::new()) };
        let files = match files_of(folder) {
            Ok(files) => files,
            Err(error) => return (Vec::new(), vec![error]),
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let (mut changes, mut mistakes) = (Vec::new(), Vec::new());
        let gone: Vec<PathBuf> = known.keys().filter(|file| !files.contains(file)).cloned().collect();
        for file in gone {
            let policy = known.remove(&file).and_then(|known| known.policy);
            changes.extend(policy.map(|policy| PolicyChange { name: policy.name, version: None }));
        }
        for file in files {
            let text = match read(&file) {
                Ok(text) => text,
                Err(error) => {
                    mistakes.push(error);
                    continue;
                }
            };
            let hash = sha256_hex(&text);
            let before = known.get(&file).cloned();
            if before.as_ref().is_some_and(|before| before.hash == hash) {
                continue;
            }
            let version = hash[..VERSION_DIGITS].to_owned();
            let policy = match PolicyFile::parse(&file, &text) {
                Ok(parsed) => {
                    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                    let name = parsed.name.clone().unwrap_or(stem);
                    changes.push(PolicyChange { name: name.clone(), version: Some(version.clone()) });
                    Some(NamedPolicy { name, version, file: parsed })
                }
                Err(wrong) => {
                    mistakes.extend(wrong);
                    before.and_then(|before| before.policy)
                }
            };
            known.insert(file, Known { policy, hash });
        }
        (changes, mistakes)
    }

    /// The policies in force, in the order in which they are tried.
    pub fn all(&self) -> Vec<NamedPolicy> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().filter_map(|known| known.policy.clone()).collect()
    }

    /// The policy for such a rollout, if one is for it.
    pub fn select(&self, service: &str, environment: &str, labels: &BTreeMap<String, String>) -> Option<NamedPolicy> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut policies = known.values().filter_map(|known| known.policy.as_ref());
        policies.find(|policy| policy.file.is_for(service, environment, labels)).cloned()
    }
}

/// The policy files of a folder, by name.
///
/// # Errors
/// When it cannot be read, or holds too many.
pub fn files_of(folder: &Path) -> Result<Vec<PathBuf>, PolicyFileError> {
    let told = |wrong: String| PolicyFileError { file: folder.to_owned(), line: None, wrong };
    let is_policy = |file: &PathBuf| file.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json") && file.is_file();
    let found = std::fs::read_dir(folder).map_err(|error| told(format!("cannot read the folder: {error}")))?;
    let mut files: Vec<PathBuf> = found.filter_map(Result::ok).map(|entry| entry.path()).filter(is_policy).collect();
    if files.len() > FILES_MAX {
        return Err(told(format!("it holds {} policies, {FILES_MAX} at most", files.len())));
    }
    files.sort();
    Ok(files)
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read, or is too large.
pub fn read(file: &Path) -> Result<String, PolicyFileError> {
    let told = |wrong: String| PolicyFileError { file: file.to_owned(), line: None, wrong };
    let bytes = file.metadata().map_err(|error| told(error.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(told(format!("it has {bytes} bytes, {FILE_BYTES_MAX} at most")));
    }
    std::fs::read_to_string(file).map_err(|error| told(error.to_string()))
}

#[cfg(test)]
mod tests;
