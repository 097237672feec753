//! Where requests arrive: TCP addresses, Unix sockets, or sockets passed by systemd.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::config::Listen;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Owner and group may connect to a Unix socket: add the proxy to the group.
const SOCKET_MODE: u32 = 0o660;

/// Bound and listening, not yet served.
#[derive(Debug)]
pub struct Listeners(Vec<Listener>);

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// Set only for a socket that was bound here; held so that the file is removed with the listener.
    Unix(UnixListener, #[expect(dead_code, reason = "held for its drop")] Option<SocketFile>),
}

/// Why an address can't be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("failed to listen on {address}: {error}")]
    Tcp { address: SocketAddr, error: io::Error },
    #[error("failed to listen on unix:{}: {error}", path.display())]
    Unix { path: PathBuf, error: io::Error },
    #[error("failed to take over the sockets of systemd: {0}")]
    Systemd(io::Error),
}

impl Listeners {
    /// The sockets passed by systemd; if there are none, the configured ones. Must be called within the runtime.
    pub fn bind(addresses: &[Listen]) -> Result<Self, BindError> {
        let handed = handed_over().map_err(BindError::Systemd)?;
        if handed.is_empty() { Self::of(addresses) } else { Ok(Self(handed)) }
    }

    pub(super) fn of(addresses: &[Listen]) -> Result<Self, BindError> {
        let bind = |address: &Listen| match address {
            Listen::Tcp(address) => tcp(*address).map_err(|error| BindError::Tcp { address: *address, error }),
            Listen::Unix(path) => unix(path).map_err(|error| BindError::Unix { path: path.clone(), error }),
        };
        addresses.iter().map(bind).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn into_each(self) -> impl Iterator<Item = Listener> {
        self.0.into_iter()
    }

    /// The addresses they listen on, with the ports chosen by the system.
    pub fn addresses(&self) -> Vec<Listen> {
        self.0.iter().filter_map(Listener::address).collect()
    }
}

impl Listener {
    fn address(&self) -> Option<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(Listen::Tcp),
            Self::Unix(listener, _) => {
                listener.local_addr().ok()?.as_pathname().map(|path| Listen::Unix(path.to_owned()))
            }
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<Listener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG).map(Listener::Tcp)
}

fn unix(path: &Path) -> io::Result<Listener> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(Listener::Unix(listener, Some(file)))
}

/// Removes a socket without a listener; never anything else.
fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(error) => Err(error),
    }
}

/// A socket's file, removed with the listener.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already; the next start removes leftovers.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The sockets that systemd opened for this process; empty if there are none.
///
/// They arrive as bare numbers, which safe code can't own. So they are duplicated from this very process
/// (`pidfd_getfd(2)`, Linux 5.6), which a service with a system call filter must allow.
#[cfg(target_os = "linux")]
fn handed_over() -> io::Result<Vec<Listener>> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let numbers = sd_notify::listen_fds()?;
    if numbers.len() == 0 {
        return Ok(Vec::new());
    }
    let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
    numbers.map(|number| adopt(pidfd_getfd(&this_process, number, PidfdGetfdFlags::empty())?)).collect()
}

#[cfg(not(target_os = "linux"))]
fn handed_over() -> io::Result<Vec<Listener>> {
    Ok(Vec::new())
}

/// A socket of either family.
#[cfg(target_os = "linux")]
fn adopt(socket: std::os::fd::OwnedFd) -> io::Result<Listener> {
    let tcp = std::net::TcpListener::from(socket);
    if tcp.local_addr().is_ok() {
        tcp.set_nonblocking(true)?;
        return TcpListener::from_std(tcp).map(Listener::Tcp);
    }
    let unix = std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(tcp));
    unix.local_addr()?;
    unix.set_nonblocking(true)?;
    UnixListener::from_std(unix).map(|listener| Listener::Unix(listener, None))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::fd::{AsRawFd, OwnedFd};

    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let first = Listeners::of(&[Listen::Tcp("127.0.0.1:0".parse().expect("an address"))]).expect("bound");
        let error = Listeners::of(&first.addresses()).expect_err("taken").to_string();
        let Listen::Tcp(address) = first.addresses()[0] else { panic!("not TCP") };
        assert!(error.starts_with(&format!("failed to listen on {address}: ")), "{error}");
    }

    #[tokio::test]
    async fn handed_sockets_of_both_families_are_adopted() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = tcp.local_addr().expect("an address");
        let unix = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        assert_eq!(adopt(tcp.into()).expect("adopted").address(), Some(Listen::Tcp(address)));
        assert_eq!(adopt(unix.into()).expect("adopted").address(), Some(Listen::Unix(path.clone())));
        assert!(path.exists(), "the file belongs to systemd");
        let file: OwnedFd = std::fs::File::open(directory.path()).expect("opened").into();
        assert!(adopt(file).is_err());
    }

    #[test]
    fn a_descriptor_is_fetched_by_its_number() {
        use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let this_process = pidfd_open(getpid(), PidfdFlags::empty()).expect("opened");
        let copy = pidfd_getfd(&this_process, tcp.as_raw_fd(), PidfdGetfdFlags::empty()).expect("fetched");
        let copy = std::net::TcpListener::from(copy);
        assert_eq!(copy.local_addr().expect("an address"), tcp.local_addr().expect("an address"));
    }
}
