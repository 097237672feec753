//! The daemon assembled: journal, driver, back-ends and server, from one checked configuration.
//!
//! Used only by `coalesced serve` and the demo. It starts in dependency order and stops in reverse: first no more
//! requests, then no more effects, then the journal.

mod exports;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::exports::Exports;
use crate::backend::BackendError;
use crate::client_file::ClientFile;
use crate::clock::wall;
use crate::config::{Config, Listen, Secret};
use crate::driver::{Configuration, Driver, Handle, HistoryLimit, Parts};
use crate::http::{self, App, BindError, Drained, Listeners};
use crate::journal::{Journal, JournalError};
use crate::reload::{Reloader, without_git};
use crate::telemetry;

/// A daemon that accepts requests.
pub(crate) struct Daemon {
    /// The first address that it listens on, as clients write it: `http://127.0.0.1:8484`, or `unix:/path`.
    pub url: String,
    pub handle: Handle,
    server: tokio::task::JoinHandle<Drained>,
    driver: tokio::task::JoinHandle<Result<(), JournalError>>,
    stop_serving: CancellationToken,
    stop_driving: CancellationToken,
    exports: Exports,
    /// Puts a changed configuration in force.
    pub reloader: Arc<Reloader>,
    data_dir: PathBuf,
}

/// How long requests in flight have to learn that the daemon stops, if storage has failed.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

/// Why the daemon did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("failed to {what}: {why}")]
    Io { what: String, why: std::io::Error },
    #[error("the server ended by itself")]
    ServerEnded,
    #[error("the driver ended by itself")]
    DriverEnded,
}

impl Daemon {
    /// Opens the journal, resumes where it ends, and listens. Returns once everything is up.
    pub(crate) async fn start(config: Config) -> Result<Self, DaemonError> {
        warn(&config);
        let Config { file, fixed, rules, .. } = config;
        let seed = u64::from_le_bytes(random::<8>()?);
        let configuration = Configuration::new(without_git(rules).await, seed)?;
        let data_dir = fixed.data_dir.clone();
        // Opening blocks; nothing else runs yet.
        let opened = tokio::task::spawn_blocking(move || Journal::open(&data_dir)).await;
        let (journal, reader, snapshot) = opened.map_err(|_| DaemonError::DriverEnded)??;
        let listeners = Listeners::bind(&fixed.listen)?;
        let url = url_of(&listeners.addresses());
        let parts = Parts {
            journal,
            reader,
            snapshot,
            configuration: configuration.clone(),
            history: HistoryLimit { age: fixed.history, events: u64::from(fixed.history_events) },
            receipts_url: format!("{}/v1/events", fixed.public_url.as_deref().unwrap_or(&url)),
            watchdog: telemetry::watchdog_period(),
        };
        let (driver, handle, first_step) = Driver::new(parts);
        let (stop_driving, stop_serving) = (CancellationToken::new(), CancellationToken::new());
        let local_token = Secret::new(hex::encode(random::<32>()?));
        let images = configuration.rules.images.len();
        let (data_dir, connections_max) = (fixed.data_dir.clone(), fixed.connections_max);
        let reloader = Arc::new(Reloader::new(file, fixed, handle.clone(), configuration));
        let app = App {
            handle: handle.clone(),
            local_token: Some(local_token.clone()),
            reloader: Some(reloader.clone()),
            connections_max,
        };
        let server = spawn(http::serve(listeners, app, stop_serving.clone()));
        let driver = spawn(driver.drive(first_step, stop_driving.clone().cancelled_owned()));
        let client = ClientFile { url: url.clone(), token: local_token, pid: std::process::id() };
        client
            .write(&data_dir)
            .map_err(|why| DaemonError::Io { what: "write the file for clients on this machine".to_owned(), why })?;
        let exports = Exports::begin(&data_dir, &handle);
        tracing::info!(url, images, "serving");
        Ok(Self { url, handle, server, driver, stop_serving, stop_driving, exports, reloader, data_dir })
    }

    /// Runs until `ending` resolves, then shuts down in order. An error means that the process must exit at once.
    pub(crate) async fn run(mut self, ending: impl Future<Output = ()>) -> Result<(), DaemonError> {
        tokio::select! {
            () = ending => {}
            driven = &mut self.driver => {
                // Requests in flight get a 503 instead of a broken connection.
                self.stop_serving.cancel();
                let _ = tokio::time::timeout(FAREWELL_LIMIT, self.server).await;
                driven.map_err(|_| DaemonError::DriverEnded)??;
                return Err(DaemonError::DriverEnded);
            }
            _ = &mut self.server => return Err(DaemonError::ServerEnded),
        }
        telemetry::stopping();
        tracing::info!("stopping: no new requests are accepted");
        self.stop_serving.cancel();
        let _ = self.server.await;
        self.stop_driving.cancel();
        self.driver.await.map_err(|_| DaemonError::DriverEnded)??;
        self.exports.end().await;
        if let Err(why) = ClientFile::remove(&self.data_dir) {
            tracing::warn!("failed to remove the file for clients on this machine: {why}");
        }
        tracing::info!("stopped; everything accepted is on disk");
        Ok(())
    }
}

/// Where clients on this machine reach us: a TCP address if there is one.
fn url_of(addresses: &[Listen]) -> String {
    let tcp = addresses.iter().find_map(|address| match address {
        Listen::Tcp(address) => Some(*address),
        Listen::Unix(_) => None,
    });
    match (tcp, addresses.first()) {
        (Some(mut address), _) => {
            if address.ip().is_unspecified() {
                let loopback = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
                address.set_ip(loopback);
            }
            format!("http://{address}")
        }
        (None, Some(Listen::Unix(path))) => format!("unix:{}", path.display()),
        (None, _) => String::new(),
    }
}

/// What an operator should read first.
fn warn(config: &Config) {
    for warning in config.warnings.iter().chain(&config.notices(wall())) {
        tracing::warn!("{warning}");
    }
    let public = |listen: &Listen| matches!(listen, Listen::Tcp(address) if !address.ip().is_loopback());
    if config.fixed.listen.iter().any(public) {
        tracing::warn!("listening on a non-loopback address without TLS: put an HTTPS reverse proxy in front");
    }
}

fn random<const N: usize>() -> Result<[u8; N], DaemonError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|why| DaemonError::Io { what: "get random bytes".to_owned(), why: std::io::Error::other(why) })?;
    Ok(bytes)
}

fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}
