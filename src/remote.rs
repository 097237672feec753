//! What a git remote shows of its refs: plain values between `refs`, which asks, and the scheduler, which compares.

use std::collections::BTreeMap;

use crate::model::{CommitId, GitRef, ImageName};

/// One ref of a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteHead {
    pub commit: CommitId,
    /// The tag object, if the ref is an annotated tag: some senders name it instead of the commit.
    pub tag_object: Option<CommitId>,
}

/// The watched heads of each image of a remote, or why they can't be read.
pub type Heads = Result<BTreeMap<ImageName, BTreeMap<GitRef, RemoteHead>>, String>;
