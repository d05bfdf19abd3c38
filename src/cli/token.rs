//! `haldane token`: makes tokens for those who send telemetry.

use std::io::Read as _;

use clap::{Args, Subcommand};
use haldane_collector::TokenDigest;

use super::{CliError, Exit, out};

const TOKEN_BYTES: usize = 32;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and print it once with the settings that let it in
    #[command(after_help = "Example:\n  haldane token create --name checkout-team")]
    Create(CreateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What the token is called in settings and metrics.
    #[arg(long, value_name = "NAME")]
    name: String,
}

/// Does what was asked for; no server is needed.
pub(crate) fn run(command: TokenCommand) -> Result<Exit, CliError> {
    let TokenCommand::Create(CreateArgs { name }) = command;
    if name.is_empty() || name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(CliError::Usage("a token's name has 1 to 64 of the characters a-z A-Z 0-9 - _ .".to_owned()));
    }
    let mut random = [0; TOKEN_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = TokenDigest::of(&token);
    let text = format!(
        "# Senders show it as `authorization: Bearer {token}`. It is shown only now.\n\
         # Add this to haldane.toml:\n[[collector.tokens]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n"
    );
    out::bytes(text.as_bytes())?;
    Ok(Exit::Done)
}
