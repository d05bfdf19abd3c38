//! Deployment markers, in our own words and as CDEvents.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use haldane_analyzer::rollout::{Marker, MarkerKind};
use haldane_store::name::sha256_hex;
use haldane_store::{Environment, ServiceName, UnixNanos};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Doors;
use super::described::{CdEvent, Metadata, Name};
use super::extract::{Caller, JsonBody};
use super::rollouts::{check_metadata, read_problem};
use crate::error::Problem;

/// Longest version, id and actor, in bytes.
const TEXT_BYTES_MAX: usize = 255;

/// What a pipeline did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"service": "payment", "environment": "shop", "version": "1.5.0", "kind": "upgraded", "metadata": {"commit": "3f2a91c"}}))]
pub struct MarkerBody {
    /// `service.name`.
    #[schema(value_type = Name)]
    pub service: String,
    /// `deployment.environment.name`; `default` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Name>)]
    pub environment: Option<String>,
    /// `service.version` of what was deployed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 255, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub version: String,
    /// What was done; `deployed` if left out.
    #[serde(default)]
    pub kind: MarkerWord,
    /// When (RFC 3339); now if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub at: Option<String>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Such as a commit or a build's address; a rollout that Haldane opens by itself takes them over. At most 32 entries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Metadata)]
    pub metadata: BTreeMap<String, String>,
    /// The same id is noted once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub id: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MarkerWord {
    /// A version came to where there was none.
    #[default]
    Deployed,
    /// A version took the place of another.
    Upgraded,
    /// An earlier version was put back.
    RolledBack,
    /// The service was taken away.
    Removed,
}

impl From<MarkerWord> for MarkerKind {
    fn from(word: MarkerWord) -> Self {
        match word {
            MarkerWord::Deployed => Self::Deployed,
            MarkerWord::Upgraded => Self::Upgraded,
            MarkerWord::RolledBack => Self::RolledBack,
            MarkerWord::Removed => Self::Removed,
        }
    }
}

/// Notes what a pipeline did. It is in the audit as `deployment.recorded`, on dashboards, and in the metadata of a rollout that Haldane opens by itself.
#[utoipa::path(
    post, path = "/v1/deployments", tag = "rollouts", operation_id = "recordDeployment", request_body = MarkerBody,
    responses(
        (status = 201, description = "Noted"),
        (status = 200, description = "It had been noted before"),
        (status = 400, description = "A field is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn record(
    State(doors): State<Doors>,
    caller: Caller,
    JsonBody(body): JsonBody<MarkerBody>,
) -> Result<StatusCode, Problem> {
    note(&doors, parse(body, &caller)?).await
}

/// Takes CDEvents: `service.deployed`, `upgraded`, `rolledback` and `removed`, as they are or as the data of a structured CloudEvent.
///
/// The version is the tag of the artifact's package URL, else what stands behind its `@`.
#[utoipa::path(
    post, path = "/integrations/cdevents", tag = "integrations", operation_id = "takeCDEvent",
    request_body(content = inline(CdEvent), content_type = "application/json"),
    responses(
        (status = 201, description = "Noted"),
        (status = 200, description = "It had been noted before, or is of a kind that is not noted"),
        (status = 400, description = "It is no CDEvent: the detail says why", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cdevent(State(doors): State<Doors>, caller: Caller, JsonBody(body): JsonBody<Value>) -> Result<StatusCode, Problem> {
    match of_cdevent(&body)? {
        Some(marker) => note(&doors, parse(marker, &caller)?).await,
        None => Ok(StatusCode::OK),
    }
}

async fn note(doors: &Doors, marker: Marker) -> Result<StatusCode, Problem> {
    let new = doors.rollouts.mark(&marker).await.map_err(|error| read_problem(&error))?;
    Ok(if new { StatusCode::CREATED } else { StatusCode::OK })
}

fn parse(body: MarkerBody, caller: &Caller) -> Result<Marker, Problem> {
    let field = |name: &'static str| move |error: &dyn std::fmt::Display| Problem::invalid(format!("{name}: {error}"));
    check_metadata(&body.metadata)?;
    let fits = |text: &str| text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
    if !fits(&body.version) || !body.id.as_deref().is_none_or(fits) {
        return Err(Problem::invalid(format!("version, id: at most {TEXT_BYTES_MAX} bytes on one line")));
    }
    Ok(Marker {
        kind: body.kind.into(),
        service: ServiceName::parse(&body.service).map_err(|error| field("service")(&error))?,
        environment: match &body.environment {
            Some(text) => Environment::parse(text).map_err(|error| field("environment")(&error))?,
            None => Environment::unnamed(),
        },
        version: body.version,
        actor: caller.named(body.actor.as_deref()),
        at: match &body.at {
            Some(text) => Some(UnixNanos::parse_rfc3339(text).map_err(|error| field("at")(&error))?),
            None => None,
        },
        metadata: body.metadata,
        id: body.id,
    })
}

/// `None` where it is a CDEvent of another kind.
fn of_cdevent(body: &Value) -> Result<Option<MarkerBody>, Problem> {
    let event = if body.get("specversion").is_some() { body.get("data").unwrap_or(body) } else { body };
    let text = |path: &str| event.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let needed = |path: &str| {
        text(path).ok_or_else(|| Problem::invalid(format!("{path} is missing: send a CDEvent, or a CloudEvent with one as its data")))
    };
    let kind = needed("/context/type")?;
    let kind = match kind.strip_prefix("dev.cdevents.service.").and_then(|rest| rest.split('.').next()) {
        Some("deployed") => MarkerWord::Deployed,
        Some("upgraded") => MarkerWord::Upgraded,
        Some("rolledback") => MarkerWord::RolledBack,
        Some("removed") => MarkerWord::Removed,
        _ if kind.starts_with("dev.cdevents.") => return Ok(None),
        _ => return Err(Problem::invalid(format!("/context/type is {kind:?}, which is no type of CDEvents"))),
    };
    let artifact = text("/subject/content/artifactId");
    let mut metadata = BTreeMap::new();
    let kept = [("artifact", artifact), ("url", text("/context/links/0/target/uri")), ("source", text("/context/source"))];
    metadata.extend(kept.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))));
    let custom = event.get("customData").and_then(Value::as_object);
    let custom = custom.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    metadata.extend(custom.filter(|(key, value)| !key.is_empty() && key.len() <= TEXT_BYTES_MAX && value.len() <= TEXT_BYTES_MAX).take(16));
    let id = format!("{} {}", text("/context/source").unwrap_or_default(), needed("/context/id")?);
    Ok(Some(MarkerBody {
        service: needed("/subject/id")?.rsplit('/').next().unwrap_or_default().to_owned(),
        environment: text("/subject/content/environment/id").map(str::to_owned),
        version: artifact.map(version_of).unwrap_or_default(),
        kind,
        at: text("/context/timestamp").map(str::to_owned),
        actor: None,
        metadata,
        id: Some(sha256_hex(&id)),
    }))
}

/// Of `pkg:oci/payment@sha256%3A0b31…?tag=1.5.0` the tag, of `pkg:npm/cart@2.1.0` what is behind the `@`.
fn version_of(package_url: &str) -> String {
    let (path, query) = package_url.split_once('?').unwrap_or((package_url, ""));
    let tag = query.split('#').next().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("tag="));
    tag.or_else(|| path.rsplit_once('@').map(|(_, version)| version)).unwrap_or_default().replace("%3A", ":").replace("%2B", "+")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::tests::Shop;

    #[test]
    fn a_version_is_the_tag_or_what_is_behind_the_at() {
        assert_eq!(version_of("pkg:oci/payment@sha256%3A0b31?repository_url=x&tag=1.5.0"), "1.5.0");
        assert_eq!(version_of("pkg:npm/cart@2.1.0"), "2.1.0");
        assert_eq!(version_of("payment"), "");
    }

    #[tokio::test]
    async fn markers_come_from_the_api_and_as_cdevents_and_count_once() {
        let shop = Shop::open().await;
        let own = json!({"service": "payment", "environment": "shop", "version": "1.5.0", "kind": "upgraded", "actor": "ann", "metadata": {"commit": "3f2a91c"}, "id": "b-1"});
        assert_eq!(shop.post("/v1/deployments", &own).await.status, 201);
        assert_eq!(shop.post("/v1/deployments", &own).await.status, 200, "the same id is noted once");
        let event = json!({
            "context": {"specversion": "0.5.0", "id": "e-1", "source": "/ci", "type": "dev.cdevents.service.rolledback.0.3.0", "timestamp": "2026-03-20T14:27:05.315384Z"},
            "subject": {"id": "/shop/payment", "type": "service", "content": {"environment": {"id": "shop"}, "artifactId": "pkg:oci/payment@sha256%3A0b31?tag=1.4.0"}}
        });
        assert_eq!(shop.post("/integrations/cdevents", &event).await.status, 201);
        let wrapped = json!({"specversion": "1.0", "type": "dev.cdevents.service.rolledback.0.3.0", "data": event});
        assert_eq!(shop.post("/integrations/cdevents", &wrapped).await.status, 200, "the same event in an envelope");
        let other = json!({"context": {"id": "e-2", "type": "dev.cdevents.build.started.0.2.0"}});
        assert_eq!(shop.post("/integrations/cdevents", &other).await.status, 200, "of no interest, and no mistake");
        for wrong in [json!({}), json!({"context": {"type": "com.example.x", "id": "1"}})] {
            shop.post("/integrations/cdevents", &wrong).await.problem(400, "invalid-request");
        }
        let audit = shop.get("/v1/audit?kind=deployment.recorded&order=asc").await.json();
        let told: Vec<_> = audit["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| (event["details"]["state"].clone(), event["details"]["version"].clone()))
            .collect();
        assert_eq!(told, [(json!("upgraded"), json!("1.5.0")), (json!("rolled_back"), json!("1.4.0"))]);
        assert_eq!((&audit["events"][0]["actor"], &audit["events"][1]["service"]), (&json!("ann"), &json!("payment")));
    }
}
