//! What other tools keep here. What a document says is theirs.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Ledger, LedgerError, failed};
use crate::time::UnixNanos;

/// A document of some kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// What it is.
    pub kind: String,
    /// Its name among those of its kind.
    pub id: String,
    /// Whom it belongs to, to search by; may be empty.
    pub application: String,
    /// When it was made.
    pub created_at: UnixNanos,
    /// When it was changed last.
    pub updated_at: UnixNanos,
    /// What it says.
    pub document: String,
}

impl DocumentRow {
    /// One that is made now, and says nothing yet.
    pub fn new(kind: &str, id: &str, application: &str, now: UnixNanos) -> Self {
        let (kind, id, application) = (kind.to_owned(), id.to_owned(), application.to_owned());
        Self { kind, id, application, created_at: now, updated_at: now, document: String::new() }
    }
}

const COLUMNS: &str = "kind, id, application, created_at, updated_at, document";

impl Ledger {
    /// Adds a document, or replaces the one of the same name, and keeps the newest of its kind only.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn put_document(&self, row: &DocumentRow, kept: u32) -> Result<(), LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin a document"))?;
        let sql = sqlx::AssertSqlSafe(format!(
            "INSERT INTO documents ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (kind, id) DO UPDATE SET application = excluded.application, updated_at = excluded.updated_at, document = excluded.document"
        ));
        sqlx::query(sql)
            .bind(&row.kind)
            .bind(&row.id)
            .bind(&row.application)
            .bind(row.created_at.as_nanos())
            .bind(row.updated_at.as_nanos())
            .bind(&row.document)
            .execute(&mut *step)
            .await
            .map_err(failed("keep a document"))?;
        sqlx::query(
            "DELETE FROM documents WHERE kind = $1 AND id NOT IN (SELECT id FROM documents WHERE kind = $1 ORDER BY created_at DESC, id DESC LIMIT $2)",
        )
        .bind(&row.kind)
        .bind(i64::from(kept))
        .execute(&mut *step)
        .await
        .map_err(failed("forget old documents"))?;
        step.commit().await.map_err(failed("keep a document"))
    }

    /// The document of this name.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn document(&self, kind: &str, id: &str) -> Result<Option<DocumentRow>, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM documents WHERE kind = $1 AND id = $2"));
        let row = sqlx::query(sql).bind(kind).bind(id).fetch_optional(&self.pool).await.map_err(failed("find a document"))?;
        row.map(|row| read(&row)).transpose()
    }

    /// Documents of a kind, of one application or of all, the newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn documents(
        &self,
        kind: &str,
        application: Option<&str>,
        (limit, skip): (u32, u32),
    ) -> Result<Vec<DocumentRow>, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM documents WHERE kind = $1 AND ($2 IS NULL OR application = $2) ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4"
        ));
        let found = sqlx::query(sql).bind(kind).bind(application).bind(i64::from(limit)).bind(i64::from(skip)).fetch_all(&self.pool).await;
        found.map_err(failed("list documents"))?.iter().map(read).collect()
    }

    /// Removes a document. Says whether it was there.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn remove_document(&self, kind: &str, id: &str) -> Result<bool, LedgerError> {
        let done = sqlx::query("DELETE FROM documents WHERE kind = $1 AND id = $2").bind(kind).bind(id).execute(&self.pool).await;
        Ok(done.map_err(failed("remove a document"))?.rows_affected() > 0)
    }
}

fn read(row: &SqliteRow) -> Result<DocumentRow, LedgerError> {
    let parse = || -> Result<DocumentRow, sqlx::Error> {
        Ok(DocumentRow {
            kind: row.try_get("kind")?,
            id: row.try_get("id")?,
            application: row.try_get("application")?,
            created_at: UnixNanos::new(row.try_get("created_at")?),
            updated_at: UnixNanos::new(row.try_get("updated_at")?),
            document: row.try_get("document")?,
        })
    };
    parse().map_err(|cause| LedgerError::Broken { what: "document", detail: cause.to_string() })
}
