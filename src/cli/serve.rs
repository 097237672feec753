//! `coalesced serve`: the daemon.

use std::path::PathBuf;

use super::CliError;
use crate::config::{Config, ConfigError};
use crate::daemon::Daemon;
use crate::telemetry;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// The configuration [default: coalesced.toml here, else /etc/coalesced/coalesced.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT, then ends in order: requests under way are answered, what was accepted is on
/// disk.
pub(super) async fn run(args: Args) -> Result<(), CliError> {
    telemetry::init();
    let config = load(&args)?;
    let ending = until_told()?;
    let daemon = Daemon::start(config).await?;
    telemetry::ready(&format!("serving {}", daemon.url));
    Ok(daemon.run(ending).await?)
}

fn load(args: &Args) -> Result<Config, ConfigError> {
    Config::load(&Config::find(args.config.as_deref())?)
}

/// Resolves at the first SIGTERM or SIGINT.
pub(super) fn until_told() -> Result<impl Future<Output = ()>, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |source| CliError::Io { what: "failed to listen for signals".to_owned(), source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
