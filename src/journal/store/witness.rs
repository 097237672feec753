//! The witness: a small file next to the database that says how many batches are on disk at least.
//!
//! sled mistakes a log that ends too early, or whose end can't be read, for one that was never longer, and opens as if
//! nothing had been written since. So batches are counted, and the count is noted here after each sync. The note itself
//! is not synced: after a power cut it may be old, but it never counts a batch that was not on disk. So a database that
//! holds fewer batches than its witness counts, and only such a one, has lost some.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The file's name, next to the database's.
const NAME: &str = "witness";
/// A count, and the same with all bits flipped.
const BYTES: usize = 16;

pub(super) struct Witness(File);

impl Witness {
    /// Opens the file in `directory`, or creates it.
    pub(super) fn open(directory: &Path) -> std::io::Result<Self> {
        let options =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(directory.join(NAME));
        options.map(Self)
    }

    /// Notes that this many batches are on disk.
    pub(super) fn note(&self, batches: u64) -> std::io::Result<()> {
        self.0.write_all_at(&encode(batches), 0)
    }
}

/// How many batches the database in `directory` lacks, if its witness counts more than `held`. A witness that is
/// missing or garbled says nothing.
pub(super) fn missing(directory: &Path, held: u64) -> Option<u64> {
    let noted = std::fs::read(directory.join(NAME)).ok().and_then(|bytes| decode(&bytes))?;
    noted.checked_sub(held).filter(|missing| *missing > 0)
}

fn encode(batches: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&batches.to_be_bytes());
    bytes[8..].copy_from_slice(&(!batches).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let (batches, flipped) = bytes.split_at(8);
    let batches = u64::from_be_bytes(batches.try_into().ok()?);
    (flipped == (!batches).to_be_bytes()).then_some(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_with_fewer_batches_than_were_noted_has_lost_some() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(missing(directory.path(), 0), None, "without a witness nothing is known");
        let witness = Witness::open(directory.path()).expect("a witness");
        assert_eq!(missing(directory.path(), 0), None, "it has noted nothing yet");
        witness.note(42).expect("noted");
        for (held, lost) in [(40, Some(2)), (41, Some(1)), (42, None), (43, None)] {
            assert_eq!(missing(directory.path(), held), lost, "it holds {held}");
        }
        drop(Witness::open(directory.path()).expect("the same"));
        assert_eq!(missing(directory.path(), 41), Some(1), "opening changes nothing");
        std::fs::write(directory.path().join(NAME), [7; BYTES]).expect("garbled");
        assert_eq!(missing(directory.path(), 0), None, "a garbled witness says nothing");
    }
}
