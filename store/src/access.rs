//! Who may do what: tokens with scopes, kept as their SHA-256 only.
//!
//! Always holds: a door asks who comes as soon as any token opens it, from the settings or made while the server runs, and goes on asking when that one is revoked;
//! all doors of a process look at one list.

use std::io::Read as _;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a token lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Send telemetry.
    Ingest,
    /// See everything, change nothing.
    Read,
    /// Start, end and decide rollouts, and all that `read` may.
    Operate,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::Operate];

    /// The word in settings, JSON and the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }

    /// The scope of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    /// Whether who has this one may do what needs another.
    pub fn covers(self, needed: Self) -> bool {
        self == needed || (self == Self::Operate && needed == Self::Read)
    }
}

/// The SHA-256 of a token. The token itself is written down nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenDigest(pub [u8; 32]);

impl TokenDigest {
    /// Of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Of the token that a request shows: `Bearer` and itself, or `Basic` with it as the password, for those who can show only that.
    pub fn shown(authorization: &str) -> Option<Self> {
        let (scheme, credentials) = authorization.split_once(' ')?;
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(Self::of(credentials.trim())),
            "basic" => Some(Self::of(&password(credentials.trim())?)),
            _ => None,
        }
    }

    /// Takes the same time for any other digest of the same length.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differs, (left, right)| differs | (left ^ right)) == 0
    }
}

/// The user's name says nothing.
fn password(credentials: &str) -> Option<String> {
    let lenient = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));
    let decoded = String::from_utf8(lenient.decode(credentials).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

impl std::fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TryFrom<String> for TokenDigest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = || "a token's sha256 must be 64 hex digits: `haldane token create` prints it".to_owned();
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(digest))
    }
}

/// What a client proves to know the token by, without sending it: salt and salted password of SCRAM-SHA-256 (RFC 5802), for the PostgreSQL wire.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ScramVerifier {
    /// 16 bytes.
    pub salt: Vec<u8>,
    /// 32 bytes.
    pub salted: Vec<u8>,
}

impl std::fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramVerifier")
    }
}

impl std::fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engine = &base64::engine::general_purpose::STANDARD;
        write!(f, "{}${}", engine.encode(&self.salt), engine.encode(&self.salted))
    }
}

impl TryFrom<String> for ScramVerifier {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let engine = &base64::engine::general_purpose::STANDARD;
        let parts = text.split_once('$').and_then(|(salt, salted)| Some((engine.decode(salt).ok()?, engine.decode(salted).ok()?)));
        match parts {
            Some((salt, salted)) if salt.len() == 16 && salted.len() == 32 => Ok(Self { salt, salted }),
            _ => Err("a token's scram is what `haldane token create` prints".to_owned()),
        }
    }
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What it is called in logs, metrics and the audit.
    pub name: String,
    /// The SHA-256 of it, in hex.
    pub sha256: TokenDigest,
    /// What it lets its holder do.
    pub scopes: Vec<Scope>,
    /// For the PostgreSQL wire; a token without one does not open it.
    #[serde(default)]
    pub scram: Option<ScramVerifier>,
}

/// A new token: 256 bits of chance from the system, in hex.
///
/// # Errors
/// When the system has none.
pub fn new_token() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The tokens of a process: those of the settings, and those of the ledger. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AccessList(Arc<RwLock<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    settings: Vec<Token>,
    kept: Vec<Token>,
    /// Scopes that tokens of the ledger ever had: revoking the last one opens no door.
    ever: Vec<Scope>,
}

/// What came of looking for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It may; by the token of this name, if one was shown that is known.
    Yes(Option<Arc<str>>),
    /// It has to show a token, or another one.
    Unknown,
    /// The token of this name does not let it.
    NotFor(Arc<str>),
}

/// Two lists are the same when they are one.
impl PartialEq for AccessList {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl AccessList {
    /// The tokens of the settings.
    pub fn new(settings: Vec<Token>) -> Self {
        Self(Arc::new(RwLock::new(Lists { settings, ..Lists::default() })))
    }

    /// Takes over the tokens of the ledger, and the scopes that any token there ever had.
    pub fn set_kept(&self, kept: Vec<Token>, ever: Vec<Scope>) {
        let mut lists = self.0.write().unwrap_or_else(PoisonError::into_inner);
        (lists.kept, lists.ever) = (kept, ever);
    }

    /// Whether any token opens or ever opened this door, so that it asks for one. The doors of `read` and `operate` are one.
    pub fn asks(&self, scope: Scope) -> bool {
        let same_door = |has: &Scope| (*has == Scope::Ingest) == (scope == Scope::Ingest);
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        lists.settings.iter().chain(&lists.kept).flat_map(|token| &token.scopes).chain(&lists.ever).any(same_door)
    }

    /// Whether any other token than the one of this name may do what needs the scope.
    pub fn has_another(&self, name: &str, needed: Scope) -> bool {
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let may = |token: &Token| token.name != name && token.scopes.iter().any(|has| has.covers(needed));
        lists.settings.iter().chain(&lists.kept).any(may)
    }

    /// Whether the names of the settings hold this one.
    pub fn is_preset(&self, name: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).settings.iter().any(|token| token.name == name)
    }

    /// The tokens of the settings.
    pub fn preset(&self) -> Vec<Token> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).settings.clone()
    }

    /// What a token of this name is proved by, if it may do what needs the scope.
    pub fn verifier(&self, name: &str, needed: Scope) -> Option<ScramVerifier> {
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let token = lists.settings.iter().chain(&lists.kept).find(|token| token.name == name)?;
        token.scram.clone().filter(|_| token.scopes.iter().any(|has| has.covers(needed)))
    }

    /// Whether who shows this may do what needs the scope.
    pub fn admit(&self, shown: Option<&TokenDigest>, needed: Scope) -> Admitted {
        let asks = self.asks(needed);
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // All are compared, so that the time tells nothing.
        let found = lists.settings.iter().chain(&lists.kept).fold(None, |found, token| {
            let matches = shown.is_some_and(|shown| token.sha256.matches(shown));
            if matches { Some(token) } else { found }
        });
        match found {
            Some(token) if !asks || token.scopes.iter().any(|has| has.covers(needed)) => Admitted::Yes(Some(token.name.as_str().into())),
            Some(token) => Admitted::NotFor(token.name.as_str().into()),
            None if asks => Admitted::Unknown,
            None => Admitted::Yes(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, scopes: &[Scope]) -> Token {
        Token { name: name.to_owned(), sha256: TokenDigest::of(&format!("secret of {name}")), scopes: scopes.to_vec(), scram: None }
    }

    #[test]
    fn a_door_asks_once_a_token_opens_it_and_lets_in_by_scope() {
        let list = AccessList::default();
        assert_eq!(list.admit(None, Scope::Operate), Admitted::Yes(None), "without tokens everybody may");
        list.set_kept(vec![token("sender", &[Scope::Ingest])], vec![Scope::Ingest]);
        assert!(list.asks(Scope::Ingest) && !list.asks(Scope::Read) && !list.asks(Scope::Operate));
        list.set_kept(Vec::new(), vec![Scope::Ingest]);
        assert_eq!(list.admit(None, Scope::Ingest), Admitted::Unknown, "revoking the last token opens no door");
        let list = AccessList::new(vec![token("viewer", &[Scope::Read]), token("deployer", &[Scope::Operate, Scope::Ingest])]);
        let admit = |name: &str, scope| list.admit(TokenDigest::shown(&format!("Bearer secret of {name}")).as_ref(), scope);
        assert_eq!(admit("viewer", Scope::Read), Admitted::Yes(Some("viewer".into())));
        assert_eq!(admit("viewer", Scope::Operate), Admitted::NotFor("viewer".into()));
        assert_eq!(admit("deployer", Scope::Read), Admitted::Yes(Some("deployer".into())));
        assert_eq!(admit("viewer", Scope::Ingest), Admitted::NotFor("viewer".into()));
        assert_eq!(admit("nobody", Scope::Read), Admitted::Unknown);
        assert_eq!(list.admit(None, Scope::Operate), Admitted::Unknown);
    }

    #[test]
    fn a_token_is_shown_by_itself_or_as_a_password() {
        let digest = Some(TokenDigest::of("abc"));
        assert_eq!(TokenDigest::shown("Bearer abc"), digest);
        assert_eq!(TokenDigest::shown("basic dXNlcjphYmM="), digest);
        assert_eq!(TokenDigest::shown("Basic dXNlcjphYmM"), digest, "without padding too");
        for wrong in ["", "abc", "Basic abc", "Basic !", "Digest abc"] {
            assert_eq!(TokenDigest::shown(wrong), None, "{wrong}");
        }
    }
}
