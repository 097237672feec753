//! The daemon's read-only state, in the shapes that the API shows (`/v1`) and the client reads.
//!
//! The driver publishes a [`Picture`] after each step; `view` turns it, and what the journal holds, into these
//! shapes. Nothing here decides anything.

mod picture;
pub mod sentences;
pub mod time;
mod view;

use serde::{Deserialize, Serialize};

pub use crate::build::BuildState;
use crate::build::Outcome;
use crate::event::CauseKind;
use crate::journal::Restored;
use crate::model::{BuildId, CommitId, GitRef, ImageName};

pub use self::picture::Picture;
pub use self::sentences::by;
pub use self::view::{build_view, lane_view, receipt};

/// The answer to an event: what was decided and why. Moments are RFC 3339.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receipt {
    pub id: String,
    pub image: Option<ImageName>,
    #[serde(rename = "ref")]
    pub git_ref: Option<GitRef>,
    pub sha: Option<CommitId>,
    pub kind: CauseKind,
    pub source: String,
    pub delivery: Option<String>,
    pub actor: Option<String>,
    /// A person's reason, or the first line of the newest commit's message.
    pub reason: Option<String>,
    pub accepted_at: String,
    pub state: EventState,
    /// True if the state is assumed, not seen: the back-end's builds can't be seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assumed: bool,
    /// One sentence without a full stop, short enough for a phone.
    pub why: String,
    /// When its build is due, while it waits: the next try if the last one failed. Absent while paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// Its place among its image's waiting keys, from 1.
    pub position: Option<usize>,
    pub build: Option<BuildId>,
    /// The event of which this is a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<String>,
    pub url: String,
}

/// An event's state (semantics R12). It is in exactly one of these at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// It is open, and no build is expected to cover it.
    Waiting,
    /// A build that has not started is expected to cover it.
    Queued,
    /// A running build covers it.
    Building,
    /// A build that covers it succeeded. Never used for any other end.
    Built,
    Failed,
    Cancelled,
    /// The back-end lost its build, and it won't be retried.
    Lost,
    Skipped,
    /// No image, or no rule of it, asks for it.
    Ignored,
    /// A person gave it up.
    Dropped,
    RefDeleted,
    Duplicate,
}

impl EventState {
    pub const ALL: [Self; 12] = [
        Self::Waiting,
        Self::Queued,
        Self::Building,
        Self::Built,
        Self::Failed,
        Self::Cancelled,
        Self::Lost,
        Self::Skipped,
        Self::Ignored,
        Self::Dropped,
        Self::RefDeleted,
        Self::Duplicate,
    ];

    /// Its name in JSON, in metrics and, with a blank for the underscore, on a terminal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Building => "building",
            Self::Built => "built",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Skipped => "skipped",
            Self::Ignored => "ignored",
            Self::Dropped => "dropped",
            Self::RefDeleted => "ref_deleted",
            Self::Duplicate => "duplicate",
        }
    }

    /// Whether this state is final.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Queued | Self::Building)
    }
}

/// All present scheduling state of one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LaneView {
    pub image: ImageName,
    /// The image's own hold, or the hold of all images.
    pub held: Option<HoldView>,
    /// Why triggers are refused until somebody acts.
    pub blocked: Option<String>,
    pub running: Option<BuildView>,
    pub queued: Option<BuildView>,
    /// Builds started outside coalesced that take places.
    pub foreign: Vec<BuildView>,
    pub keys: Vec<KeyView>,
    pub last_build: Option<BuildView>,
    /// Since when the published image lacks something that was pushed.
    pub behind_since: Option<String>,
    /// True if the back-end's builds can't be seen: starts and ends are assumed.
    pub blind: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HoldView {
    pub actor: String,
    pub reason: Option<String>,
    pub since: String,
    /// When it ends by itself.
    pub until: Option<String>,
    pub all_images: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyView {
    #[serde(rename = "ref")]
    pub git_ref: GitRef,
    /// How many events are open.
    pub open: u64,
    pub first_open_at: Option<String>,
    /// When its build is due: the next try if the last one failed. Absent while paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    pub why: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BuildView {
    pub id: BuildId,
    pub image: ImageName,
    #[serde(rename = "ref")]
    pub git_ref: Option<GitRef>,
    pub state: BuildState,
    pub outcome: Option<Outcome>,
    /// True if its start or end is assumed, not seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assumed: bool,
    pub foreign: bool,
    pub backend_id: Option<String>,
    pub commit: Option<CommitId>,
    pub triggered_at: Option<String>,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    /// The ids of the events that it covers, or is asked to cover; the newest 200.
    pub events: Vec<String>,
    /// How many there are in all.
    pub events_total: u64,
    pub log_url: Option<String>,
    /// What is assumed or unusual about it, as a sentence.
    pub note: Option<String>,
}

/// What a reload of the configuration changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What newly took effect, one line for each table of the file.
    pub changes: Vec<String>,
    /// The changed keys that take effect only after a restart.
    pub needs_restart: Vec<String>,
    /// What is allowed but unwise.
    pub warnings: Vec<String>,
}

/// What `/health` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    pub version: String,
    pub images: usize,
    pub open_events: u64,
    pub blocked: Vec<ImageName>,
    /// A damaged journal was replaced by an export, and that is not acknowledged yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredView>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RestoredView {
    pub at: String,
    /// One sentence without a full stop: what may be lost, and what to do.
    pub why: String,
}

impl RestoredView {
    pub(crate) fn of(restored: &Restored) -> Self {
        Self { at: restored.at.to_string(), why: restored.sentence() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    Ok,
    /// It works, but something needs an operator.
    Degraded,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_named_alike_everywhere() {
        for state in EventState::ALL {
            assert_eq!(serde_json::to_value(state).expect("a state"), state.name());
        }
    }
}
