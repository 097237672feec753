//! The file `client.json`, by which the daemon tells clients on the same machine its address and a token.
//!
//! The daemon writes it at startup; client commands read it. Must never show the token that it holds.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// What the daemon leaves for clients on the same machine: `DATA_DIR/client.json`, for its owner only.
#[derive(Clone, Debug)]
pub(crate) struct ClientFile {
    /// `http://127.0.0.1:8484`: an address that this machine reaches, TCP if there is one, else `unix:/path`.
    pub url: String,
    /// A token that allows everything.
    pub token: Secret,
    /// The process that wrote it.
    pub pid: u32,
}

/// The file as stored: the only place where this token is written.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    url: T,
    token: T,
    pid: u32,
}

impl ClientFile {
    pub(crate) const NAME: &str = "client.json";
    /// The most bytes read from it.
    const BYTES_MAX: u64 = 64 * 1024;

    /// Reads the file of this data directory; None if there is none.
    pub(crate) fn read(data_dir: &Path) -> Result<Option<Self>, ClientFileError> {
        let path = data_dir.join(Self::NAME);
        let text = match read_at_most(&path, Self::BYTES_MAX) {
            Ok(text) => text,
            Err(source) if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(source) => return Err(ClientFileError::Unreadable { path, source }),
        };
        // Leave out serde's message: it shows the place of the mistake, and might show the token.
        let Ok(stored) = serde_json::from_str::<Stored<String>>(&text) else {
            return Err(ClientFileError::Garbled { path });
        };
        Ok(Some(Self { url: stored.url, token: Secret::new(stored.token), pid: stored.pid }))
    }

    /// Writes the file into this data directory atomically, readable by its owner only: a client sees the old
    /// file or the new one, never half of one.
    pub(crate) fn write(&self, data_dir: &Path) -> io::Result<()> {
        let stored = Stored { url: self.url.as_str(), token: self.token.expose(), pid: self.pid };
        // A new temporary file has the mode 0600 from its first moment.
        let mut file = tempfile::Builder::new().prefix(".client-").tempfile_in(data_dir)?;
        serde_json::to_writer(&mut file, &stored)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(data_dir.join(Self::NAME)).map_err(|refused| refused.error)?;
        Ok(())
    }

    /// Removes the file when the daemon ends in order. It is no error if it is gone already.
    pub(crate) fn remove(data_dir: &Path) -> io::Result<()> {
        match fs::remove_file(data_dir.join(Self::NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<String> {
    let file = fs::File::open(path)?;
    io::read_to_string(io::Read::take(file, bytes_max))
}

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientFileError {
    #[error("failed to read {}: {source}; try sudo, or pass --url and --token", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is not a file that the daemon wrote; start the daemon again, or give --url and --token", .path.display())]
    Garbled { path: PathBuf },
}

impl ClientFileError {
    /// Whether only another user may read it.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}
