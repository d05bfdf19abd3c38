//! Who may send: those who show a token whose SHA-256 is configured, or everybody when none is.

use std::sync::{Arc, LazyLock};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

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
        let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let shown = TokenDigest::of(token.trim());
        // All are compared, so that the time tells nothing.
        let found = self.0.iter().filter(|(_, digest)| digest.matches(&shown)).fold(None, |_, (name, _)| Some(name.clone()));
        found.filter(|_| scheme.eq_ignore_ascii_case("bearer"))
    }
}
