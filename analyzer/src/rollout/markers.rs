//! Deployment markers: what pipelines say they did, beside what telemetry shows.
//!
//! Always holds: a marker is an entry of the trail and changes no rollout. A rollout that Haldane opens by itself takes its metadata from the marker of its version.

use std::collections::BTreeMap;

use haldane_store::ledger::{DocumentRow, LedgerError};
use haldane_store::name::sha256_hex;
use haldane_store::{Environment, ServiceName, UnixNanos};

use super::desk::Rollouts;
use super::error::ReadError;
use super::model::words;
use super::trail::{EventDetails, EventFilter, EventKind, EventPlace, entry_of};

/// So many ids of markers are remembered: the same event may come again.
const REMEMBERED: u32 = 1_000;
/// The kind of document under which they are.
const SEEN: &str = "marker";
/// Among so many of the newest markers of a service that of a version is looked for.
const LOOKED_THROUGH: u32 = 100;

words!(
    /// What was done.
    MarkerKind {
        /// A version came to where there was none.
        Deployed = "deployed",
        /// A version took the place of another.
        Upgraded = "upgraded",
        /// An earlier version was put back.
        RolledBack = "rolled_back",
        /// The service was taken away.
        Removed = "removed",
    }
);

/// What a pipeline says it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// What.
    pub kind: MarkerKind,
    /// To which service.
    pub service: ServiceName,
    /// Where.
    pub environment: Environment,
    /// The version; empty where it does not say.
    pub version: String,
    /// Who.
    pub actor: String,
    /// When, as it says; now if it does not.
    pub at: Option<UnixNanos>,
    /// What else it says, such as a commit or a build's address.
    pub metadata: BTreeMap<String, String>,
    /// What names it among others: the same one is noted once.
    pub id: Option<String>,
}

/// Pipelines name what they do by their own run, which may deploy several services.
fn seen_as(marker: &Marker, id: &str) -> String {
    let Marker { service, environment, version, kind, .. } = marker;
    sha256_hex(&format!("{service}\0{environment}\0{version}\0{kind}\0{id}"))
}

impl Rollouts {
    /// Notes a marker. Says whether it is new.
    ///
    /// # Errors
    /// When the ledger cannot be used.
    pub async fn mark(&self, marker: &Marker) -> Result<bool, ReadError> {
        let now = self.clock.now();
        let seen = marker.id.as_deref().map(|id| seen_as(marker, id));
        if let Some(id) = &seen
            && self.ledger.document(SEEN, id).await?.is_some()
        {
            return Ok(false);
        }
        let mut metadata = marker.metadata.clone();
        metadata.extend(marker.at.map(|at| ("at".to_owned(), at.to_rfc3339())));
        let details =
            EventDetails { state: marker.kind.as_str().to_owned(), version: marker.version.clone(), metadata, ..EventDetails::default() };
        let place = EventPlace {
            rollout_id: String::new(),
            service: marker.service.as_str().to_owned(),
            environment: marker.environment.as_str().to_owned(),
        };
        self.ledger.add_to_trail(&[entry_of(EventKind::DeploymentRecorded, &marker.actor, now, place, &details)]).await?;
        if let Some(id) = &seen {
            let row = DocumentRow::new(SEEN, id, marker.service.as_str(), now);
            self.ledger.put_document(&row, REMEMBERED).await?;
        }
        Ok(true)
    }

    /// What the newest marker of a version says, with who made it.
    pub(super) async fn marked(&self, service: &str, environment: &str, version: &str) -> Result<BTreeMap<String, String>, LedgerError> {
        let filter = EventFilter {
            service: Some(service.to_owned()),
            environment: Some(environment.to_owned()),
            kind: Some(EventKind::DeploymentRecorded),
            newest_first: true,
            limit: LOOKED_THROUGH,
            ..EventFilter::default()
        };
        let events = match self.events(&filter).await {
            Ok(events) => events,
            Err(ReadError::Ledger(error)) => return Err(error),
            Err(ReadError::Query(_)) => Vec::new(),
        };
        let found = events.into_iter().map(|event| (event.details(), event.actor)).find(|(details, _)| details.version == version);
        Ok(found.map(|(details, actor)| details.metadata.into_iter().chain([("actor".to_owned(), actor)]).collect()).unwrap_or_default())
    }
}
