//! `haldane token`: makes, lists and revokes tokens.

use clap::{Args, Subcommand};
use haldane_api::http::{NewTokenBody, ScopeWord};
use haldane_store::access::{TokenDigest, new_token};
use haldane_store::name::is_plain_name;

use super::target::ServerArgs;
use super::{CliError, Exit, out};

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token without a server, and print it once with the settings that let it in
    #[command(after_help = "Example:\n  haldane token create --name admin --scope operate")]
    Create(CreateArgs),
    /// Have a running server make a token, and print it once
    #[command(after_help = "Example:\n  haldane token add --name deploy-bot --scope operate")]
    Add(AddArgs),
    /// List the tokens that a running server lets in
    #[command(after_help = "Example:\n  haldane token list")]
    List(ListArgs),
    /// Revoke a token: a running server lets it in no more, at once
    #[command(after_help = "Example:\n  haldane token revoke deploy-bot")]
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What the token is called in settings, metrics and the audit.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it lets its holder do; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE", value_enum, default_values_t = [ScopeFlag::Ingest])]
    scopes: Vec<ScopeFlag>,
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// What the token is called in metrics and the audit.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it lets its holder do; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE", value_enum, required = true)]
    scopes: Vec<ScopeFlag>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The token's name.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// What a token lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ScopeFlag {
    /// Send telemetry.
    Ingest,
    /// See everything, change nothing.
    Read,
    /// Start, end and decide rollouts, and all that read may.
    Operate,
}

impl ScopeFlag {
    const fn word(self) -> ScopeWord {
        match self {
            Self::Ingest => ScopeWord::Ingest,
            Self::Read => ScopeWord::Read,
            Self::Operate => ScopeWord::Operate,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

pub(crate) async fn run(command: TokenCommand) -> Result<Exit, CliError> {
    match command {
        TokenCommand::Create(args) => create(args),
        TokenCommand::Add(args) => {
            let body = NewTokenBody { name: args.name, scopes: args.scopes.into_iter().map(ScopeFlag::word).collect() };
            let made = args.server.client()?.add_token(&body).await?;
            out::note("haldane: the token is shown only now");
            out::line(&made.token)?;
            Ok(Exit::Done)
        }
        TokenCommand::List(args) => list(args).await,
        TokenCommand::Revoke(args) => {
            args.server.client()?.revoke_token(&args.name).await?;
            out::line(&format!("revoked {}", out::plain(&args.name)))?;
            Ok(Exit::Done)
        }
    }
}

fn create(args: CreateArgs) -> Result<Exit, CliError> {
    let CreateArgs { name, scopes } = args;
    if !is_plain_name(&name) {
        return Err(CliError::Usage("a token's name has 1 to 64 of the characters a-z A-Z 0-9 - _ .".to_owned()));
    }
    let token = new_token()?;
    let (digest, scram) = (TokenDigest::of(&token), haldane_api::sql::scram_verifier(&token)?);
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("\"{}\"", scope.as_str())).collect();
    let scopes = scopes.join(", ");
    let text = format!(
        "# It is shown as `authorization: Bearer {token}`, or in HALDANE_TOKEN, and is printed only now.\n\
         # Add this to haldane.toml:\n[[tokens]]\nname = \"{name}\"\nsha256 = \"{digest}\"\nscram = \"{scram}\"\nscopes = [{scopes}]\n"
    );
    out::bytes(text.as_bytes())?;
    Ok(Exit::Done)
}

async fn list(args: ListArgs) -> Result<Exit, CliError> {
    let known = args.server.client()?.tokens().await?;
    if args.json {
        out::line(&super::pretty(&known.tokens))?;
    } else if known.tokens.is_empty() {
        out::note("haldane: there are none: everybody who reaches the server may ask and send");
    } else {
        let word = |scope: &ScopeWord| match scope {
            ScopeWord::Ingest => "ingest",
            ScopeWord::Read => "read",
            ScopeWord::Operate => "operate",
        };
        let lines = known.tokens.iter().map(|token| {
            let scopes = token.scopes.iter().map(word).collect::<Vec<_>>().join(",");
            let from = match (&token.created_at, &token.created_by) {
                (Some(at), Some(by)) => format!("made {at} by {by}"),
                _ => "in the settings".to_owned(),
            };
            out::plain(&format!("{:<24} {scopes:<20} {from}", token.name))
        });
        out::line(&lines.collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Exit::Done)
}
