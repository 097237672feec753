//! The loop that owns the scheduler, and the handle by which others reach it.

use crate::event::Delivery;
use crate::model::{BuildId, EventId, GitRef, ImageName, Timestamp};
use crate::status::{BuildView, Health, LaneView, Receipt};
use crate::verb::Command;

/// The way to the driver for everyone else: cheap to clone, shared by all requests.
#[derive(Clone)]
pub struct Handle {}

/// A delivery that is on disk.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// One receipt a wish, in order.
    pub receipts: Vec<Receipt>,
    /// It had come before: these are the first receipts again.
    pub repeated: bool,
}

/// Why nothing was accepted. Both are a 503 outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("too many requests wait to be written; try again in a second")]
    Full,
    #[error("the daemon is ending")]
    Ending,
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("no image '{0}' is configured")]
    UnknownImage(ImageName),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The history could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the history: {0}")]
pub struct HistoryError(pub String);

/// Which events, newest first. Empty fields ask for all.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    pub image: Option<ImageName>,
    pub git_ref: Option<GitRef>,
    /// A commit, or the first 7 digits or more of one.
    pub sha: Option<String>,
    pub delivery: Option<String>,
    pub since: Option<Timestamp>,
    /// Only events older than this one: the way to the next page.
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

/// The most rows of one page of history.
pub const LIST_LIMIT_MAX: usize = 1_000;
/// The rows of a page when nobody says.
pub const LIST_LIMIT_DEFAULT: usize = 100;

impl Handle {
    /// Hands a delivery in and waits until it is on disk.
    pub async fn accept(&self, _delivery: Delivery) -> Result<Acceptance, Unavailable> {
        unimplemented!()
    }

    /// Carries out a person's command; answers with the lanes it went to, as they are after it.
    pub async fn command(&self, _command: Command) -> Result<Vec<LaneView>, CommandError> {
        unimplemented!()
    }

    /// Every lane, in the order of image names.
    pub fn lanes(&self) -> Vec<LaneView> {
        unimplemented!()
    }

    pub fn lane(&self, _image: &ImageName) -> Option<LaneView> {
        unimplemented!()
    }

    pub fn health(&self) -> Health {
        unimplemented!()
    }

    pub async fn events(&self, _query: EventQuery) -> Result<Vec<Receipt>, HistoryError> {
        unimplemented!()
    }

    pub async fn event(&self, _id: EventId) -> Result<Option<Receipt>, HistoryError> {
        unimplemented!()
    }

    pub async fn builds(&self, _query: BuildQuery) -> Result<Vec<BuildView>, HistoryError> {
        unimplemented!()
    }

    pub async fn build(&self, _id: BuildId) -> Result<Option<BuildView>, HistoryError> {
        unimplemented!()
    }

    /// Prometheus text of what the driver counts.
    pub fn metrics(&self) -> String {
        unimplemented!()
    }
}
