//! Tokens that are made, listed and revoked while the server runs. A token is shown once, when it is made.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use haldane_analyzer::rollout::{EventDetails, EventKind, EventPlace, entry_of};
use haldane_store::access::{Scope, Token, TokenDigest, new_token};
use haldane_store::ledger::{LedgerError, TokenRow};
use haldane_store::name::is_plain_name;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Doors;
use super::extract::{Caller, InPath, JsonBody};
use crate::error::{Problem, ProblemKind};
use crate::sql::scram_verifier;

/// Most tokens in the ledger.
const TOKENS_MAX: usize = 1_000;

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "deploy-bot", "scopes": ["operate"]}))]
pub struct NewTokenBody {
    /// What it is called in logs, metrics and the audit: 1 to 64 of the characters a-z A-Z 0-9 - _ .
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub name: String,
    /// What it lets its holder do.
    #[schema(min_items = 1)]
    pub scopes: Vec<ScopeWord>,
}

/// A token that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MadeTokenBody {
    /// What it is called.
    pub name: String,
    /// What it lets its holder do.
    pub scopes: Vec<ScopeWord>,
    /// The token itself. It is shown only now.
    pub token: String,
}

/// The tokens that are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenListBody {
    /// Those of the settings first.
    pub tokens: Vec<TokenBody>,
}

/// A token, without itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenBody {
    /// What it is called.
    pub name: String,
    /// What it lets its holder do.
    pub scopes: Vec<ScopeWord>,
    /// Whether it is in the settings, where it has to be removed too.
    pub preset: bool,
    /// When it was made; absent where it is in the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub created_at: Option<String>,
    /// By whom; absent where it is in the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

/// What a token lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopeWord {
    /// Send telemetry.
    Ingest,
    /// See everything, change nothing.
    Read,
    /// Start, end and decide rollouts, and all that `read` may.
    Operate,
}

impl From<Scope> for ScopeWord {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Ingest => Self::Ingest,
            Scope::Read => Self::Read,
            Scope::Operate => Self::Operate,
        }
    }
}

impl From<ScopeWord> for Scope {
    fn from(word: ScopeWord) -> Self {
        match word {
            ScopeWord::Ingest => Self::Ingest,
            ScopeWord::Read => Self::Read,
            ScopeWord::Operate => Self::Operate,
        }
    }
}

/// Makes a token, and shows it once. The first token of the API has to have the scope `operate`, for from then on it asks for one.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "operation", operation_id = "createToken", request_body = NewTokenBody,
    responses(
        (status = 201, description = "Made", body = MadeTokenBody),
        (status = 400, description = "A field is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is one of this name", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(doors): State<Doors>,
    caller: Caller,
    JsonBody(body): JsonBody<NewTokenBody>,
) -> Result<Response, Problem> {
    if !is_plain_name(&body.name) {
        return Err(Problem::invalid("name: it has 1 to 64 of the characters a-z A-Z 0-9 - _ ."));
    }
    let mut scopes: Vec<Scope> = body.scopes.into_iter().map(Scope::from).collect();
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(Problem::invalid("scopes: give one at least of ingest, read and operate"));
    }
    if scopes.contains(&Scope::Read) && !scopes.contains(&Scope::Operate) && !doors.access.asks(Scope::Operate) {
        return Err(Problem::invalid("scopes: the first token of the API needs operate, or nobody could make another one"));
    }
    let _one_at_a_time = doors.changing_tokens.lock().await;
    if doors.ledger.tokens().await.map_err(|error| problem(&error))?.len() >= TOKENS_MAX {
        return Err(Problem::invalid(format!("there are {TOKENS_MAX} tokens, which is the most: revoke some")));
    }
    let secret = new_token().map_err(|error| no_chance(&error))?;
    let scram = scram_verifier(&secret).map_err(|error| no_chance(&error))?;
    let token = Token { name: body.name.clone(), sha256: TokenDigest::of(&secret), scopes: scopes.clone(), scram: Some(scram) };
    let (now, actor) = (doors.rollouts.now(), caller.named(None));
    let details = EventDetails {
        token: body.name.clone(),
        scopes: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        ..EventDetails::default()
    };
    let entry = entry_of(EventKind::TokenCreated, &actor, now, EventPlace::default(), &details);
    let row = TokenRow { token, created_at: now, created_by: actor };
    let taken =
        || Problem::new(StatusCode::CONFLICT, ProblemKind::TokenExists, format!("there is a token {} already: revoke it first", body.name));
    if doors.access.is_preset(&body.name) || !doors.ledger.add_token(&row, &entry).await.map_err(|error| problem(&error))? {
        return Err(taken());
    }
    doors.reload_tokens().await.map_err(|error| problem(&error))?;
    let made = MadeTokenBody { name: body.name, scopes: scopes.into_iter().map(ScopeWord::from).collect(), token: secret };
    Ok((StatusCode::CREATED, [("cache-control", "no-store")], Json(made)).into_response())
}

/// Lists the tokens that are in force, without themselves.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "operation", operation_id = "listTokens",
    responses(
        (status = 200, description = "The tokens", body = TokenListBody),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(doors): State<Doors>) -> Result<Json<TokenListBody>, Problem> {
    let words = |token: &Token| token.scopes.iter().copied().map(ScopeWord::from).collect();
    let preset = doors.access.preset().into_iter().map(|token| TokenBody {
        scopes: words(&token),
        name: token.name,
        preset: true,
        created_at: None,
        created_by: None,
    });
    let kept = doors.ledger.tokens().await.map_err(|error| problem(&error))?.into_iter().map(|row| TokenBody {
        scopes: words(&row.token),
        name: row.token.name,
        preset: false,
        created_at: Some(row.created_at.to_rfc3339()),
        created_by: Some(row.created_by),
    });
    Ok(Json(TokenListBody { tokens: preset.chain(kept).collect() }))
}

/// Revokes a token: it lets in no more, at once. The door that it opened goes on asking.
#[utoipa::path(
    delete, path = "/v1/tokens/{name}", tag = "operation", operation_id = "revokeToken",
    params(("name" = String, Path, description = "The token's name")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "There is none of this name", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is in the settings, where it has to be removed, or the last with `operate`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(State(doors): State<Doors>, caller: Caller, InPath(name): InPath) -> Result<StatusCode, Problem> {
    if doors.access.is_preset(&name) {
        let detail = format!("the token {name} is in the settings: remove it there, and restart");
        return Err(Problem::new(StatusCode::CONFLICT, ProblemKind::TokenExists, detail));
    }
    let _one_at_a_time = doors.changing_tokens.lock().await;
    let operates = doors
        .ledger
        .tokens()
        .await
        .map_err(|error| problem(&error))?
        .into_iter()
        .any(|row| row.token.name == name && row.token.scopes.contains(&Scope::Operate));
    if operates && !doors.access.has_another(&name, Scope::Operate) {
        let detail = format!(
            "{name} is the last token with operate, and the API would let in nobody: make another one first, or put one into the settings"
        );
        return Err(Problem::new(StatusCode::CONFLICT, ProblemKind::LastToken, detail));
    }
    let details = EventDetails { token: name.clone(), ..EventDetails::default() };
    let entry = entry_of(EventKind::TokenRevoked, &caller.named(None), doors.rollouts.now(), EventPlace::default(), &details);
    if !is_plain_name(&name) || !doors.ledger.revoke_token(&name, &entry).await.map_err(|error| problem(&error))? {
        let start: String = name.chars().take(80).collect();
        return Err(Problem::new(StatusCode::NOT_FOUND, ProblemKind::UnknownToken, format!("there is no token {start:?}")));
    }
    doors.reload_tokens().await.map_err(|error| problem(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

impl Doors {
    /// All doors look at one list; what was made or revoked counts from now on.
    async fn reload_tokens(&self) -> Result<(), LedgerError> {
        let kept = self.ledger.tokens().await?.into_iter().map(|row| row.token).collect();
        self.access.set_kept(kept, self.ledger.scopes_ever_given().await?);
        Ok(())
    }
}

fn no_chance(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "cannot make a token");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, ProblemKind::Internal, "the server has no source of chance: its log has the details")
}

fn problem(error: &LedgerError) -> Problem {
    Problem::from_error(error, ProblemKind::Internal)
}

#[cfg(test)]
mod tests;
