//! Who may send: those who show a token that lets them, or everybody when there is none.

use std::sync::{Arc, LazyLock};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use haldane_store::access::{AccessList, Admitted, Scope, TokenDigest};

use crate::config::TokenConfig;

/// What stands for a token in metrics where there is none.
pub(super) static NO_TOKEN: LazyLock<Arc<str>> = LazyLock::new(|| "none".into());

/// The tokens that let in: the collector's own, and those of the process. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    own: Arc<[(Arc<str>, TokenDigest)]>,
    access: AccessList,
}

impl Tokens {
    pub(super) fn new(tokens: &[TokenConfig], access: AccessList) -> Self {
        Self { own: tokens.iter().map(|token| (token.name.as_str().into(), token.sha256)).collect(), access }
    }

    /// What the token that a request shows is good for.
    pub(super) fn of(&self, headers: &HeaderMap) -> Shown {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(TokenDigest::shown);
        // All are compared, so that the time tells nothing.
        let own = self.own.iter().filter(|(_, digest)| shown.is_some_and(|shown| digest.matches(&shown)));
        let own = own.fold(None, |_, (name, _)| Some(name.clone()));
        match (own, self.access.admit(shown.as_ref(), Scope::Ingest)) {
            (Some(name), _) => Shown::LetsIn(name),
            (None, Admitted::Yes(Some(name))) if self.access.asks(Scope::Ingest) => Shown::LetsIn(name),
            (None, Admitted::Yes(_)) if self.own.is_empty() => Shown::LetsIn(NO_TOKEN.clone()),
            (None, Admitted::Yes(Some(name)) | Admitted::NotFor(name)) => Shown::NotForThis(name),
            (None, Admitted::Yes(None) | Admitted::Unknown) => Shown::Unknown,
        }
    }
}

/// What the token of a request is good for.
#[derive(Debug)]
pub(super) enum Shown {
    /// It, or the lack of one, lets in.
    LetsIn(Arc<str>),
    /// It is known, and may not send.
    NotForThis(Arc<str>),
    /// There is none, or nobody knows it.
    Unknown,
}
