//! Tokens that were made while the server ran.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::trail::{TrailEntry, append};
use super::{Ledger, LedgerError, failed};
use crate::access::{Scope, ScramVerifier, Token, TokenDigest};
use crate::time::UnixNanos;

/// A token in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// The token.
    pub token: Token,
    /// When it was made.
    pub created_at: UnixNanos,
    /// By whom.
    pub created_by: String,
}

impl Ledger {
    /// The tokens that are in force, by name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, LedgerError> {
        let sql = "SELECT name, sha256, scopes, created_at, created_by, scram FROM tokens WHERE revoked_at IS NULL ORDER BY name";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await;
        rows.map_err(failed("list tokens"))?.iter().map(read).collect()
    }

    /// The scopes that any token ever had, also one that was revoked.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn scopes_ever_given(&self) -> Result<Vec<Scope>, LedgerError> {
        let rows = sqlx::query_scalar::<_, String>("SELECT DISTINCT scopes FROM tokens").fetch_all(&self.pool).await;
        Ok(rows.map_err(failed("list tokens"))?.iter().flat_map(|scopes| scopes.split(' ').filter_map(Scope::parse)).collect())
    }

    /// Adds a token, in one step with what the trail tells of it. Says whether the name was free.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn add_token(&self, row: &TokenRow, entry: &TrailEntry) -> Result<bool, LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin a token"))?;
        let scopes: Vec<&str> = row.token.scopes.iter().map(|scope| scope.as_str()).collect();
        let done = sqlx::query(
            "INSERT INTO tokens (name, sha256, scopes, created_at, created_by, scram) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, scopes = excluded.scopes, created_at = excluded.created_at,
             created_by = excluded.created_by, scram = excluded.scram, revoked_at = NULL WHERE tokens.revoked_at IS NOT NULL",
        )
        .bind(&row.token.name)
        .bind(row.token.sha256.to_string())
        .bind(scopes.join(" "))
        .bind(row.created_at.as_nanos())
        .bind(&row.created_by)
        .bind(row.token.scram.as_ref().map(ToString::to_string))
        .execute(&mut *step)
        .await
        .map_err(failed("add a token"))?;
        if done.rows_affected() == 0 {
            step.rollback().await.map_err(failed("leave the tokens as they were"))?;
            return Ok(false);
        }
        append(&mut step, std::slice::from_ref(entry)).await?;
        step.commit().await.map_err(failed("add a token"))?;
        self.trail_grew();
        Ok(true)
    }

    /// Ends a token, in one step with what the trail tells of it. Says whether it was in force.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn revoke_token(&self, name: &str, entry: &TrailEntry) -> Result<bool, LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin to revoke a token"))?;
        let done = sqlx::query("UPDATE tokens SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL")
            .bind(name)
            .bind(entry.at.as_nanos())
            .execute(&mut *step)
            .await
            .map_err(failed("revoke a token"))?;
        let was_there = done.rows_affected() > 0;
        if was_there {
            append(&mut step, std::slice::from_ref(entry)).await?;
        }
        step.commit().await.map_err(failed("revoke a token"))?;
        self.trail_grew();
        Ok(was_there)
    }
}

fn read(row: &SqliteRow) -> Result<TokenRow, LedgerError> {
    let broken = |detail: String| LedgerError::Broken { what: "token", detail };
    let parse = || -> Result<(String, String, String, i64, String), sqlx::Error> {
        Ok((row.try_get("name")?, row.try_get("sha256")?, row.try_get("scopes")?, row.try_get("created_at")?, row.try_get("created_by")?))
    };
    let (name, sha256, scopes, created_at, created_by) = parse().map_err(|cause| broken(cause.to_string()))?;
    let scram: Option<String> = row.try_get("scram").map_err(|cause| broken(cause.to_string()))?;
    let token = Token {
        scram: scram.map(ScramVerifier::try_from).transpose().map_err(broken)?,
        name,
        sha256: TokenDigest::try_from(sha256).map_err(broken)?,
        scopes: scopes.split(' ').filter_map(Scope::parse).collect(),
    };
    Ok(TokenRow { token, created_at: UnixNanos::new(created_at), created_by })
}
