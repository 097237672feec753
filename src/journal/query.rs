//! History queries as plain values, in a module below both the journal that answers and the modules that ask.

use crate::model::{BuildId, EventId, GitRef, ImageName, Timestamp};

/// The history could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the history: {0}")]
pub struct HistoryError(pub String);

/// Which events, newest first. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    pub image: Option<ImageName>,
    pub git_ref: Option<GitRef>,
    /// A commit, or at least the first 7 digits of one.
    pub sha: Option<String>,
    pub delivery: Option<String>,
    pub since: Option<Timestamp>,
    /// Only events older than this one: for the next page.
    pub before: Option<EventId>,
    /// At most [`LIST_LIMIT_MAX`].
    pub limit: usize,
}

/// Which builds, newest first.
#[derive(Clone, Debug, Default)]
pub struct BuildQuery {
    pub image: Option<ImageName>,
    pub git_ref: Option<GitRef>,
    pub since: Option<Timestamp>,
    pub before: Option<BuildId>,
    pub limit: usize,
}

/// The most events or builds in one answer.
pub const LIST_LIMIT_MAX: usize = 1_000;
/// How many an answer holds by default.
pub const LIST_LIMIT_DEFAULT: usize = 100;
