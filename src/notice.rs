//! Notices: what an operator should know without asking. Plain values, made with the facts that they report and stored
//! until delivered; the words are in `status/sentences`.

use serde::{Deserialize, Serialize};

use crate::model::{BuildId, ImageName, Timestamp};
use crate::reason::{EndReason, RefusalReason};

/// A notice's number: increasing, and never reused. By it a receiver recognises a repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NoticeId(pub u64);

impl NoticeId {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for NoticeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub id: NoticeId,
    pub at: Timestamp,
    /// The image that it is about; for a remote, the first of its images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageName>,
    pub kind: NoticeKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// Triggers are refused and repeating them won't help.
    Blocked {
        reason: RefusalReason,
    },
    /// Tries have failed for long.
    StillRefused {
        since: Timestamp,
        reason: EndReason,
    },
    /// Triggers are accepted again.
    Unblocked,
    /// A build failed.
    Failed {
        build: BuildId,
    },
    /// A build succeeded after one that did not.
    Recovered {
        build: BuildId,
    },
    /// A build vanished or was given up.
    Lost {
        build: BuildId,
        reason: EndReason,
    },
    /// It could not be known whether a trigger had an effect, so it is repeated unverified.
    Unverified {
        build: BuildId,
    },
    /// The back-end does not show its builds.
    Unreadable {
        detail: String,
    },
    /// The remote does not show its heads, so missed pushes are not found. None: no answer came.
    RemoteUnreadable {
        detail: Option<String>,
    },
    RemoteReadable,
    /// The back-end refused to cancel. None: it can't.
    NotCancelled {
        build: BuildId,
        detail: Option<String>,
    },
}

/// A notice's severity, ordered by importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good news, or something that needs no action.
    Info,
    /// Somebody may have to look.
    Warning,
    /// Images may not be built, or may lack pushes, until somebody acts.
    Error,
}

impl NoticeKind {
    pub fn severity(&self) -> Severity {
        match self {
            Self::Blocked { .. }
            | Self::StillRefused { .. }
            | Self::Lost { .. }
            | Self::Unverified { .. }
            | Self::Unreadable { .. } => Severity::Error,
            Self::Failed { .. } | Self::RemoteUnreadable { .. } | Self::NotCancelled { .. } => Severity::Warning,
            Self::Unblocked | Self::Recovered { .. } | Self::RemoteReadable => Severity::Info,
        }
    }

    /// The build that it is about.
    pub fn build(&self) -> Option<BuildId> {
        match self {
            Self::Failed { build }
            | Self::Recovered { build }
            | Self::Lost { build, .. }
            | Self::Unverified { build }
            | Self::NotCancelled { build, .. } => Some(*build),
            _ => None,
        }
    }
}
