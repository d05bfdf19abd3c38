//! A verdict with all it rests on, as one Parquet file: from it the verdict can be computed again, anywhere and without a server.
//!
//! The rows are the evidence (`kind` is `requests`, `error`, `call` or `sample`); policy, subject and verdict are JSON in the file's metadata, under
//! `haldane.head` and `haldane.verdict`. Always holds: what was written reads back as it was.

mod rows;

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use haldane_store::{Classified, Fault, UnixNanos};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use crate::judge::{Calibration, CallCount, Decision, ErrorCount, Evidence, Pairing, Sample, judge};
use crate::policy::{Policy, PolicyError, PolicyOverrides};
use crate::verdict::{self, ApprovalVerdict, StageVerdict, Verdict, VerdictDecision, VerdictSubject};

/// Of this layout. Another one is refused.
const FORMAT: u32 = 2;
const HEAD: &str = "haldane.head";
const VERDICT: &str = "haldane.verdict";
/// How often another policy looks.
const LOOK: Duration = Duration::from_secs(60);
/// A larger file is not written.
const BYTES_MAX: usize = 64 << 20;
/// The text of a trace's id with what it takes to hold it.
const TRACE_BYTES: usize = 48;

/// A verdict with all it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// What the verdict is about.
    pub subject: VerdictSubject,
    /// What the rollout asked to be different from the default policy.
    pub policy: PolicyOverrides,
    /// What the judge saw.
    pub evidence: Evidence,
    /// The verdict as JSON, as it was published.
    pub verdict: String,
    /// The version of the program that wrote it.
    pub written_by: String,
}

/// Why a bundle cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not a Parquet file, or a damaged one.
    #[error("not a whole Parquet file")]
    Parquet(#[from] ParquetError),
    /// The rows are not those of a bundle.
    #[error("the rows are not those of an evidence bundle")]
    Rows(#[from] ArrowError),
    /// The file says nothing about itself, or something else.
    #[error("the metadata {key} is missing or not that of an evidence bundle")]
    Metadata {
        /// Which entry.
        key: &'static str,
    },
    /// Written by a program of another time.
    #[error("the bundle has format {format}, this program reads {FORMAT}")]
    Format {
        /// Of the file.
        format: u32,
    },
    /// Larger than is kept.
    #[error("the evidence takes {bytes} bytes, more than {BYTES_MAX}")]
    TooLarge {
        /// Of the file.
        bytes: usize,
    },
}

impl Classified for BundleError {
    fn fault(&self) -> Fault {
        Fault::Invalid
    }
}

/// What the metadata says.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    written_by: String,
    rollout_id: String,
    sequence: u64,
    service: String,
    environment: String,
    strategy: String,
    baseline: BTreeMap<String, String>,
    canary: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage: Option<StageVerdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalVerdict>,
    ended: bool,
    #[serde(default)]
    gave_up: bool,
    decided_at_unix_nano: i64,
    policy: PolicyOverrides,
    seed: u64,
    preceding: bool,
    window_nanos: u64,
    started_at_unix_nano: i64,
    until_unix_nano: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calibration: Option<Calibration>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<(String, String)>,
}

impl Bundle {
    /// With the verdict that this program computes.
    ///
    /// # Errors
    /// When the policy is not one.
    pub fn new(subject: VerdictSubject, policy: PolicyOverrides, evidence: Evidence) -> Result<(Self, Verdict), PolicyError> {
        let mut bundle = Self { subject, policy, evidence, verdict: String::new(), written_by: env!("CARGO_PKG_VERSION").to_owned() };
        let verdict = bundle.judge()?;
        bundle.verdict = json(&verdict);
        Ok((bundle, verdict))
    }

    /// About the memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let evidence = &self.evidence;
        let errors = evidence.errors.len() * (size_of::<ErrorCount>() + TRACE_BYTES);
        let rest = errors + evidence.calls.len() * size_of::<CallCount>() + evidence.samples.len() * size_of::<Sample>();
        rest + self.verdict.len() + evidence.cells.bytes()
    }

    /// Computes the verdict again.
    ///
    /// # Errors
    /// When the policy is not one.
    pub fn judge(&self) -> Result<Verdict, PolicyError> {
        let policy = Policy::default().with(&self.policy)?;
        Ok(verdict::write(&self.subject, &policy, &self.evidence, &judge(&policy, &self.evidence)))
    }

    /// Computes the verdict again as JSON: if nothing has changed, the bytes that were published.
    ///
    /// # Errors
    /// When the policy is not one.
    pub fn replay(&self) -> Result<String, PolicyError> {
        Ok(json(&self.judge()?))
    }

    /// What another policy would have decided on the same evidence, looking each minute, and when. What is undecided at the end of the evidence is `Continue`.
    ///
    /// Numbers that only the other policy reads are not in the evidence, and count as not known.
    ///
    /// # Errors
    /// When it is not a policy.
    pub fn rejudged(&self, policy: &PolicyOverrides) -> Result<(VerdictDecision, Duration), PolicyError> {
        let policy = Policy::default().with(policy)?.without_probes();
        let mut evidence = self.evidence.clone();
        let whole = evidence.until.since(evidence.started_at);
        let mut after = Duration::ZERO;
        while after < whole {
            after = (after + LOOK).min(whole);
            evidence.until = evidence.started_at.plus(after);
            let decision = match judge(&policy, &evidence).decision {
                Decision::Promote { .. } => VerdictDecision::Promote,
                Decision::Rollback { .. } => VerdictDecision::Rollback,
                Decision::Inconclusive { .. } => VerdictDecision::Inconclusive,
                Decision::Continue { .. } => continue,
            };
            return Ok((decision, after));
        }
        Ok((VerdictDecision::Continue, whole))
    }

    /// As a file.
    ///
    /// # Errors
    /// When it would be too large.
    pub fn write(&self) -> Result<Vec<u8>, BundleError> {
        let rows = rows::from_evidence(&self.evidence)?;
        let metadata = [(HEAD, json(&self.head())), (VERDICT, self.verdict.clone())];
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(metadata.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect()))
            .build();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, rows.schema(), Some(properties))?;
        writer.write(&rows)?;
        writer.close()?;
        if file.len() > BYTES_MAX { Err(BundleError::TooLarge { bytes: file.len() }) } else { Ok(file) }
    }

    /// From a file.
    ///
    /// # Errors
    /// When it is no bundle.
    pub fn read(file: Bytes) -> Result<Self, BundleError> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let metadata = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
        let of = |key: &'static str| {
            let entry = metadata.iter().find(|entry| entry.key == key).and_then(|entry| entry.value.clone());
            entry.ok_or(BundleError::Metadata { key })
        };
        let head: Head = serde_json::from_str(&of(HEAD)?).map_err(|_| BundleError::Metadata { key: HEAD })?;
        if head.format != FORMAT {
            return Err(BundleError::Format { format: head.format });
        }
        let batches = reader.build()?.collect::<Result<Vec<RecordBatch>, _>>()?;
        let rows::Counts { cells, errors, calls, samples } = rows::to_evidence(&batches)?;
        let evidence = Evidence {
            seed: head.seed,
            pairing: if head.preceding { Pairing::Preceding } else { Pairing::Concurrent },
            window: Duration::from_nanos(head.window_nanos),
            started_at: UnixNanos::new(head.started_at_unix_nano),
            until: UnixNanos::new(head.until_unix_nano),
            cells,
            errors,
            calls,
            samples,
            unreadable: head.unreadable.into_iter().map(|(name, why)| (name.into(), why)).collect(),
            calibration: head.calibration,
        };
        let subject = VerdictSubject {
            rollout_id: head.rollout_id,
            sequence: head.sequence,
            service: head.service,
            environment: head.environment,
            strategy: head.strategy,
            baseline_selector: head.baseline,
            canary_selector: head.canary,
            stage: head.stage,
            approval: head.approval,
            ended: head.ended,
            gave_up: head.gave_up,
            decided_at: UnixNanos::new(head.decided_at_unix_nano),
        };
        Ok(Self { subject, policy: head.policy, evidence, verdict: of(VERDICT)?, written_by: head.written_by })
    }

    fn head(&self) -> Head {
        let (subject, evidence) = (self.subject.clone(), &self.evidence);
        Head {
            format: FORMAT,
            written_by: self.written_by.clone(),
            rollout_id: subject.rollout_id,
            sequence: subject.sequence,
            service: subject.service,
            environment: subject.environment,
            strategy: subject.strategy,
            baseline: subject.baseline_selector,
            canary: subject.canary_selector,
            stage: subject.stage,
            approval: subject.approval,
            ended: subject.ended,
            gave_up: subject.gave_up,
            decided_at_unix_nano: subject.decided_at.as_nanos(),
            policy: self.policy.clone(),
            seed: evidence.seed,
            preceding: evidence.pairing == Pairing::Preceding,
            window_nanos: u64::try_from(evidence.window.as_nanos()).unwrap_or(u64::MAX),
            started_at_unix_nano: evidence.started_at.as_nanos(),
            until_unix_nano: evidence.until.as_nanos(),
            calibration: evidence.calibration.clone(),
            unreadable: evidence.unreadable.iter().map(|(name, why)| (name.to_string(), why.clone())).collect(),
        }
    }
}

fn json(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("keys are text, and nothing here refuses to be written")
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::tests::world::World;

    pub(crate) fn bundle(evidence: Evidence) -> Bundle {
        let subject = VerdictSubject {
            rollout_id: "r1".into(),
            sequence: 3,
            service: "checkout".into(),
            environment: "prod".into(),
            strategy: "canary".into(),
            baseline_selector: BTreeMap::from([("service.version".into(), "1".into())]),
            canary_selector: BTreeMap::from([("service.version".into(), "2".into())]),
            stage: None,
            approval: None,
            gave_up: false,
            ended: false,
            decided_at: evidence.until,
        };
        let policy = PolicyOverrides { alpha: Some(0.02), ..PolicyOverrides::default() };
        Bundle::new(subject, policy, evidence).unwrap().0
    }

    #[test]
    fn a_verdict_is_computed_again_byte_for_byte() {
        for pairing in [Pairing::Concurrent, Pairing::Preceding] {
            let world = World { new_error: 0.01, slow_instance: 2.0, pairing, ..World::default() };
            let calibration =
                Some(Calibration { from: UnixNanos::new(1), until: UnixNanos::new(2), replays: 11, rollbacks: 0, comparisons: Vec::new() });
            let written = bundle(Evidence { calibration, ..world.evidence() });
            let read = Bundle::read(written.write().unwrap().into()).unwrap();
            assert_eq!(read, written);
            assert_eq!(read.replay().unwrap(), written.verdict);
            assert!(!written.evidence.errors.is_empty() && written.verdict.contains("NullPointerException"));
        }
    }

    #[test]
    fn what_is_no_bundle_is_refused_and_damage_does_not_panic() {
        assert!(matches!(Bundle::read(Bytes::from_static(b"PAR1 no")), Err(BundleError::Parquet(_))));
        let file = bundle(World { windows: 3, ..World::default() }.evidence()).write().unwrap();
        for at in (0..file.len()).step_by(97) {
            let mut damaged = file.clone();
            damaged[at] ^= 0x5a;
            let _ = Bundle::read(damaged.into());
            assert!(Bundle::read(file[..at].to_vec().into()).is_err());
        }
    }

    #[test]
    fn another_policy_decides_otherwise_or_at_another_time() {
        let told = bundle(World { windows: 60, ..World::default() }.evidence());
        let of = |policy: PolicyOverrides| told.rejudged(&policy).unwrap();
        let (decision, soon) = of(PolicyOverrides::default());
        assert_eq!(decision, VerdictDecision::Promote);
        let (decision, later) = of(PolicyOverrides { min_duration_seconds: Some(480), ..PolicyOverrides::default() });
        assert!(decision == VerdictDecision::Promote && later > soon && later == Duration::from_secs(480), "{later:?}");
        let never = PolicyOverrides { min_requests: Some(10_000_000), ..PolicyOverrides::default() };
        assert_eq!(of(never), (VerdictDecision::Continue, Duration::from_secs(600)));
    }

    proptest! {
        #[test]
        fn any_evidence_reads_back_as_it_was(seed in 0_u64..20, requests in any::<u64>(), offset in -1_000_i32..1_000, counts in prop::collection::vec(any::<u64>(), 0..5)) {
            let mut evidence = World { seed, windows: 2, history_windows: 1, with_durations: false, ..World::default() }.evidence();
            let mut place = 0;
            evidence.cells.change(|cell| {
                if place == 0 {
                    cell.requests = requests;
                    cell.durations = haldane_store::ExponentialHistogram::from_parts(3, requests, offset, counts.clone());
                } else if place == 1 {
                    cell.error_trace = None;
                }
                place += 1;
            });
            let written = bundle(evidence);
            prop_assert_eq!(Bundle::read(written.write().unwrap().into()).unwrap(), written);
        }
    }
}
