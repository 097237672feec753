//! Finds the daemon: its address and a token, given as options or left by the daemon in its data directory.
//!
//! A token from the daemon's file is sent only to the address in the same file.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::exit;
use crate::client_file::{ClientFile, ClientFileError};
use crate::config::Secret;

/// Which daemon to talk to.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Which daemon")]
pub struct Reach {
    /// Address of the daemon [default: from the local daemon's data directory]
    #[arg(long, global = true, env = "COALESCED_URL", hide_env_values = true, value_name = "URL")]
    pub url: Option<String>,
    /// API token [default: from the local daemon's data directory]
    #[arg(long, global = true, env = "COALESCED_TOKEN", hide_env_values = true, value_name = "TOKEN", value_parser = secret)]
    pub token: Option<Secret>,
    /// Data directory of a daemon on this machine [default: the first found of ./coalesced-data, /var/lib/coalesced]
    #[arg(long, global = true, env = "COALESCED_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap asks parsers for a Result")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

/// A daemon's address, and the token to send there.
#[derive(Clone, Debug)]
pub struct Target {
    /// Contains no password, no query and no trailing slash, so it may be shown.
    pub url: String,
    pub token: Option<Secret>,
}

/// Where a daemon may have left its file, without --data-dir: in the working directory's data directory, or a
/// service's.
const USUAL_DATA_DIRS: [&str; 2] = ["./coalesced-data", "/var/lib/coalesced"];

impl Reach {
    /// The daemon that the options name, else the one whose file is in the data directory.
    pub fn find(&self) -> Result<Target, LocateError> {
        self.find_in(&self.places(std::env::var_os("STATE_DIRECTORY").as_deref()))
    }

    /// If a data directory is named, only that one is searched: another daemon is never used instead.
    pub(super) fn places(&self, state_directory: Option<&OsStr>) -> Vec<PathBuf> {
        if let Some(named) = self.data_dir.as_ref().filter(|dir| !dir.as_os_str().is_empty()) {
            return vec![named.clone()];
        }
        // systemd may name several, separated by colons.
        let of_unit = state_directory.and_then(|dirs| std::env::split_paths(dirs).next());
        let of_unit = of_unit.filter(|dir| !dir.as_os_str().is_empty());
        of_unit.into_iter().chain(USUAL_DATA_DIRS.map(PathBuf::from)).collect()
    }

    fn find_in(&self, places: &[PathBuf]) -> Result<Target, LocateError> {
        let given = self.token.clone().filter(|token| !token.expose().is_empty());
        if let Some(url) = self.url.as_deref().filter(|url| !url.is_empty()) {
            let url = checked(url).ok_or(LocateError::BadUrl)?;
            let token = given.or_else(|| {
                let file = first_file(places).ok()?;
                (checked(&file.url)? == url).then_some(file.token)
            });
            return Ok(Target { url, token });
        }
        let file = first_file(places)?;
        if let Some(socket) = file.url.strip_prefix("unix:") {
            return Err(LocateError::UnixOnly { socket: socket.to_owned() });
        }
        let url = checked(&file.url).ok_or(LocateError::BadUrl)?;
        Ok(Target { url, token: Some(given.unwrap_or(file.token)) })
    }
}

/// The URL without a trailing slash; None if it is not a plain http or https URL.
fn checked(text: &str) -> Option<String> {
    let url: reqwest::Url = text.parse().ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let fits = matches!(url.scheme(), "http" | "https") && plain && url.fragment().is_none();
    fits.then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// The first existing file. An unreadable one is an error only if no other is found.
fn first_file(places: &[PathBuf]) -> Result<ClientFile, LocateError> {
    let mut closed = None;
    for place in places {
        match ClientFile::read(place) {
            Ok(Some(file)) => return Ok(file),
            Ok(None) => {}
            Err(error) if error.is_denied() => closed = closed.or(Some(LocateError::File(error))),
            Err(error) => return Err(error.into()),
        }
    }
    Err(closed.unwrap_or_else(|| LocateError::NotFound { places: places.to_vec() }))
}

/// Why no daemon was found.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    #[error("the daemon's address must be like http://127.0.0.1:8484, without user name, password or query")]
    BadUrl,
    #[error(
        "no daemon found: there is no {} in {}; start one with 'coalesced serve', or pass --url and --token",
        ClientFile::NAME,
        listed(.places)
    )]
    NotFound { places: Vec<PathBuf> },
    #[error(
        "the daemon listens on the Unix socket {socket} only; let it listen on a TCP address, too, or pass the URL of a \
         proxy in front of it with --url"
    )]
    UnixOnly { socket: String },
    #[error(transparent)]
    File(#[from] ClientFileError),
}

impl LocateError {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadUrl => exit::USAGE,
            Self::NotFound { .. } | Self::UnixOnly { .. } => exit::UNREACHABLE,
            Self::File(error) if error.is_denied() => exit::NOT_ALLOWED,
            Self::File(_) => exit::IO,
        }
    }
}

fn listed(places: &[PathBuf]) -> String {
    let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
    places.join(", ")
}

#[cfg(test)]
mod tests;
