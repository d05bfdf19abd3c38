//! Who may ask: everybody where no token opens the API, else who proves to know one with `read`. The user is the token's name.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::noop::NoopStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::SASLAuthStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::scram::ScramAuth;
use datafusion_postgres::pgwire::api::auth::{AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler};
use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionManager};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::Sink;
use haldane_store::access::{AccessList, Scope};

use super::{ITERATIONS, decoy};

/// Makes a check for each connection.
#[derive(Clone)]
pub(super) struct Login {
    access: AccessList,
    connections: Arc<ConnectionManager>,
    secret: Arc<str>,
}

impl Login {
    pub(super) fn new(access: AccessList, connections: Arc<ConnectionManager>, secret: &str) -> Self {
        Self { access, connections, secret: secret.into() }
    }

    pub(super) fn for_connection(&self) -> Check {
        if !self.access.asks(Scope::Read) {
            return Check::Open(Open(self.connections.clone()));
        }
        let tokens = Tokens { access: self.access.clone(), secret: self.secret.clone() };
        let mut scram = ScramAuth::new(Arc::new(tokens));
        scram.set_iterations(ITERATIONS);
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = "15.0 (Haldane)".to_owned();
        parameters.search_path = "haldane".to_owned();
        parameters.is_superuser = false;
        parameters.default_transaction_read_only = true;
        let handler = SASLAuthStartupHandler::new(Arc::new(parameters)).with_scram(scram);
        Check::Tokens(Box::new(handler.with_connection_manager(self.connections.clone())))
    }
}

/// The check of one connection.
pub(super) enum Check {
    Open(Open),
    Tokens(Box<SASLAuthStartupHandler<DefaultServerParameterProvider>>),
}

#[async_trait]
impl StartupHandler for Check {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match self {
            Self::Open(open) => open.on_startup(client, message).await,
            Self::Tokens(tokens) => tokens.on_startup(client, message).await,
        }
    }
}

/// Lets everybody in.
pub(super) struct Open(Arc<ConnectionManager>);

impl NoopStartupHandler for Open {
    fn connection_manager(&self) -> Option<Arc<ConnectionManager>> {
        Some(self.0.clone())
    }
}

struct Tokens {
    access: AccessList,
    secret: Arc<str>,
}

impl Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

#[async_trait]
impl AuthSource for Tokens {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let name = login.user().unwrap_or_default();
        let verifier = self.access.verifier(name, Scope::Read).unwrap_or_else(|| decoy(&self.secret, name));
        Ok(Password::new(Some(verifier.salt), verifier.salted))
    }
}
