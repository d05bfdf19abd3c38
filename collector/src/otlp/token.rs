//! Who may send: those who show a token whose SHA-256 is configured, or everybody when none is.

use std::sync::{Arc, LazyLock};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::base64;
use crate::config::{TokenConfig, TokenDigest};

/// What stands for a token in metrics where there is none.
pub(super) static NO_TOKEN: LazyLock<Arc<str>> = LazyLock::new(|| "none".into());

/// The tokens that let in. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Tokens(Arc<[(Arc<str>, TokenDigest)]>);

impl Tokens {
    pub(super) fn new(tokens: &[TokenConfig]) -> Self {
        Self(tokens.iter().map(|token| (token.name.as_str().into(), token.sha256)).collect())
    }

    /// The name of the token that a request shows; nothing if it shows none that lets it in.
    pub(super) fn of(&self, headers: &HeaderMap) -> Option<Arc<str>> {
        if self.0.is_empty() {
            return Some(NO_TOKEN.clone());
        }
        let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let shown = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => TokenDigest::of(credentials.trim()),
            "basic" => TokenDigest::of(&password(credentials.trim())?),
            _ => return None,
        };
        // All are compared, so that the time tells nothing.
        self.0.iter().filter(|(_, digest)| digest.matches(&shown)).fold(None, |_, (name, _)| Some(name.clone()))
    }
}

/// Where a sender can only show a user and a password, the token is the password; the user's name says nothing.
fn password(credentials: &str) -> Option<String> {
    let decoded = String::from_utf8(base64::decode(credentials)?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}
