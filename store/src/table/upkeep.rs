//! Keeps the committed tables small to read: joins small files, removes days past their time, checkpoints the log, and deletes what nobody needs any more.
//!
//! Always holds: rows are neither lost nor doubled, for a rewrite is one commit that removes and adds; a flush waits for that commit at most, never
//! for the rewrite; a file is deleted only after it has been out of the table for the grace period, so a reader that began before still finds it.

mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use deltalake_core::kernel::{Action, Add};
use deltalake_core::logstore::object_store::{self, ObjectStoreExt as _, path::Path as ObjectPath};
use deltalake_core::operations::vacuum::VacuumMode;
use deltalake_core::protocol::checkpoints;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableError};
use serde::Deserialize;

use super::delta::DeltaFailure;
use super::file;
use super::{Access, Tables, View};
use crate::fault::{Classified, Fault};
use crate::schema::TableName;
use crate::time::UnixNanos;

use rewrite::rewrite;

/// When files are joined and removed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpkeepConfig {
    /// How long to wait between two rounds over all tables, in seconds; 0 turns upkeep off.
    pub every_seconds: u64,
    /// Files of a day below this many bytes are joined,
    pub small_file_bytes: u64,
    /// once there are this many of them,
    pub small_files_min: usize,
    /// to files of about this many bytes.
    pub file_bytes: u64,
    /// Days that spans, logs and data points are kept; 0 keeps them for ever.
    pub raw_days: u32,
    /// Days that `red` and `errors` are kept; 0 keeps them for ever.
    pub rollup_days: u32,
    /// How long a file stays on the disk after it was removed from its table, and a commit in the table's log once a checkpoint has it, in seconds.
    pub grace_seconds: u64,
    /// A checkpoint of a table's log is written each time it has grown by this many commits.
    pub checkpoint_commits: u64,
}

impl Default for UpkeepConfig {
    fn default() -> Self {
        Self {
            every_seconds: 30,
            small_file_bytes: 16 << 20,
            small_files_min: 12,
            file_bytes: 128 << 20,
            raw_days: 14,
            rollup_days: 90,
            grace_seconds: 3_600,
            checkpoint_commits: 100,
        }
    }
}

/// A file is written and committed within this time; before, it looks like one that nobody needs.
const GRACE_SECONDS_MIN: u64 = 60;
/// The table's log knows a removed file for so long.
const GRACE_SECONDS_MAX: u64 = 86_400;

impl UpkeepConfig {
    /// What cannot work, one line each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.grace_seconds < GRACE_SECONDS_MIN {
            mistakes.push(format!(
                "grace_seconds = {}: it has to be at least {GRACE_SECONDS_MIN}, or files would be deleted before they are committed or read",
                self.grace_seconds
            ));
        }
        if self.grace_seconds > GRACE_SECONDS_MAX {
            mistakes.push(format!("grace_seconds = {}: it can be {GRACE_SECONDS_MAX}, a day, at most", self.grace_seconds));
        }
        if self.small_files_min < 2 {
            mistakes.push(format!("small_files_min = {}: it takes 2 files to join any", self.small_files_min));
        }
        if self.file_bytes < self.small_file_bytes {
            mistakes.push(format!("file_bytes = {}: it has to be at least small_file_bytes = {}", self.file_bytes, self.small_file_bytes));
        }
        mistakes
    }

    fn days(&self, table: TableName) -> u32 {
        match table {
            TableName::Spans | TableName::Logs | TableName::Metrics => self.raw_days,
            TableName::Red | TableName::Errors => self.rollup_days,
        }
    }
}

/// How much a round may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// All there is to do.
    Whole,
    /// No files are joined: that takes time and memory from the intake.
    Light,
}

/// What one round did to one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Live files before.
    pub files: usize,
    /// Small files that were joined.
    pub joined: usize,
    /// Files whose day was past its time.
    pub expired: usize,
    /// Files deleted from the disk.
    pub deleted: usize,
    /// Whether a checkpoint was written.
    pub checkpointed: bool,
}

/// Why a step of upkeep failed: the first of them. The rows are as they were, and the other steps are done.
#[derive(Debug, thiserror::Error)]
#[error("upkeep of the table {} failed", table.as_str())]
pub struct UpkeepError {
    /// Which one.
    pub table: TableName,
    /// The cause.
    pub source: DeltaFailure,
}

impl Classified for UpkeepError {
    fn fault(&self) -> Fault {
        Fault::Unavailable
    }
}

/// What upkeep remembers of a table between rounds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    checkpoint: u64,
    vacuumed: Option<UnixNanos>,
}

impl Tables {
    /// Does what one table needs now. One call at a time for a table.
    ///
    /// # Errors
    /// When the table cannot be read or committed to; the next call tries again.
    pub async fn upkeep(&self, table: TableName, config: &UpkeepConfig, effort: Effort, now: UnixNanos) -> Result<Kept, UpkeepError> {
        if self.access == Access::ReadOnly {
            return Ok(Kept::default());
        }
        self.keep(table, config, effort, now).await.map_err(|source| UpkeepError { table, source })
    }

    async fn keep(&self, table: TableName, config: &UpkeepConfig, effort: Effort, now: UnixNanos) -> Result<Kept, DeltaFailure> {
        let mut memory = self.slot(table).upkeep.lock().await;
        let mut kept = Kept::default();
        // What makes room comes first, and no step waits for another to succeed: on a full disk only some of them do.
        let expired = self.expire(table, config, now, &mut kept).await;
        let vacuumed = self.vacuum(table, config, now, &mut memory, &mut kept).await;
        let joined = match effort {
            Effort::Whole => self.join_small(table, config, &mut kept).await,
            Effort::Light => Ok(()),
        };
        let checkpointed = self.checkpoint(table, config, now, &mut memory, &mut kept).await;
        expired.and(vacuumed).and(joined).and(checkpointed)?;
        Ok(kept)
    }

    async fn live_files(&self, table: TableName) -> Result<Vec<LiveFile>, DeltaFailure> {
        Ok(live_files(&self.view(table).committed.latest().await?)?)
    }

    /// Takes days past their time out of the table.
    async fn expire(&self, table: TableName, config: &UpkeepConfig, now: UnixNanos, kept: &mut Kept) -> Result<(), DeltaFailure> {
        let live = self.live_files(table).await?;
        kept.files = live.len();
        let expired: Vec<LiveFile> = live.into_iter().filter(|file| is_expired(file, config.days(table), now)).collect();
        let operation = DeltaOperation::Delete { predicate: None };
        if !expired.is_empty() && self.replace(table, &expired, Vec::new(), operation).await? {
            kept.expired = expired.len();
        }
        Ok(())
    }

    /// Deletes files that have been out of the table for the grace period, and those that never got in.
    async fn vacuum(
        &self,
        table: TableName,
        config: &UpkeepConfig,
        now: UnixNanos,
        memory: &mut Memory,
        kept: &mut Kept,
    ) -> Result<(), DeltaFailure> {
        let grace = Duration::from_secs(config.grace_seconds);
        if memory.vacuumed.is_some_and(|last| now.since(last) < grace) {
            return Ok(());
        }
        // What a flush wrote long ago may be committed only now: then this version has it.
        drop(self.slot(table).flushing.lock().await);
        let latest = self.view(table).committed.latest().await?;
        let files = latest.log_store().object_store(None);
        let unneeded = unneeded(latest, grace).await?;
        memory.vacuumed = Some(now);
        let mut failed = Ok(());
        for file in unneeded {
            match files.delete(&file).await {
                Ok(()) => kept.deleted += 1,
                // The table's log knows a removed file for a day.
                Err(object_store::Error::NotFound { .. }) => {}
                // One that cannot be deleted does not keep the others.
                Err(error) => failed = failed.and(Err(DeltaTableError::from(error).into())),
            }
        }
        failed
    }

    async fn join_small(&self, table: TableName, config: &UpkeepConfig, kept: &mut Kept) -> Result<(), DeltaFailure> {
        for group in small_groups(&self.live_files(table).await?, config) {
            kept.joined += self.join(table, group).await?;
        }
        Ok(())
    }

    /// Bounds how much of the log a start has to read.
    async fn checkpoint(
        &self,
        table: TableName,
        config: &UpkeepConfig,
        now: UnixNanos,
        memory: &mut Memory,
        kept: &mut Kept,
    ) -> Result<(), DeltaFailure> {
        let (version, every) = (self.view(table).committed.version(), config.checkpoint_commits.max(1));
        if memory.checkpoint == 0 {
            memory.checkpoint = version - version % every;
        }
        if version >= memory.checkpoint + every {
            let committed = self.view(table).committed;
            let latest = committed.latest().await?;
            checkpoints::create_checkpoint(&latest, None).await?;
            // It stands for the commits that may be removed from now on.
            committed.make_checkpoint_durable(latest.version().unwrap_or(version)).await?;
            // Not by the table's own time, which is for tools that know nothing of ours: a version whose files are gone is of no use.
            let cutoff = now.minus(Duration::from_secs(config.grace_seconds)).as_micros() / 1_000;
            checkpoints::cleanup_expired_logs_for(version, latest.log_store().as_ref(), cutoff, None).await?;
            (memory.checkpoint, kept.checkpointed) = (version, true);
        }
        Ok(())
    }

    /// Rewrites small files as one. Answers how many; none when the table changed under it.
    async fn join(&self, table: TableName, small: Vec<LiveFile>) -> Result<usize, DeltaFailure> {
        let Some(folder) = self.view(table).committed.folder().map(Path::to_owned) else { return Ok(0) };
        let paths: Vec<PathBuf> = small.iter().map(|file| folder.join(&file.path)).collect();
        let day = small.first().and_then(day_of).unwrap_or_default();
        let rewritten = tokio::task::spawn_blocking(move || rewrite(table, &folder, day, &paths));
        let Some(written) = rewritten.await?? else { return Ok(0) };
        // From here on only what is known not to be in the table may be deleted.
        let (mut files, drafts) = written.keep();
        files.iter_mut().for_each(|file| file.data_change = false);
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let replaced = self.replace(table, &small, files, operation).await;
        let may_be_in = replaced.as_ref().map_or_else(DeltaFailure::may_be_made, |replaced| *replaced);
        if !may_be_in {
            drafts.iter().for_each(|path| drop(std::fs::remove_file(path)));
        }
        Ok(if replaced? { small.len() } else { 0 })
    }

    /// Commits that files take the place of others, unless one of those is gone, or a flush has to find first what became of its commit.
    async fn replace(&self, table: TableName, old: &[LiveFile], new: Vec<Add>, operation: DeltaOperation) -> Result<bool, DeltaFailure> {
        let slot = self.slot(table);
        let _one_at_a_time = slot.flushing.lock().await;
        let View { committed, hot } = slot.read();
        let latest = committed.latest().await?;
        // What stands behind our version may be the hot rows themselves, in a commit whose making was reported as failed. The flush that tries them again
        // looks for it behind our version: nothing may go past it until then.
        if !hot.is_empty() && latest.version().is_some_and(|version| version > committed.version()) {
            return Ok(false);
        }
        let there: HashSet<String> = live_files(&latest)?.into_iter().map(|file| file.path).collect();
        if old.iter().any(|file| !there.contains(&file.path)) {
            return Ok(false);
        }
        let data_change = new.is_empty();
        let removed_at = chrono::Utc::now().timestamp_millis();
        let removed = old.iter().map(|file| Action::Remove(removal(file, removed_at, data_change)));
        let actions = removed.chain(new.into_iter().map(Action::Add)).collect();
        let Some(next) = committed.commit_behind(&latest, actions, operation).await? else { return Ok(false) };
        slot.write().committed = next;
        Ok(true)
    }
}

fn removal(file: &LiveFile, removed_at: i64, data_change: bool) -> deltalake_core::kernel::Remove {
    deltalake_core::kernel::Remove {
        path: file.path.clone(),
        data_change,
        deletion_timestamp: Some(removed_at),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition.clone()),
        size: Some(file.bytes),
        ..Default::default()
    }
}

/// A file that is part of a table.
#[derive(Debug, Clone)]
struct LiveFile {
    path: String,
    bytes: i64,
    modification_time: i64,
    partition: HashMap<String, Option<String>>,
}

fn live_files(table: &DeltaTable) -> Result<Vec<LiveFile>, DeltaTableError> {
    let files = table.snapshot()?.log_data();
    let live = files.iter().map(|file| LiveFile {
        path: file.path().into_owned(),
        bytes: file.size(),
        modification_time: file.modification_time(),
        partition: file.partition_values_map(),
    });
    Ok(live.collect())
}

fn day_of(file: &LiveFile) -> Option<i32> {
    let date = file.partition.get(file::DATE)?.as_deref()?;
    let date: chrono::NaiveDate = date.parse().ok()?;
    Some(date.to_epoch_days())
}

/// Whether all that can be in a file is older than so many days.
fn is_expired(file: &LiveFile, days: u32, now: UnixNanos) -> bool {
    let Some(day) = day_of(file) else { return false };
    days > 0 && i64::from(now.as_days()) - i64::from(day) > i64::from(days)
}

/// Small files of one day, as many as make a large one; the oldest first.
fn small_groups(live: &[LiveFile], config: &UpkeepConfig) -> Vec<Vec<LiveFile>> {
    let mut by_day: HashMap<Option<i32>, Vec<&LiveFile>> = HashMap::new();
    let bytes = |file: &LiveFile| u64::try_from(file.bytes).unwrap_or(0);
    for file in live.iter().filter(|file| bytes(file) < config.small_file_bytes) {
        by_day.entry(day_of(file)).or_default().push(file);
    }
    let mut groups = Vec::new();
    for (day, mut files) in by_day {
        if day.is_none() || files.len() < config.small_files_min.max(2) {
            continue;
        }
        files.sort_by_key(|file| file.modification_time);
        let mut total = 0;
        let group = files.into_iter().take_while(|file| {
            total += bytes(file);
            total <= config.file_bytes
        });
        let group: Vec<LiveFile> = group.cloned().collect();
        if group.len() > 1 {
            groups.push(group);
        }
    }
    groups
}

/// The files that have been out of the table for the grace period, and those that never got in.
///
/// The library only says which: when it deletes them by itself, it commits that it begins and ends to, and after a commit it may remove others from the
/// log that stand behind our version. The next flush would commit into the gap, below a checkpoint, where nobody reads.
async fn unneeded(table: DeltaTable, grace: Duration) -> Result<Vec<ObjectPath>, DeltaFailure> {
    let grace = chrono::Duration::from_std(grace).unwrap_or(chrono::Duration::hours(1));
    let vacuum = table.vacuum().with_mode(VacuumMode::Full).with_retention_period(grace).with_enforce_retention_duration(false);
    let (_, plan) = vacuum.with_dry_run(true).await?;
    Ok(plan.files_deleted.into_iter().map(ObjectPath::from).collect())
}
