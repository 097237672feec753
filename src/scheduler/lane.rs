//! PURE: all scheduling state of one image. `apply` changes it, one fact at a time; nothing else may.
//!
//! The shape of [`LaneState`] ensures "at most one queued, at most one running": it has no place for another.

mod apply;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lookback::Lookback;
use super::open::Open;
use super::record::{BuildRecord, Foreign, Tap};
use crate::build::{BackendBuildId, BuildState};
use crate::command::Hold;
use crate::model::{BuildId, CommitId, GitRef, ImageName, Seq, Timestamp};
use crate::reason::{BuildNote, EndReason};

/// An image has more keys than this only while more are open: every tag is a key of its own.
pub const KEYS_MAX: usize = 64;
/// The most refs of one image whose heads are remembered. Beyond this no ref counts as new.
pub const HEADS_MAX: usize = 10_000;
/// The most foreign builds followed at once for one image.
pub(super) const FOREIGN_MAX: usize = 8;

/// The lane of one image. Its state can be read; nothing but [`Lane::apply`] changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Lane {
    state: LaneState,
}

/// All scheduling state of one image, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneState {
    pub image: ImageName,
    /// Stored in entries of their own.
    #[serde(skip)]
    pub keys: BTreeMap<GitRef, Key>,
    /// Where refs that no event named were last seen at the remote. Stored in entries of their own; shared, since
    /// it may be long and seldom changes.
    #[serde(skip)]
    pub heads: Arc<BTreeMap<GitRef, CommitId>>,
    /// The rules under which the heads were last seen in full. While they stay the same, an unknown ref is
    /// new.
    #[serde(default)]
    pub heads_by: Option<String>,
    /// The one waiting place at the back-end.
    pub queued: Option<Queued>,
    /// The one running place.
    pub running: Option<Running>,
    /// Builds started outside coalesced.
    #[serde(default)]
    pub foreign: Vec<Foreign>,
    /// Back-end builds of ours that ended, newest last.
    #[serde(default)]
    pub claimed: VecDeque<BackendBuildId>,
    #[serde(default)]
    pub hold: Option<Hold>,
    #[serde(default)]
    pub refusal: Option<Refusal>,
    /// The back-end was seen running two builds of this image at once, so a build queued early for another
    /// key would run in parallel.
    #[serde(default)]
    pub overlaps: bool,
    #[serde(default)]
    pub last_build: Option<BuildRecord>,
    /// How long builds take here: a moving average, in milliseconds.
    #[serde(default)]
    pub build_time_ms: Option<u64>,
}

/// The state of one (image, ref).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub open: Option<Open>,
    /// The newest number up to which this key's events ended.
    #[serde(default, alias = "closed_upto")]
    pub closed_through: Seq,
    /// The commit of the last started build, if known.
    #[serde(default)]
    pub built: Option<CommitId>,
    /// The commit that the ref points to, as far as we know: asked for by an event, skipped, or seen there.
    #[serde(default)]
    pub wanted: Option<CommitId>,
    /// The newest number of an event that named `wanted`.
    #[serde(default)]
    pub moved: Seq,
    /// The commit that left events open because it is older than theirs, and how often it did.
    #[serde(default)]
    pub contradicted: Option<(CommitId, u32)>,
    /// Events up to this number were reopened once because their build was lost.
    #[serde(default, alias = "lost_upto")]
    pub lost_through: Seq,
    /// How many consecutive times a failed build was retried.
    #[serde(default)]
    pub retries: u32,
    #[serde(default)]
    pub tap: Option<Tap>,
    /// What a filter by paths must look back to.
    #[serde(default)]
    pub lookback: Lookback,
}

/// What is in the waiting place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    pub live: Live,
    pub phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The intent is on disk. After a restart it is unknown whether the call was made.
    Triggering,
    /// The call's outcome has been unknown since this moment.
    /// `pending`: the back-end said that one is pending already, so we may ride on a foreign build.
    Uncertain { since: Timestamp, pending: bool },
    /// Accepted; the back-end may not show it yet.
    Accepted,
    /// It runs already, in parallel with the one in the running place. No third is triggered meanwhile.
    #[serde(alias = "beside")]
    Overlapping { assumed_until: Option<Timestamp> },
}

/// What is in the running place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub live: Live,
    /// Blind mode: its end is assumed at this moment.
    pub assumed_until: Option<Timestamp>,
}

/// A build of ours that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    #[serde(alias = "row")]
    pub record: BuildRecord,
    /// Until it starts: the events handed out with it. Then: the events that it covers.
    pub carries: Option<Open>,
    /// The newest number at which it was known not to have started.
    #[serde(alias = "upto")]
    pub through: Seq,
    pub missing_since: Option<Timestamp>,
    /// When the call was answered; the back-end made the build before.
    #[serde(default)]
    pub answered_at: Option<Timestamp>,
    /// The answer named the back-end's build, so no other can be it.
    #[serde(default)]
    pub named: bool,
    /// Who asked to cancel it.
    pub cancelled_by: Option<String>,
}

/// The back-end refused the last trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// How often in a row.
    pub times: u32,
    pub since: Timestamp,
    /// Not before this moment again.
    pub again_at: Timestamp,
    /// Why the last try failed.
    #[serde(alias = "detail")]
    pub reason: EndReason,
    /// Only an operator can fix it; tries go on at long intervals.
    pub blocked: bool,
}

impl Lane {
    /// Loads what the journal holds.
    pub fn restore(state: LaneState) -> Self {
        Self { state }
    }

    pub fn into_state(self) -> LaneState {
        self.state
    }
}

impl Deref for Lane {
    type Target = LaneState;

    fn deref(&self) -> &LaneState {
        &self.state
    }
}

impl LaneState {
    /// For an image without any event so far.
    pub fn new(image: ImageName) -> Self {
        Self {
            image,
            keys: BTreeMap::new(),
            heads: Arc::default(),
            heads_by: None,
            queued: None,
            running: None,
            foreign: Vec::new(),
            claimed: VecDeque::new(),
            hold: None,
            refusal: None,
            overlaps: false,
            last_build: None,
            build_time_ms: None,
        }
    }

    /// Our build with this number, while it is live.
    pub fn live(&self, build: BuildId) -> Option<&Live> {
        self.lives().find(|live| live.record.id == build)
    }

    /// Our live builds: at most two.
    pub fn lives(&self) -> impl Iterator<Item = &Live> {
        self.running.iter().map(|running| &running.live).chain(self.queued.iter().map(|queued| &queued.live))
    }

    /// How many places this image takes in its account.
    pub fn places(&self) -> usize {
        self.lives().count() + self.foreign.len()
    }

    pub fn open_events(&self) -> u64 {
        self.keys.values().filter_map(|key| key.open.as_ref()).map(Open::count).sum()
    }

    /// The least recently active key at rest, if there are more than [`KEYS_MAX`].
    pub(super) fn key_to_forget(&self) -> Option<&GitRef> {
        if self.keys.len() <= KEYS_MAX {
            return None;
        }
        let lives = |git_ref: &GitRef| self.lives().any(|live| live.record.git_ref.as_ref() == Some(git_ref));
        let at_rest = self.keys.iter().filter(|(git_ref, key)| key.open.is_none() && !lives(git_ref));
        at_rest.min_by_key(|(_, key)| key.closed_through.max(key.moved)).map(|(git_ref, _)| git_ref)
    }

    /// How long a build takes here, as far as seen.
    pub fn build_time(&self) -> Option<Duration> {
        self.build_time_ms.map(Duration::from_millis)
    }

    /// A foreign build as an entry of the history.
    pub fn foreign_record(&self, foreign: &Foreign) -> BuildRecord {
        BuildRecord {
            id: foreign.id,
            image: self.image.clone(),
            git_ref: None,
            state: if foreign.started { BuildState::Running } else { BuildState::Queued },
            outcome: None,
            foreign: true,
            backend_ids: vec![foreign.backend_id.clone()],
            commit: foreign.commit.clone(),
            triggered_at: None,
            started_at: foreign.started_at,
            finished_at: None,
            span: None,
            events: 0,
            log_url: foreign.log_url.clone(),
            note: foreign.label.clone().map(|label| BuildNote::Foreign { label }),
            cancelled_by: None,
        }
    }

    /// Whether a back-end build belongs to one of ours, live or ended.
    pub(super) fn owns(&self, theirs: &BackendBuildId) -> bool {
        self.claimed.contains(theirs) || self.lives().any(|live| live.record.backend_ids.contains(theirs))
    }

    /// A build of this ref is requested and has not started: what was built before no longer tells anything.
    pub(super) fn is_under_way(&self, git_ref: &GitRef) -> bool {
        let queued = self.queued.as_ref().filter(|queued| queued.live.record.git_ref.as_ref() == Some(git_ref));
        queued.is_some_and(|queued| !matches!(queued.phase, Phase::Overlapping { .. }))
    }

    /// The commit that a ref is known to point to: the last one asked for, skipped, or seen there.
    pub fn known_head(&self, git_ref: &GitRef) -> Option<&CommitId> {
        let wanted = self.keys.get(git_ref).and_then(|key| key.wanted.as_ref());
        wanted.or_else(|| self.heads.get(git_ref))
    }

    /// Whether a push onto `before` follows the known head: none was missed between.
    pub(super) fn knows_base(&self, git_ref: &GitRef, before: Option<&CommitId>) -> bool {
        self.known_head(git_ref).zip(before).is_some_and(|(known, before)| known.same_as(before))
    }

    /// Whether such a commit is on its way: an open event names it, so the next build will take it; or it is
    /// the newest that the newest live build carries. A build that carries it among newer ones may be of those.
    pub(super) fn asks_for(&self, git_ref: &GitRef, is_head: impl Fn(&CommitId) -> bool) -> bool {
        let open = self.keys.get(git_ref).and_then(|key| key.open.as_ref());
        let mut groups = open.into_iter().flat_map(Open::groups);
        let newest = self.lives().filter(|live| live.record.git_ref.as_ref() == Some(git_ref)).last();
        groups.any(|group| group.commit.as_ref().is_some_and(&is_head))
            || newest.is_some_and(|live| live.carries.as_ref().and_then(Open::commit).is_some_and(&is_head))
    }
}
