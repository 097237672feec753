//! `coalesced serve`: the daemon.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use super::locate::Reach;
use super::{CliError, Run};
use crate::config::Config;
use crate::daemon::Daemon;
use crate::telemetry;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Configuration file [default: coalesced.toml here, else /etc/coalesced/coalesced.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT, then shuts down in order: requests in flight are answered, and what was accepted is
/// on disk. SIGHUP makes it reload the configuration.
impl Run for Args {
    const NEEDS_DAEMON: bool = false;

    async fn run(self, reach: &Reach) -> Result<(), CliError> {
        telemetry::init();
        let config = Config::load(&Config::find(self.config.as_deref())?)?;
        if let Some(elsewhere) = reach.data_dir.as_deref().filter(|named| !is_same(named, &config.fixed.data_dir)) {
            return Err(CliError::Usage(format!(
                "the data directory is '{}' by the configuration, but '{}' by --data-dir or COALESCED_DATA_DIR; leave \
                 these out, which are for client commands, or change data_dir",
                config.fixed.data_dir.display(),
                elsewhere.display()
            )));
        }
        let ending = shutdown_signal()?;
        let mut hangups = signal(SignalKind::hangup()).map_err(no_signals)?;
        let daemon = Daemon::start(config).await?;
        let reloader = daemon.reloader.clone();
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                // An error is in the log, and the old configuration stays in force.
                let _logged = reloader.reload().await;
            }
        });
        telemetry::ready(&format!("serving {}", daemon.url));
        Ok(daemon.run(ending).await?)
    }
}

/// Whether both name the same directory, or the configuration's would be created where the other one points.
fn is_same(named: &Path, configured: &Path) -> bool {
    // A path that doesn't exist yet is below one that does.
    let whole = |path: &Path| {
        let path = std::path::absolute(path).ok()?;
        path.ancestors().find_map(|above| Some(above.canonicalize().ok()?.join(path.strip_prefix(above).ok()?)))
    };
    named.as_os_str().is_empty() || whole(named) == whole(configured)
}

fn no_signals(source: std::io::Error) -> CliError {
    CliError::Io { what: "failed to listen for signals".to_owned(), source }
}

/// Resolves at the first SIGTERM or SIGINT.
pub(super) fn shutdown_signal() -> Result<impl Future<Output = ()>, CliError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
