//! Settings: a flag beats `HALDANE_*`, which beats `haldane.toml`, which beats the default. All mistakes are told at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use haldane_analyzer::AnalyzerConfig;
use haldane_analyzer::policy::PolicyFolder;
use haldane_api::notify::NotifyConfig;
use haldane_api::sql::SqlConfig;
use haldane_collector::CollectorConfig;
use haldane_store::access::{Scope, Token};
use haldane_store::name::is_plain_name;
use haldane_store::tls::TlsConfig;
use haldane_store::{Classified, Fault};
use serde::{Deserialize, Serialize};

use crate::telemetry::TelemetryConfig;

/// The file that is read when it is there and no other is named.
const DEFAULT_FILE: &str = "haldane.toml";

/// What the process as a whole is told; each part has settings of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept: log, tables, ledger. `HALDANE_DATA`, `--data`.
    pub data: PathBuf,
    /// Where OTLP/gRPC is received. `HALDANE_GRPC`, `--grpc`.
    pub grpc: SocketAddr,
    /// Where OTLP/HTTP is received. `HALDANE_HTTP`, `--http`.
    pub http: SocketAddr,
    /// Where REST is served. `HALDANE_API`, `--api`.
    pub api: SocketAddr,
    /// Where SQL is served over the PostgreSQL wire. `HALDANE_SQL`, `--sql`.
    pub sql: SocketAddr,
    /// Whether addresses beyond loopback are allowed although nothing asks who calls. `HALDANE_ALLOW_REMOTE`, `--allow-remote`.
    pub allow_remote: bool,
    /// How long the shutdown may take to make everything safe, in seconds.
    pub shutdown_seconds: u64,
    /// Settings of the collector: `[collector]`, `HALDANE_COLLECTOR__…`.
    pub collector: CollectorConfig,
    /// Settings of the analyzer: `[analyzer]`, `HALDANE_ANALYZER__…`.
    pub analyzer: AnalyzerConfig,
    /// Whom to tell, and of what: `[notify]`.
    pub notify: NotifyConfig,
    /// Who may send, read and operate; without any, everybody who reaches a port may. `[[tokens]]`.
    pub tokens: Vec<Token>,
    /// TLS on the API's port: `[api_tls]`. The OTLP ports have `[collector.tls]`.
    pub api_tls: Option<TlsConfig>,
    /// Limits of SQL over the PostgreSQL wire: `[sql_limits]`.
    pub sql_limits: SqlConfig,
    /// Policies, each a file: `HALDANE_POLICIES`. None if left out.
    pub policies: Option<PathBuf>,
    /// What the server tells of itself, and where: `[telemetry]`.
    pub telemetry: TelemetryConfig,
    /// Where people reach the API, for links in notifications; the address that it listens on if left out. `HALDANE_PUBLIC_URL`.
    pub public_url: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            data: PathBuf::from("haldane-data"),
            grpc: loopback(4317),
            http: loopback(4318),
            api: loopback(4380),
            sql: loopback(5433),
            allow_remote: false,
            shutdown_seconds: 60,
            collector: CollectorConfig::default(),
            analyzer: AnalyzerConfig::default(),
            notify: NotifyConfig::default(),
            policies: None,
            sql_limits: SqlConfig::default(),
            tokens: Vec::new(),
            api_tls: None,
            telemetry: TelemetryConfig::default(),
            public_url: None,
        }
    }
}

/// The settings that have a flag; those not given leave the others in force.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Flags {
    /// `--data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// `--grpc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<SocketAddr>,
    /// `--http`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// `--api`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<SocketAddr>,
    /// `--sql`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<SocketAddr>,
    /// `--allow-remote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_remote: Option<bool>,
}

/// What is wrong with the settings: all of it.
#[derive(Debug, thiserror::Error)]
#[error("{} wrong in the settings:\n  {}", if mistakes.len() == 1 { "this is" } else { "these are" }, mistakes.join("\n  "))]
pub struct ConfigError {
    /// One line each, never empty.
    pub mistakes: Vec<String>,
}

impl Classified for ConfigError {
    fn fault(&self) -> Fault {
        Fault::Invalid
    }
}

impl Config {
    /// Reads file, environment and flags, and checks the whole.
    ///
    /// # Errors
    /// Lists everything that is wrong. A named file must exist; the default one need not.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        if let Some(file) = file.filter(|file| !file.is_file()) {
            return Err(ConfigError { mistakes: vec![format!("there is no settings file {}", file.display())] });
        }
        let figment = Figment::new()
            .merge(Toml::file(file.unwrap_or(Path::new(DEFAULT_FILE))))
            .merge(Env::prefixed("HALDANE_").ignore(&["url", "log", "token", "ca_file"]).split("__"))
            .merge(Serialized::defaults(flags));
        let config: Self =
            figment.extract().map_err(|errors| ConfigError { mistakes: errors.into_iter().map(|e| e.to_string()).collect() })?;
        config.check()?;
        Ok(config)
    }

    /// The default settings with its data in a folder and on free ports of loopback: for a server that lives as long as a demo or a test.
    pub fn on_free_ports(data: &Path) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { data: data.to_owned(), grpc: free, http: free, api: free, sql: free, ..Self::default() }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Vec::new();
        let opens = |wanted: fn(&Scope) -> bool| self.tokens.iter().any(|token| token.scopes.iter().any(wanted));
        let asks = self.collector.asks_who_sends() || opens(|scope| *scope == Scope::Ingest);
        let api_asks = opens(|scope| *scope != Scope::Ingest) || self.api_tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        // Who may read has to prove to know a token; a certificate does not open this door.
        let sql_asks = opens(|scope| *scope != Scope::Ingest);
        for (at, token) in self.tokens.iter().enumerate() {
            if !is_plain_name(&token.name) || token.scopes.is_empty() || self.tokens[..at].iter().any(|other| other.name == token.name) {
                let name = &token.name;
                mistakes.push(format!("tokens {name:?}: it needs a name of its own (1 to 64 of a-z A-Z 0-9 - _ .) and at least one scope"));
            }
        }
        for (name, address, asks) in
            [("grpc", self.grpc, asks), ("http", self.http, asks), ("api", self.api, api_asks), ("sql", self.sql, sql_asks)]
        {
            if !address.ip().is_loopback() && !asks && !self.allow_remote {
                mistakes.push(format!(
                    "{name} = {address} can be reached from other machines, and nothing here asks who calls: \
                     take a loopback address, ask for tokens or certificates, or allow it with --allow-remote"
                ));
            }
        }
        if self.analyzer.judge_every_seconds == 0 {
            mistakes.push("analyzer.judge_every_seconds = 0: it has to be at least 1".to_owned());
        }
        if self.shutdown_seconds == 0 {
            mistakes.push("shutdown_seconds = 0: it has to be at least 1".to_owned());
        }
        mistakes.extend(self.collector.mistakes());
        mistakes.extend(self.notify.mistakes());
        mistakes.extend(self.telemetry.mistakes());
        let is_address = |text: &String| text.starts_with("http://") || text.starts_with("https://");
        if let Some(url) = self.public_url.as_ref().filter(|url| !is_address(url)) {
            mistakes.push(format!("public_url = {url:?}: write it as https://haldane.example.com"));
        }
        if let Some(Err(wrong)) = self.policies.as_deref().map(PolicyFolder::open) {
            mistakes.extend(wrong.iter().map(ToString::to_string));
        }
        if mistakes.is_empty() { Ok(()) } else { Err(ConfigError { mistakes }) }
    }

    /// The policies of the folder, as far as they can be read: [`Self::load`] has checked them.
    pub fn policies(&self) -> PolicyFolder {
        self.policies.as_deref().map(PolicyFolder::open).and_then(Result::ok).unwrap_or_default()
    }

    /// The folder of the tables.
    pub fn tables_dir(&self) -> PathBuf {
        self.data.join("tables")
    }

    /// The ledger's file.
    pub fn ledger_file(&self) -> PathBuf {
        self.data.join("ledger.db")
    }

    /// The collector's settings, its log in the data folder unless another place is named.
    pub fn collector_settings(&self) -> CollectorConfig {
        let mut settings = self.collector.clone();
        if settings.wal.dir.as_os_str().is_empty() {
            settings.wal.dir = self.data.join("wal");
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_file_and_all_mistakes_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("h.toml");
        std::fs::write(&file, "grpc = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\n[analyzer]\nlateness_seconds = 3\n").unwrap();
        let flags = Flags { grpc: Some("127.0.0.1:9".parse().unwrap()), ..Flags::default() };
        let config = Config::load(Some(&file), &flags).unwrap();
        assert_eq!((config.grpc.port(), config.http.port(), config.analyzer.lateness_seconds), (9, 2, 3));

        std::fs::write(&file, "grpc = \"0.0.0.0:1\"\napi = \"0.0.0.0:2\"\nshutdown_seconds = 0\n[collector]\nstreams_max = 0\n[collector.upkeep]\ngrace_seconds = 0\n")
            .unwrap();
        let wrong = Config::load(Some(&file), &Flags::default()).unwrap_err();
        assert_eq!(wrong.mistakes.len(), 5, "{wrong}");
        assert!(wrong.to_string().contains("collector.upkeep.grace_seconds = 0"), "{wrong}");
        assert!(wrong.to_string().contains("--allow-remote"));
    }

    #[test]
    fn the_ports_are_those_that_senders_expect() {
        let config = Config::default();
        assert_eq!((config.grpc.to_string(), config.http.to_string()), ("127.0.0.1:4317".to_owned(), "127.0.0.1:4318".to_owned()));
    }

    #[test]
    fn ports_that_ask_who_sends_may_be_reached_from_other_machines() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("h.toml");
        let remote = "grpc = \"0.0.0.0:1\"\nhttp = \"0.0.0.0:2\"\n[collector.tls]\ncert_file = \"c\"\nkey_file = \"k\"\n";
        std::fs::write(&file, remote).unwrap();
        assert_eq!(Config::load(Some(&file), &Flags::default()).unwrap_err().mistakes.len(), 2, "TLS alone asks nobody");
        std::fs::write(&file, format!("{remote}client_ca_file = \"a\"\n")).unwrap();
        assert!(Config::load(Some(&file), &Flags::default()).is_ok());
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("h.toml");
        std::fs::write(&file, "dta = \"x\"\n").unwrap();
        assert!(Config::load(Some(&file), &Flags::default()).unwrap_err().to_string().contains("dta"));
        assert!(Config::load(Some(&dir.path().join("none.toml")), &Flags::default()).unwrap_err().to_string().contains("none.toml"));
    }
}
