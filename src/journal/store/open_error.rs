//! What an error from sled means: damage, or a cause elsewhere.

use std::path::Path;

use crate::journal::error::JournalError;

/// Why a database didn't open.
#[derive(Debug)]
pub(in crate::journal) enum OpenError {
    /// What is stored can't be what was written.
    Damaged(String),
    /// The cause lies elsewhere, and may be gone at the next start.
    Failed(JournalError),
}

impl OpenError {
    /// What sled's error means when opening.
    pub(in crate::journal) fn by(error: &sled::Error, directory: &Path) -> Self {
        let why = error.to_string();
        if is_system_error(error) {
            Self::Failed(JournalError::Unreadable { directory: directory.to_owned(), why })
        } else {
            Self::Damaged(why)
        }
    }

    pub(in crate::journal) fn into_error(self, directory: &Path) -> JournalError {
        match self {
            Self::Damaged(why) => JournalError::Unreadable { directory: directory.to_owned(), why },
            Self::Failed(error) => error,
        }
    }
}

impl From<JournalError> for OpenError {
    fn from(error: JournalError) -> Self {
        Self::Failed(error)
    }
}

/// Whether it is an error of the operating system. Such an error about a file (no permission, no space, no more
/// descriptors, a failing disk) is not damage: the file may be intact, and the next start may read it.
pub(in crate::journal) fn is_system_error(error: &sled::Error) -> bool {
    use std::io::ErrorKind as Kind;
    let sled::Error::Io(io) = error else { return false };
    io.raw_os_error().is_some()
        || error.to_string().contains("could not acquire lock")
        || !matches!(io.kind(), Kind::UnexpectedEof | Kind::InvalidData | Kind::InvalidInput | Kind::Other)
}

pub(super) fn read_failed(error: &sled::Error) -> JournalError {
    let why = error.to_string();
    if is_system_error(error) { JournalError::Read(why) } else { JournalError::Unsound(why) }
}
