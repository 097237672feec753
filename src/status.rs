//! The read-only picture of the daemon, in the shapes that the API shows (`/v1`) and the client reads.
//!
//! The driver publishes a [`Picture`] after each step; `view` turns it, and what the journal holds, into these
//! shapes. Nothing here decides anything.

mod picture;
pub mod sentences;
mod view;

use serde::{Deserialize, Serialize};

pub use crate::build::BuildState;
use crate::build::Outcome;
use crate::command::Hold;
use crate::event::CauseKind;
use crate::journal::Restored;
use crate::model::{BuildId, CommitId, GitRef, ImageName};

pub use self::picture::Picture;
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
    /// One sentence without a full stop, fit to be read on a phone.
    pub why: String,
    /// When its build is due, while it waits.
    pub due: Option<String>,
    /// Its place among the keys of its image that wait, from 1.
    pub position: Option<usize>,
    pub build: Option<BuildId>,
    pub url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    Waiting,
    Riding,
    Built,
    Skipped,
    Ignored,
    Dropped,
    RefDeleted,
    Duplicate,
}

/// All scheduling state of one image, as it is now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LaneView {
    pub image: ImageName,
    /// The image's own hold, or the hold of all images.
    pub held: Option<HoldView>,
    /// Why triggers are refused until an operator acts.
    pub blocked: Option<String>,
    pub running: Option<BuildView>,
    pub queued: Option<BuildView>,
    /// Builds that nobody here started and that occupy places.
    pub foreign: Vec<BuildView>,
    pub keys: Vec<KeyView>,
    pub last_build: Option<BuildView>,
    /// Since when the published image lacks something that was pushed.
    pub behind_since: Option<String>,
    /// True where the back-end can't be asked: starts and ends are assumed.
    pub blind: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HoldView {
    #[serde(flatten)]
    pub hold: Hold,
    pub all_images: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyView {
    #[serde(rename = "ref")]
    pub git_ref: GitRef,
    /// How many events are open.
    pub open: u64,
    pub first_open_at: Option<String>,
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
    /// What is assumed or was odd about it, as a sentence.
    pub note: Option<String>,
}

/// What `/health` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    pub version: String,
    pub images: usize,
    pub open_events: u64,
    pub blocked: Vec<ImageName>,
    /// A damaged journal was replaced by an export, and nobody has looked at it yet.
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
    /// It works, and something needs an operator.
    Degraded,
}
