//! Who may ask: everybody where no token opens the API, else who proves to know one with `read`. The user is the token's name.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::noop::NoopStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::SASLAuthStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::scram::ScramAuth;
use datafusion_postgres::pgwire::api::auth::{AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler};
use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionManager, METADATA_USER, PgWireConnectionState};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::Sink;
use haldane_store::access::{AccessList, Scope, TokenDigest};
use tokio_util::sync::CancellationToken;

use super::guard::user_error;
use super::{ITERATIONS, decoy};

/// Under this name a connection keeps what it logged in with. A client may say so too, but does not know it.
const LOGGED_IN: &str = "haldane.logged_in";
/// That nobody was asked.
const UNASKED: &str = "unasked";

/// Makes a check for each connection.
#[derive(Clone)]
pub(super) struct Login {
    access: AccessList,
    connections: Arc<ConnectionManager>,
    secret: Arc<str>,
    /// Whether a connection has to speak TLS.
    needs_tls: bool,
}

impl Login {
    pub(super) fn new(access: AccessList, connections: Arc<ConnectionManager>, secret: &str, needs_tls: bool) -> Self {
        Self { access, connections, secret: secret.into(), needs_tls }
    }

    /// Whether a connection has logged in, with what is still in force.
    pub(super) fn may_still(&self, client: &(impl ClientInfo + ?Sized)) -> bool {
        if self.needs_tls && !client.is_secure() {
            return false;
        }
        let metadata = client.metadata();
        match metadata.get(LOGGED_IN).map(String::as_str) {
            None => false,
            Some(UNASKED) => !self.access.asks(Scope::Read),
            Some(proof) => metadata.get(METADATA_USER).and_then(|name| self.proof(name)).is_some_and(|now| now == proof),
        }
    }

    /// What tells the present token of this name from others that had it.
    fn proof(&self, name: &str) -> Option<String> {
        let verifier = self.access.verifier(name, Scope::Read)?;
        Some(TokenDigest::of(&format!("{}{verifier}", self.secret)).to_string())
    }

    pub(super) fn for_connection(&self, failed: CancellationToken) -> Check {
        Check { login: self.clone(), way: self.way(), failed }
    }

    fn way(&self) -> Way {
        if !self.access.asks(Scope::Read) {
            return Way::Open(Open(self.connections.clone()));
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
        Way::Tokens(Box::new(handler.with_connection_manager(self.connections.clone())))
    }
}

/// The check of one connection.
pub(super) struct Check {
    login: Login,
    way: Way,
    /// Rung when it failed: the connection is given up then.
    failed: CancellationToken,
}

enum Way {
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
        if self.login.needs_tls && !client.is_secure() && matches!(message, PgWireFrontendMessage::Startup(_)) {
            self.failed.cancel();
            return Err(user_error("28000", "this server asks for TLS: connect with sslmode=require".to_owned()));
        }
        let done = match &self.way {
            Way::Open(open) => open.on_startup(client, message).await,
            Way::Tokens(tokens) => tokens.on_startup(client, message).await,
        };
        match (&done, client.state()) {
            (Err(_), _) => self.failed.cancel(),
            (Ok(()), PgWireConnectionState::ReadyForQuery) => {
                let proof = match &self.way {
                    Way::Open(_) => Some(UNASKED.to_owned()),
                    Way::Tokens(_) => client.metadata().get(METADATA_USER).and_then(|name| self.login.proof(name)),
                };
                client.metadata_mut().remove(LOGGED_IN);
                client.metadata_mut().extend(proof.map(|proof| (LOGGED_IN.to_owned(), proof)));
            }
            (Ok(()), _) => {}
        }
        done
    }
}

/// Lets everybody in.
struct Open(Arc<ConnectionManager>);

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
