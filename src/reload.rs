//! Reads the configuration again while the daemon runs, and applies it whole or not at all.
//!
//! A file with a mistake changes nothing: the old rules stay, and every mistake is reported. What belongs to the
//! process (sockets, files, limits) stays as it was at startup; a change is reported. Secrets are
//! read again with the file. Must never show a value of either configuration: only the names of what changed.

use std::path::PathBuf;

use tokio::sync::Mutex;

use crate::backend::BackendError;
use crate::config::{Config, ConfigError, Fixed, Rules};
use crate::driver::{Configuration, Handle, Unavailable};
use crate::status::Reloaded;
use crate::{refs, telemetry};

/// Reloads the configuration of one daemon.
pub struct Reloader {
    /// None: it came from no file, so there is nothing to reload.
    file: Option<PathBuf>,
    fixed: Fixed,
    handle: Handle,
    /// What is in force. Held during a reload, so that a second one waits for the first.
    current: Mutex<Configuration>,
}

/// Why the reload failed: the old configuration stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("this daemon's configuration came from no file, so it can't be read again")]
    NoFile,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Reloader {
    /// `current` is in force at the daemon behind `handle`.
    pub fn new(file: Option<PathBuf>, fixed: Fixed, handle: Handle, current: Configuration) -> Self {
        Self { file, fixed, handle, current: Mutex::new(current) }
    }

    /// Applies the file's present content. The log says what changed, or what is wrong.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        telemetry::reloading();
        let outcome = self.try_reload().await;
        telemetry::reloaded();
        match &outcome {
            Ok(reloaded) => log(reloaded),
            Err(ReloadError::Config(ConfigError::Mistakes(mistakes))) => {
                for mistake in mistakes {
                    tracing::error!("{mistake}");
                }
                tracing::error!("the configuration has mistakes and was not reloaded; the old one stays in force");
            }
            Err(error) => tracing::error!("the configuration was not reloaded; the old one stays in force: {error}"),
        }
        outcome
    }

    async fn try_reload(&self) -> Result<Reloaded, ReloadError> {
        let file = self.file.clone().ok_or(ReloadError::NoFile)?;
        let mut current = self.current.lock().await;
        let Config { fixed, rules, warnings, .. } = load(file).await?;
        let rules = without_git(rules).await;
        let reloaded = Reloaded {
            changes: current.rules.changes_to(&rules),
            needs_restart: self.fixed.changed_keys(&fixed).into_iter().map(ToOwned::to_owned).collect(),
            warnings,
        };
        let next = current.successor(rules)?;
        self.handle.configure(next.clone()).await?;
        *current = next;
        Ok(reloaded)
    }
}

/// Reads the file and the files of secrets that it names, on a thread that may block.
async fn load(file: PathBuf) -> Result<Config, ConfigError> {
    let path = file.clone();
    let loaded = tokio::task::spawn_blocking(move || Config::load(&file)).await;
    loaded.unwrap_or_else(|error| Err(ConfigError::Read { path, source: std::io::Error::other(error) }))
}

/// Without the `git` program no remote can be asked: then missed pushes are not found, but all else works.
pub(crate) async fn without_git(mut rules: Rules) -> Rules {
    let wanted = rules.images.values().any(|image| image.policy.reconcile.is_some());
    if wanted && !refs::is_installed().await {
        tracing::warn!(
            "'git' is not installed, so missed pushes can't be detected; install it, or set reconcile_every = \"off\""
        );
        for image in rules.images.values_mut() {
            std::sync::Arc::make_mut(&mut image.policy).reconcile = None;
        }
    }
    rules
}

fn log(Reloaded { changes, needs_restart, warnings }: &Reloaded) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    for change in changes {
        tracing::info!("{change}");
    }
    for key in needs_restart {
        tracing::warn!("'{key}' changed, too, and takes effect after a restart");
    }
    tracing::info!(changes = changes.len(), "reloaded the configuration");
}
