//! `/canaryConfig`: configurations, kept and given back.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use haldane_store::UnixNanos;
use haldane_store::ledger::DocumentRow;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{BUILT_IN, CanaryConfig};
use super::{KEPT, fits, keep, ledger_problem, load, read, unknown};
use crate::error::Problem;
use crate::http::Doors;
use crate::http::extract::{InPath, JsonBody, Params};

const KIND: &str = "kayenta-config";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListParams {
    application: Option<String>,
}

pub(super) async fn list(State(doors): State<Doors>, Params(params): Params<ListParams>) -> Result<Json<Value>, Problem> {
    let rows = doors.ledger.documents(KIND, None, (KEPT, 0)).await.map_err(|error| ledger_problem(&error))?;
    let mut found = Vec::new();
    let mut named = false;
    for row in &rows {
        let config: CanaryConfig = read(row)?;
        if params.application.as_ref().is_none_or(|wanted| config.applications.contains(wanted)) {
            named |= config.name == BUILT_IN;
            found.push(summary(row, &config));
        }
    }
    if !named {
        let config = CanaryConfig::built_in(params.application.as_deref().unwrap_or("*"));
        found.push(json!({
            "id": BUILT_IN, "name": BUILT_IN, "updatedTimestamp": 0, "updatedTimestampIso": UnixNanos::new(0).to_rfc3339(),
            "applications": config.applications
        }));
    }
    Ok(Json(found.into()))
}

fn summary(row: &DocumentRow, config: &CanaryConfig) -> Value {
    json!({
        "id": row.id, "name": config.name, "updatedTimestamp": row.updated_at.as_nanos() / 1_000_000,
        "updatedTimestampIso": row.updated_at.to_rfc3339(), "applications": config.applications
    })
}

pub(super) async fn create(State(doors): State<Doors>, JsonBody(config): JsonBody<CanaryConfig>) -> Result<Json<Value>, Problem> {
    config.check()?;
    let id = config.id.clone().unwrap_or_else(|| doors.new_id());
    let count = doors.ledger.documents(KIND, None, (KEPT, 0)).await.map_err(|error| ledger_problem(&error))?.len();
    if count >= KEPT as usize {
        return Err(Problem::invalid(format!("there are {KEPT} configurations, which is the most: remove some")));
    }
    if id != BUILT_IN && find(&doors, &id).await?.is_some() {
        return Err(Problem::invalid(format!("id: a configuration {id:?} exists already; change it with PUT")));
    }
    store(&doors, id, config).await
}

pub(super) async fn replace(
    State(doors): State<Doors>,
    InPath(id): InPath,
    JsonBody(config): JsonBody<CanaryConfig>,
) -> Result<Json<Value>, Problem> {
    config.check()?;
    if load::<CanaryConfig>(&doors.ledger, KIND, &id).await?.is_none() {
        return Err(unknown("canary configuration", &id));
    }
    store(&doors, id, config).await
}

async fn store(doors: &Doors, id: String, config: CanaryConfig) -> Result<Json<Value>, Problem> {
    fits(&config)?;
    let now = doors.rollouts.now();
    let row = DocumentRow::new(KIND, &id, "", now);
    keep(&doors.ledger, row, &CanaryConfig { id: Some(id.clone()), ..config }).await?;
    Ok(Json(json!({ "canaryConfigId": id })))
}

pub(super) async fn show(State(doors): State<Doors>, InPath(id): InPath) -> Result<Json<CanaryConfig>, Problem> {
    find(&doors, &id).await?.map(Json).ok_or_else(|| unknown("canary configuration", &id))
}

pub(super) async fn remove(State(doors): State<Doors>, InPath(id): InPath) -> Result<StatusCode, Problem> {
    match doors.ledger.remove_document(KIND, &id).await.map_err(|error| ledger_problem(&error))? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("canary configuration", &id)),
    }
}

/// The configuration of this id; the one that is always there if nobody has taken its name.
pub(super) async fn find(doors: &Doors, id: &str) -> Result<Option<CanaryConfig>, Problem> {
    let kept = load::<CanaryConfig>(&doors.ledger, KIND, id).await?.map(|(_, config)| config);
    Ok(kept.or_else(|| (id == BUILT_IN).then(|| CanaryConfig::built_in("*"))))
}
