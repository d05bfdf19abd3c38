//! Kayenta's own API, as Argo Rollouts and Spinnaker ask it, over Haldane's data and judge.
//!
//! A scope is a selector (`service.version=1.5.0`; without `=` it is a version), its location the environment, and the application the service. The configuration
//! `haldane` is always there and asks for the default checks. In others, a metric with `query.type: haldane` names a `check`, an OTLP `metric` or `sql`; of metrics
//! of other types nothing is known here. `judge.name` chooses: `NetflixACAJudge-v1.0` is Kayenta's own, anything else ours, whose `promote` scores 100, `rollback` 0,
//! and all else between the thresholds. Executions are computed when somebody asks and their time is over.

mod configs;
mod executions;
mod judging;
mod remote;
mod request;
mod standalone;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use haldane_store::Ledger;
use haldane_store::ledger::{DocumentRow, LedgerError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Problem, ProblemKind};
use crate::http::Doors;

/// Executions and standalone analyses are kept, so many of the newest of each; of configurations no more are taken.
const KEPT: u32 = 1_000;
/// Largest configuration or request, in bytes.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// Kayenta's paths.
pub(in crate::http) fn routes() -> Router<Doors> {
    Router::new()
        .route("/canaryConfig", get(configs::list).post(configs::create))
        .route("/canaryConfig/{id}", get(configs::show).put(configs::replace).delete(configs::remove))
        .route("/canary", post(executions::start_with_config))
        .route("/canary/executions", get(executions::list))
        .route("/canary/{id}", post(executions::start).get(executions::show))
        .route("/standalone_canary_analysis", post(standalone::start_with_config))
        .route("/standalone_canary_analysis/{id}", post(standalone::start).get(standalone::show))
        .route("/judges", get(remote::judges))
        .route("/judge", post(remote::judge))
        .route("/credentials", get(remote::nothing))
        .route("/health", get(remote::health))
}

/// A document of some kind in the ledger.
async fn load<T: DeserializeOwned>(ledger: &Ledger, kind: &str, id: &str) -> Result<Option<(DocumentRow, T)>, Problem> {
    let Some(row) = ledger.document(kind, id).await.map_err(|error| ledger_problem(&error))? else { return Ok(None) };
    let document = read(&row)?;
    Ok(Some((row, document)))
}

fn read<T: DeserializeOwned>(row: &DocumentRow) -> Result<T, Problem> {
    serde_json::from_str(&row.document).map_err(|error| {
        tracing::error!(%error, kind = row.kind, id = row.id, "the ledger holds a broken document");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ProblemKind::Internal,
            "the ledger holds a broken document: the log has the details",
        )
    })
}

/// That a configuration or request is not too large to be kept.
fn fits(document: &impl Serialize) -> Result<(), Problem> {
    match serde_json::to_string(document).map_or(usize::MAX, |text| text.len()) > DOCUMENT_BYTES_MAX {
        true => Err(Problem::invalid(format!("it has over {DOCUMENT_BYTES_MAX} bytes, which is the most"))),
        false => Ok(()),
    }
}

async fn keep(ledger: &Ledger, row: DocumentRow, document: &impl Serialize) -> Result<(), Problem> {
    let row = DocumentRow { document: serde_json::to_string(document).unwrap_or_default(), ..row };
    ledger.put_document(&row, KEPT).await.map_err(|error| ledger_problem(&error))
}

fn ledger_problem(error: &LedgerError) -> Problem {
    Problem::from_error(error, ProblemKind::Internal)
}

fn unknown(what: &str, id: &str) -> Problem {
    let start: String = id.chars().take(80).collect();
    Problem::new(StatusCode::NOT_FOUND, ProblemKind::UnknownDocument, format!("there is no {what} {start:?}"))
}

#[cfg(test)]
mod tests;
