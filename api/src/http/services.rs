//! The services that have sent telemetry.

use axum::Json;
use axum::extract::State;
use haldane_analyzer::rollout::ServiceSummary;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Doors;
use super::rollouts::read_problem;
use crate::error::Problem;

/// The services that have sent telemetry in the last day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceListBody {
    /// By service, then environment.
    pub services: Vec<ServiceBody>,
}

/// A service in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceBody {
    /// `service.name`.
    pub service: String,
    /// `deployment.environment.name`, `default` where none is named.
    pub environment: String,
    /// Its versions of the last day, the one with most requests first.
    pub versions: Vec<VersionBody>,
}

/// A version of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionBody {
    /// `service.version`; empty where none is named.
    pub version: String,
    /// Requests in the last day.
    pub requests: u64,
    /// Instances in the last day.
    pub instances: u64,
    /// When it was first seen in the last day.
    #[schema(format = DateTime)]
    pub first_seen: String,
    /// When it was last seen.
    #[schema(format = DateTime)]
    pub last_seen: String,
}

impl From<&ServiceSummary> for ServiceBody {
    fn from(summary: &ServiceSummary) -> Self {
        let versions = summary.versions.iter().map(|version| VersionBody {
            version: version.version.clone(),
            requests: version.requests,
            instances: version.instances,
            first_seen: version.first_seen.to_rfc3339(),
            last_seen: version.last_seen.to_rfc3339(),
        });
        Self { service: summary.service.clone(), environment: summary.environment.clone(), versions: versions.collect() }
    }
}

/// Lists the services that have sent telemetry, with their versions.
#[utoipa::path(
    get, path = "/v1/services", tag = "data", operation_id = "listServices",
    responses(
        (status = 200, description = "The services", body = ServiceListBody),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(doors): State<Doors>) -> Result<Json<ServiceListBody>, Problem> {
    let services = doors.rollouts.services().await.map_err(|error| read_problem(&error))?;
    Ok(Json(ServiceListBody { services: services.iter().map(ServiceBody::from).collect() }))
}
