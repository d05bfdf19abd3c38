//! Keeps the tables in shape while the collector runs: one round over all of them after the other.

use std::time::Duration;

use haldane_store::clock::SharedClock;
use haldane_store::fault::chain;
use haldane_store::table::{Effort, UpkeepConfig};
use haldane_store::{TableName, Tables};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Runs until told to stop; a round that has been begun on a table is ended.
pub(crate) async fn run(tables: Tables, config: UpkeepConfig, hot_bytes_max: usize, clock: SharedClock, stop: CancellationToken) {
    let every = Duration::from_secs(config.every_seconds);
    if every.is_zero() {
        return;
    }
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        for table in TableName::ALL {
            if stop.is_cancelled() {
                break;
            }
            let span = tracing::debug_span!("upkeep", table = table.as_str());
            match tables.upkeep(table, &config, effort(&tables, hot_bytes_max), clock.now()).instrument(span).await {
                Ok(kept) if kept.joined + kept.expired + kept.deleted > 0 => {
                    tracing::info!(
                        table = table.as_str(),
                        files = kept.files,
                        joined = kept.joined,
                        expired = kept.expired,
                        deleted = kept.deleted,
                        "kept the table in shape"
                    );
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(error = chain(&error), "the table stays as it is until the next round"),
            }
        }
    }
}

/// With most of the room for hot rows taken, intake needs the machine more.
fn effort(tables: &Tables, hot_bytes_max: usize) -> Effort {
    if tables.hot_bytes() > hot_bytes_max / 4 * 3 { Effort::Light } else { Effort::Whole }
}
