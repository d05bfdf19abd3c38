//! TLS on ports, and certificates asked of those who come.
//!
//! Always holds: once configured, nothing is spoken without it; files that are replaced are taken over without a restart, and files that are broken then
//! change nothing but the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::VerifierBuilderError;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{Error as RustlsError, RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;

use crate::fault::chain;

/// How often it is looked whether the files were replaced.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Certificate and key of a port, in PEM. They are taken over anew when the files change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate, and those between it and its root.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// Roots of the certificates that clients must show; without it they need none.
    pub client_ca_file: Option<PathBuf>,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read, or is not PEM of this kind.
    #[error("cannot read {what} from {}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        source: PemError,
    },
    /// A file without any certificate.
    #[error("there is no certificate in {}", path.display())]
    Empty {
        /// Where.
        path: PathBuf,
    },
    /// A file whose age cannot be read.
    #[error("cannot read {}", path.display())]
    Age {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A certificate and a key that do not fit, or are not good.
    #[error("the certificate and the key cannot be used")]
    Pair(#[from] RustlsError),
    /// Authorities that are not good.
    #[error("the certificates in {} cannot be used to check clients", path.display())]
    Authorities {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: VerifierBuilderError,
    },
}

/// Certificate and key as they are in their files now. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    files: Arc<TlsConfig>,
    current: Arc<RwLock<Current>>,
}

struct Current {
    server: Arc<ServerConfig>,
    ages: Vec<SystemTime>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one is missing or no good.
    pub fn open(files: &TlsConfig) -> Result<Self, TlsError> {
        Ok(Self { files: Arc::new(files.clone()), current: Arc::new(RwLock::new(Current::read(files)?)) })
    }

    /// Speaks TLS on connections with the certificate as it is now.
    pub fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        current.server.clone().into()
    }

    /// Takes over files that are replaced, until told to stop.
    pub async fn follow(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let this = self.clone();
            let _ = tokio::task::spawn_blocking(move || this.look()).await;
        }
    }

    /// Takes over files that are new and good; whether there were any.
    pub fn look(&self) -> bool {
        let ages = ages_of(&self.files);
        let known = self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).ages.clone();
        if ages.as_ref().is_ok_and(|ages| *ages == known) {
            return false;
        }
        match Current::read(&self.files) {
            Ok(read) => {
                *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = read;
                tracing::info!(cert_file = %self.files.cert_file.display(), "took over a new certificate");
                true
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "cannot take over the new certificate; the old one stays");
                false
            }
        }
    }
}

impl Current {
    fn read(files: &TlsConfig) -> Result<Self, TlsError> {
        // The ages first: a file that is replaced in between is looked at again.
        let ages = ages_of(files)?;
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions()?;
        let builder = match &files.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut authorities = RootCertStore::empty();
                for certificate in certificates(path)? {
                    authorities.add(certificate)?;
                }
                let provider = Arc::new(aws_lc_rs::default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|source| TlsError::Authorities { path: path.clone(), source })?)
            }
        };
        let path = &files.key_file;
        let key =
            PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::File { what: "a private key", path: path.clone(), source })?;
        let mut server = builder.with_single_cert(certificates(&files.cert_file)?, key)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { server: Arc::new(server), ages })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File { what: "certificates", path: path.to_owned(), source };
    let found = CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if found.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(found)
}

fn ages_of(files: &TlsConfig) -> Result<Vec<SystemTime>, TlsError> {
    let paths = [Some(&files.cert_file), Some(&files.key_file), files.client_ca_file.as_ref()];
    let age = |path: &PathBuf| {
        path.metadata().and_then(|metadata| metadata.modified()).map_err(|source| TlsError::Age { path: path.clone(), source })
    };
    paths.into_iter().flatten().map(age).collect()
}
