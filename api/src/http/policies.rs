//! The policies of the server's folder, and the schema of their files.

use axum::Json;
use axum::extract::State;
use haldane_analyzer::policy::PolicyFile;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::Doors;

/// The policies in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyListBody {
    /// In the order in which they are tried: the first that matches counts.
    pub policies: Vec<PolicyBody>,
}

/// A policy of the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyBody {
    /// What it is called.
    pub name: String,
    /// The start of the SHA-256 of its file.
    pub version: String,
    /// What it says.
    pub file: PolicyFile,
}

/// Lists the policies of the server's folder, in the order in which they are tried.
#[utoipa::path(
    get, path = "/v1/policies", tag = "rollouts", operation_id = "listPolicies",
    responses((status = 200, description = "The policies", body = PolicyListBody))
)]
pub(super) async fn list(State(doors): State<Doors>) -> Json<PolicyListBody> {
    let all = doors.rollouts.policies().all().into_iter();
    Json(PolicyListBody { policies: all.map(|one| PolicyBody { name: one.name, version: one.version, file: one.file }).collect() })
}

#[derive(OpenApi)]
#[openapi(components(schemas(PolicyFile)))]
struct Schemas;

/// The JSON Schema of a policy file.
pub fn policy_schema() -> String {
    let document = serde_json::to_value(Schemas::openapi()).unwrap_or_default();
    let schemas = document["components"]["schemas"].clone();
    let text = serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Haldane policy", "$ref": "#/$defs/PolicyFile", "$defs": schemas
    });
    serde_json::to_string_pretty(&text).unwrap_or_default().replace("#/components/schemas/", "#/$defs/")
}
