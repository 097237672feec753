//! Notices: what an operator should know without asking. Plain values, made with the facts that they tell of and stored
//! until somebody has received them; the words are in `status/sentences`.

use serde::{Deserialize, Serialize};

use crate::model::{BuildId, ImageName, Timestamp};
use crate::reason::{EndReason, RefusalReason};

/// The number of a notice: growing, and never given twice. A receiver that gets it twice can tell by it.
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

/// One thing that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub id: NoticeId,
    pub at: Timestamp,
    /// The image that it is about; of a remote the first of its images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageName>,
    pub kind: NoticeKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// Triggers are refused and repeating them changes nothing.
    Blocked {
        reason: RefusalReason,
    },
    /// Tries have come to nothing for long.
    StillRefused {
        since: Timestamp,
        reason: EndReason,
    },
    /// Triggers are accepted again.
    Unblocked,
    /// A build ended red.
    Failed {
        build: BuildId,
    },
    /// A build ended well after one that did not.
    Recovered {
        build: BuildId,
    },
    /// A build vanished or was given up.
    Lost {
        build: BuildId,
        reason: EndReason,
    },
    /// Nobody could say whether a trigger had its effect, so it is repeated unverified.
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
    /// The back-end would not cancel. None: it can't.
    NotCancelled {
        build: BuildId,
        detail: Option<String>,
    },
}

/// How much a notice matters. The order is that of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good news, or what nobody has to do anything about.
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
