//! Reads the flags, runs, and chooses the exit code.

use std::process::ExitCode;

use clap::Parser as _;
use haldane::cli::{self, Cli, Exit};
use tracing_subscriber::EnvFilter;

/// Gives memory back to the system after a burst of load, where glibc's allocator keeps what many threads have freed.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match EnvFilter::try_new(cli.log_filter()) {
        Ok(filter) => filter,
        Err(error) => {
            let mut command = <Cli as clap::CommandFactory>::command();
            command.error(clap::error::ErrorKind::ValueValidation, format!("--log: {error}")).exit();
        }
    };
    match cli::run(cli, filter) {
        Ok(exit) => exit.into(),
        Err(error) => {
            cli::report(&error);
            Exit::Failed.into()
        }
    }
}
