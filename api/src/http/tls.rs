//! TLS before HTTP. A handshake that takes long holds up no other, and one that fails costs its connection.

use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use haldane_store::tls::Tls;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

/// Longest handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Handshakes at once; further connections wait in the kernel.
const HANDSHAKES_MAX: usize = 256;
/// After a failed accept (too many open files, mostly) it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Gives connections whose handshake is done.
pub(super) struct TlsListener {
    tcp: TcpListener,
    tls: Tls,
    shaking: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(super) fn new(tcp: TcpListener, tls: Tls) -> Self {
        Self { tcp, tls, shaking: JoinSet::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                accepted = self.tcp.accept(), if self.shaking.len() < HANDSHAKES_MAX => match accepted {
                    Ok((stream, address)) => {
                        let acceptor = self.tls.acceptor();
                        self.shaking.spawn(async move {
                            let shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await.ok()?;
                            shaken.ok().map(|stream| (stream, address))
                        });
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
                Some(shaken) = self.shaking.join_next() => {
                    if let Ok(Some(connection)) = shaken {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
