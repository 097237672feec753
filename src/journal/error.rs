//! Why the journal can't be opened, or stopped working: one sentence per error, with what to do.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the journal can't be opened, or stopped working.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    #[error("another coalesced{pid} uses the data directory '{directory}'; each daemon needs its own (data_dir)", pid = .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse { directory: PathBuf, pid: Option<u32> },
    #[error("failed to {what} '{path}': {why}")]
    Io { what: &'static str, path: PathBuf, why: Arc<std::io::Error> },
    #[error("failed to open the journal in '{directory}': {why}")]
    Unreadable { directory: PathBuf, why: String },
    #[error(
        "the journal in '{directory}' was written by another version of coalesced (schema {found}; this one reads {} to {}). \
         Stop it there, take its state along with 'coalesced journal export' of that version, move the whole data \
         directory away, and load it with 'coalesced journal import' of this one",
        known.start(), known.end()
    )]
    OtherSchema { directory: PathBuf, found: u32, known: RangeInclusive<u32> },
    #[error(
        "the journal in '{directory}' is damaged: {why}. There is no whole export in '{exports}' to restore it from, so \
         it was left in its place. Restore the data directory from a copy, or move both away to begin anew"
    )]
    Damaged { directory: PathBuf, exports: PathBuf, why: String },
    #[error("the export '{path}' is not whole: {why}")]
    BrokenExport { path: PathBuf, why: String },
    #[error("the export '{path}' was written by a newer coalesced ({version})")]
    NewerExport { path: PathBuf, version: String },
    #[error("there is no journal in the data directory '{directory}'")]
    NoJournal { directory: PathBuf },
    #[error(
        "the data directory '{directory}' holds a journal, exports or what is left of them; an export is imported into \
         an empty one only, so move it away first"
    )]
    NotEmpty { directory: PathBuf },
    #[error("failed to write the journal: {0}")]
    Write(String),
    #[error("failed to read the journal: {0}")]
    Read(String),
    /// What was read differs from what was written.
    #[error("{0}")]
    Unsound(String),
    #[error("the journal has ended")]
    Ended,
}

/// An entry that we can't have written.
pub(super) fn parse_failed(why: impl std::fmt::Display) -> JournalError {
    JournalError::Unsound(format!("an entry can't be read back: {why}"))
}
