//! What a service did lately, from the tables.

use std::time::Duration;

use haldane_store::schema::BUCKET_SECONDS;
use haldane_store::{Classified, Environment, Fault, ServiceName, UnixNanos};

use crate::cohort::{GatherError, Question, Selector, count_rows, gather};
use crate::judge::Evidence;
use crate::query::Engine;

/// Whose past, and how much of it.
#[derive(Debug, Clone)]
pub(crate) struct PastQuestion<'a> {
    pub(crate) service: &'a ServiceName,
    pub(crate) environment: &'a Environment,
    /// Its version; none where it sends none.
    pub(crate) version: Option<&'a str>,
    pub(crate) until: UnixNanos,
    /// This much is compared,
    pub(crate) length: Duration,
    /// and this much before it is learnt from.
    pub(crate) history: Duration,
}

/// Windows of one version, from which both cohorts are dealt.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    /// All of them the baseline's, the pairing concurrent, `started_at` where the comparison begins.
    pub(super) evidence: Evidence,
}

/// A shorter past says nothing.
const LENGTH_MIN: Duration = Duration::from_secs(600);
/// A longer one is cut to as much as that, for it is judged again and again.
const ROWS_MAX: u64 = 100_000;

/// Why a service's past cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// It cannot be read.
    #[error("cannot read what the service did")]
    Gather(#[from] GatherError),
    /// There is too much of it.
    #[error("service {service} has {rows} rows of red in {} min: too many to be judged again and again", wanted.as_secs() / 60)]
    Large {
        /// Whose.
        service: String,
        /// How many.
        rows: u64,
        /// In this time.
        wanted: Duration,
    },
    /// There is too little of it.
    #[error(
        "service {service} has served for {} min lately, at least {} min are needed: let it send more telemetry first",
        seconds / 60,
        LENGTH_MIN.as_secs() / 40
    )]
    Short {
        /// Whose.
        service: String,
        /// How much there is.
        seconds: u64,
    },
}

impl Classified for PastError {
    fn fault(&self) -> Fault {
        match self {
            Self::Gather(error) => error.fault(),
            Self::Short { .. } | Self::Large { .. } => Fault::Conflict,
        }
    }
}

/// Reads it, as much as there is and may be used.
pub(crate) async fn read(engine: &Engine, question: &PastQuestion<'_>) -> Result<Past, PastError> {
    let selector = selector(question);
    let wanted = question.length + question.history;
    let ask = |span: Duration| Question {
        service: question.service,
        environment: question.environment,
        baseline: &selector,
        canary: &selector,
        started_at: question.until,
        until: question.until,
        history: span,
        seed: 0,
    };
    let rows = count_rows(engine, &ask(wanted)).await?;
    let span = if rows > ROWS_MAX { wanted.mul_f64(ROWS_MAX as f64 / rows as f64) } else { wanted };
    let mut evidence = gather(engine, &ask(span)).await?;
    let from = evidence.cells.first().map_or(question.until, |cell| cell.at);
    let known = question.until.since(from);
    // Of a short past a third is learnt from.
    let length = question.length.min(known * 2 / 3);
    if length < LENGTH_MIN && rows > ROWS_MAX {
        return Err(PastError::Large { service: question.service.to_string(), rows, wanted });
    }
    if length < LENGTH_MIN {
        return Err(PastError::Short { service: question.service.to_string(), seconds: known.as_secs() });
    }
    evidence.started_at = question.until.minus(length).bucket(Duration::from_secs(BUCKET_SECONDS));
    Ok(Past { evidence })
}

fn selector(question: &PastQuestion<'_>) -> Selector {
    let version = question.version.and_then(|version| Selector::version(version).ok());
    version.unwrap_or_else(|| {
        let all = std::iter::once(("service.name".to_owned(), question.service.as_str().to_owned()));
        Selector::try_new(all.collect()).expect("a service's name is such a text")
    })
}
