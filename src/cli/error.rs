//! Why a command failed, and the exit code that says so to scripts.

use std::io;

use super::client::ClientError;
use super::exit;
use super::locate::LocateError;
use super::terminal::OutputError;
use crate::config::ConfigError;
use crate::daemon::DaemonError;
use crate::journal::JournalError;

/// Why a command failed. Shown as one line after `coalesced: `; never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The thing asked for failed: a red build, an unknown event, a demo that lost a push.
    #[error("{0}")]
    Failed(String),
    /// The arguments parse, but don't make sense together.
    #[error("{0}")]
    Usage(String),
    /// Each mistake is a separate line that begins with `file:line:column:`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file or a socket: `what` reads "failed to write man pages to DIR".
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl CliError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Journal(JournalError::NotEmpty { .. }) => exit::FAILED,
            Self::Usage(_) => exit::USAGE,
            Self::Config(error) => error.exit_code(),
            Self::Daemon(DaemonError::Backend(_)) => exit::CONFIG,
            Self::Output(_) if self.is_silent() => 0,
            Self::Io { .. } | Self::Output(_) | Self::Daemon(_) | Self::Journal(_) => exit::IO,
            Self::Locate(error) => error.exit_code(),
            Self::Client(error) => error.exit_code(),
        }
    }

    /// Whether its text begins with a position in a file, so that no prefix may be added.
    pub fn names_its_place(&self) -> bool {
        matches!(self, Self::Config(ConfigError::Mistakes(_)) | Self::Client(ClientError::Misconfigured { .. }))
    }

    /// Whether the reader of our output has closed it, as in `coalesced events | head`: nothing is printed then.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.0.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_the_exit_code_of_the_interface() {
        let text = || "it".to_owned();
        assert_eq!(CliError::Failed(text()).exit_code(), 1);
        assert_eq!(CliError::Usage(text()).exit_code(), 2);
        let full = CliError::Output(OutputError(io::ErrorKind::StorageFull.into()));
        assert_eq!((full.exit_code(), full.is_silent()), (74, false));
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let closed = CliError::Output(OutputError(io::ErrorKind::BrokenPipe.into()));
        assert_eq!((closed.exit_code(), closed.is_silent()), (0, true));
    }
}
