//! Where the journal's directories and exports are below a data directory, and the damaged journals that were set
//! aside.

use std::path::{Path, PathBuf};

use crate::clock::wall;
use crate::journal::error::JournalError;
use crate::journal::files::{after, moment_of, named, remove_directory, rename, stamp};
use crate::model::Timestamp;

/// The name prefix of journals that were found damaged; a timestamp follows.
const QUARANTINED: &str = "journal.corrupt-";
/// How many damaged journals are kept. The newest always is.
const QUARANTINED_MAX: usize = 3;

/// Where the journal and its exports are, below one data directory.
#[derive(Clone, Debug)]
pub(in crate::journal) struct Paths {
    pub(in crate::journal) data_dir: PathBuf,
    /// The database. It gets this name by a rename, once complete: if it is incomplete, it was damaged.
    pub(in crate::journal) journal: PathBuf,
    /// A database under construction, to be renamed once it is complete and on disk.
    pub(in crate::journal) incoming: PathBuf,
    /// The database that a smaller copy is replacing.
    pub(in crate::journal) outgoing: PathBuf,
    pub(in crate::journal) exports: PathBuf,
}

impl Paths {
    pub(in crate::journal) fn below(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            journal: data_dir.join("journal"),
            incoming: data_dir.join("journal.new"),
            outgoing: data_dir.join("journal.old"),
            exports: data_dir.join("exports"),
        }
    }

    /// Damaged journals that were set aside, oldest first.
    pub(in crate::journal) fn quarantined(&self) -> Result<Vec<PathBuf>, JournalError> {
        let mut paths = named(&self.data_dir, |name| name.starts_with(QUARANTINED))?;
        paths.retain(|path| moment_of(path, QUARANTINED, "").is_some());
        Ok(paths)
    }

    /// Sets the damaged journal aside, under a name with the current time in it.
    pub(in crate::journal) fn quarantine(&self) -> Result<PathBuf, JournalError> {
        let newest = self.quarantined()?.pop().and_then(|path| moment_of(&path, QUARANTINED, ""));
        let aside = self.data_dir.join(format!("{QUARANTINED}{}", stamp(after(newest))));
        rename(&self.journal, &aside)?;
        Ok(aside)
    }

    /// When the newest damaged journal was set aside, and its path.
    pub(in crate::journal) fn newest_quarantined(&self) -> Result<Option<(PathBuf, Timestamp)>, JournalError> {
        let newest = self.quarantined()?.pop();
        Ok(newest.map(|path| {
            let at = moment_of(&path, QUARANTINED, "").unwrap_or_else(wall);
            (path, at)
        }))
    }

    /// Removes the oldest damaged journals beyond the number kept. A failure is logged and does no harm.
    pub(in crate::journal) fn forget_quarantined(&self) {
        let kept = self.quarantined().unwrap_or_default();
        for path in kept.iter().take(kept.len().saturating_sub(QUARANTINED_MAX)) {
            if let Err(error) = remove_directory(path) {
                tracing::warn!("{error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::journal::files::make_directory;

    #[test]
    fn the_newest_damaged_journal_is_kept_though_the_clock_has_gone_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(directory.path());
        let ahead = wall().plus(Duration::from_hours(48));
        for hours in 0..4 {
            let at = ahead.plus(Duration::from_hours(hours));
            make_directory(&directory.path().join(format!("{QUARANTINED}{}", stamp(at)))).expect("made");
        }
        make_directory(&paths.journal).expect("made");
        let aside = paths.quarantine().expect("put aside");
        paths.forget_quarantined();
        let kept = paths.quarantined().expect("listed");
        assert_eq!((kept.len(), kept.last()), (QUARANTINED_MAX, Some(&aside)));
    }
}
