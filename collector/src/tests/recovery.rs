//! The whole collector on a real folder: opened, fed, dropped and opened again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datafusion_free_count::{committed_rows, visible_rows};
use haldane_store::table::{Access, TablesConfig};
use haldane_store::{SystemClock, TableName, Tables};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::fixture::{log, logs_of, metrics, metrics_of, numbered_span, protobuf, traces_of};
use crate::collector::Collector;
use crate::config::{CollectorConfig, WalConfig};
use crate::decode::Records;

mod datafusion_free_count;
