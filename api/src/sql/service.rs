//! Looks at who asks and what before the text is parsed; the rest is the library's.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::results::{FieldInfo, Response};
use datafusion_postgres::pgwire::api::stmt::QueryParser;
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, Type};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::{DfSessionService, Parser};
use futures::Sink;
use haldane_analyzer::query::check_text;

use super::guard::{FORMAT_KEY, format_text, told, user_error};
use super::login::Login;
use super::parameters::with_types;

type Parsed = (String, Option<(Statement, LogicalPlan)>);

/// How many statements a text has that say anything. One that cannot be cut into words cannot be parsed either.
fn statements(text: &str) -> usize {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().unwrap_or_default();
    let says = |part: &[Token]| part.iter().any(|token| !matches!(token, Token::Whitespace(_) | Token::EOF));
    tokens.split(|token| *token == Token::SemiColon).filter(|part| says(part)).count()
}

/// The library's service behind a look at each text.
pub(super) struct Service {
    inner: Arc<DfSessionService>,
    parser: Arc<CheckedParser>,
}

impl Service {
    pub(super) fn new(inner: Arc<DfSessionService>, login: Login) -> Self {
        let parser = Arc::new(CheckedParser { inner: inner.query_parser(), login });
        Self { inner, parser }
    }
}

pub(super) struct CheckedParser {
    inner: Arc<Parser>,
    login: Login,
}

impl CheckedParser {
    fn check(&self, client: &impl ClientInfo, text: &str) -> PgWireResult<()> {
        if !self.login.may_still(client) {
            return Err(user_error("28000", "the token of this connection is no longer in force, or nobody has logged in".to_owned()));
        }
        check_text(text).map_err(|reason| user_error("54001", reason))
    }
}

#[async_trait]
impl SimpleQueryHandler for Service {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.parser.check(client, query)?;
        SimpleQueryHandler::do_query(&*self.inner, client, query).await.map_err(told)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Service {
    type Statement = Parsed;
    type QueryParser = CheckedParser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        self.parser.clone()
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<Self::Statement>, max_rows: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.parser.check(client, "")?;
        // The hooks are not told how this portal wants its answer.
        client.metadata_mut().insert(FORMAT_KEY.to_owned(), format_text(&portal.result_column_format));
        ExtendedQueryHandler::do_query(&*self.inner, client, portal, max_rows).await
    }
}

#[async_trait]
impl QueryParser for CheckedParser {
    type Statement = Parsed;

    async fn parse_sql<C>(&self, client: &C, sql: &str, types: &[Option<Type>]) -> PgWireResult<Option<Self::Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        self.check(client, sql)?;
        if statements(sql) > 1 {
            return Err(user_error("42601", "cannot insert multiple commands into a prepared statement".to_owned()));
        }
        let (text, parsed) = match self.inner.parse_sql(client, sql, types).await.map_err(told)? {
            Some(statement) => statement,
            None => return Ok(None),
        };
        let typed = |(statement, plan): (Statement, LogicalPlan)| Ok((statement, with_types(plan)?));
        let parsed = parsed.map(typed).transpose().map_err(|error: DataFusionError| told(PgWireError::ApiError(Box::new(error))))?;
        Ok(Some((text, parsed)))
    }

    fn get_parameter_types(&self, statement: &Self::Statement) -> PgWireResult<Vec<Type>> {
        self.inner.get_parameter_types(statement)
    }

    fn get_result_schema(&self, statement: &Self::Statement, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        self.inner.get_result_schema(statement, format)
    }
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn statements_are_counted_as_they_are_meant() {
        assert_eq!(statements("SELECT ';' AS a -- ; b"), 1);
        assert_eq!(statements("SELECT 1;"), 1);
        assert_eq!(statements("SELECT 1;\n; SELECT 2"), 2);
        assert_eq!(statements(" ; "), 0);
        assert_eq!(statements("SELECT $$a;b$$ /* ; */"), 1);
    }
}
