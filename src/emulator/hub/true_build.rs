//! One build as the emulated Docker Hub knows it, rather than as its list shows it.

use crate::build::Outcome;
use crate::model::{CommitId, GitRef, ImageName, Timestamp};

/// One build as it truly was, whatever the list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrueBuild {
    pub number: usize,
    pub image: ImageName,
    pub git_ref: GitRef,
    /// The image tag that it makes.
    pub tag: String,
    /// Not from a trigger of ours: from the web page's button, or Docker Hub's own hook.
    pub foreign: bool,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    /// What was in the source when it was taken.
    pub commit: Option<CommitId>,
    pub pushed: bool,
    pub(super) cancel_asked_at: Option<Timestamp>,
    pub(super) tip_due: Option<Timestamp>,
    pub(super) sticks: bool,
    pub(super) fails: bool,
    pub(super) vanished: bool,
}

impl TrueBuild {
    pub fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }

    pub fn runs(&self) -> bool {
        self.started_at.is_some() && !self.is_over()
    }

    pub fn waits(&self) -> bool {
        self.started_at.is_none() && !self.is_over()
    }

    /// The list no longer shows it, but it goes on.
    pub fn has_vanished(&self) -> bool {
        self.vanished
    }

    pub fn is_cancelling(&self) -> bool {
        self.cancel_asked_at.is_some() && !self.is_over()
    }
}
