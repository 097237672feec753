//! Connections: how many, how long, and how they end.
//!
//! hyper's HTTP/1 builder is used directly, with a timer: without one its header timeout does nothing, and servers that
//! first detect the protocol wait for ever for a client that sends nothing.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::listener::{Listener, Listeners};
use super::stall::StallLimit;

/// How long to wait after a failed accept: usually the process is out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The most bytes in a request's header.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// The most header fields of a request.
const HEADER_FIELDS_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Served at once; further ones wait.
    pub(super) connections: usize,
    /// At once from one address; further ones are closed. Loopback is exempt: a proxy connects from there.
    pub(super) connections_per_client: usize,
    /// From the connection, or the last response, to the end of the next header.
    pub(super) header_time: Duration,
    /// How long a client may go without reading any of its response.
    pub(super) write_stall: Duration,
    /// How long requests in flight may take to finish at shutdown.
    pub(super) drain: Duration,
}

impl Limits {
    pub(super) const DEFAULT: Self = Self {
        connections: 1_024,
        connections_per_client: 64,
        header_time: Duration::from_secs(10),
        write_stall: Duration::from_secs(30),
        drain: Duration::from_secs(10),
    };
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request in flight got its response.
    Whole,
    /// Some were still in flight at the limit.
    CutOff,
}

/// Serves until `ending` is cancelled; then accepts no more and lets requests in flight finish.
pub(super) async fn serve(listeners: Listeners, limits: Limits, router: Router, ending: CancellationToken) -> Drained {
    // hyper's own tracker rather than `TaskTracker`: it also tells idle connections to close.
    let graceful = Arc::new(GracefulShutdown::new());
    let acceptor = Acceptor {
        limits,
        router,
        permits: Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS))),
        clients: Arc::default(),
    };
    let mut accepting = JoinSet::new();
    for listener in listeners.into_each() {
        accepting.spawn(acceptor.clone().accept_all(listener, Arc::clone(&graceful)));
    }
    ending.cancelled().await;
    accepting.shutdown().await;
    // The accepting tasks have ended, so this is the last holder; connections hold only watchers.
    let Some(graceful) = Arc::into_inner(graceful) else { return Drained::CutOff };
    match tokio::time::timeout(limits.drain, graceful.shutdown()).await {
        Ok(()) => Drained::Whole,
        Err(_) => Drained::CutOff,
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Acceptor {
    limits: Limits,
    router: Router,
    permits: Arc<Semaphore>,
    clients: Arc<Clients>,
}

impl Acceptor {
    async fn accept_all(self, listener: Listener, graceful: Arc<GracefulShutdown>) {
        loop {
            if let Err(error) = self.accept(&listener, &graceful).await
                && !concerns_one_client(&error)
            {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }

    async fn accept(&self, listener: &Listener, graceful: &GracefulShutdown) -> io::Result<()> {
        match listener {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                if let Ok(slot) = self.clients.reserve(peer.ip(), self.limits.connections_per_client) {
                    self.spawn(stream, slot, graceful).await;
                } else {
                    tracing::debug!(client = %peer.ip(), "too many connections of one client");
                }
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                self.spawn(stream, None, graceful).await;
            }
        }
        Ok(())
    }

    /// Waits for a permit, then serves the connection in its own task.
    async fn spawn<S>(&self, stream: S, slot: Option<ClientSlot>, graceful: &GracefulShutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Never closed: the semaphore lives as long as the acceptor.
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
        let permit = ConnectionPermit { _permit: permit, _slot: slot };
        let io = TokioIo::new(StallLimit::new(stream, self.limits.write_stall));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_time)
            .max_headers(HEADER_FIELDS_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .keep_alive(true)
            .serve_connection(io, TowerToHyperService::new(self.router.clone()));
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
}

/// What a connection holds while it is served.
struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    _slot: Option<ClientSlot>,
}

/// Errors of accept that don't affect the next one.
fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// How many connections each address has. Holds only addresses with at least one.
#[derive(Debug, Default)]
struct Clients(Mutex<HashMap<IpAddr, usize>>);

#[derive(Debug)]
struct TooManyConnections;

impl Clients {
    /// Counts one more connection; None for an address that is not counted.
    fn reserve(self: &Arc<Self>, address: IpAddr, limit: usize) -> Result<Option<ClientSlot>, TooManyConnections> {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Ok(None);
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return Err(TooManyConnections);
        }
        *count += 1;
        Ok(Some(ClientSlot { clients: Arc::clone(self), address }))
    }
}

/// One counted connection; dropping it uncounts it.
#[derive(Debug)]
struct ClientSlot {
    clients: Arc<Clients>,
    address: IpAddr,
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut counts = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
