//! Events: accepted requests for a build, and what they are made from.
//!
//! A source turns an HTTP request into a [`Delivery`]; the scheduler numbers its requests and makes each an [`Event`].
//! An event is written once and never changed: builds and closures record what happens to it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{BuildId, CommitId, EventId, GitRef, ImageName, Seq, Timestamp};
use crate::reason::{IgnoreReason, SkipEvidence};

/// The content of one HTTP request: any number of build requests with one cause, accepted or refused together.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub cause: Cause,
    /// What identifies this delivery if it is repeated: its sender's id, and the signed body.
    /// A delivery that shares any of these with an earlier one has no effect.
    pub fingerprints: Vec<Fingerprint>,
    pub new_events: Vec<NewEvent>,
}

impl Delivery {
    /// One without an identity: if repeated, it counts again.
    pub fn new(cause: Cause, new_event: NewEvent) -> Self {
        Self { cause, fingerprints: Vec::new(), new_events: vec![new_event] }
    }
}

/// One request, routed to an image and a ref, before it has a number.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// None if no rule names an image for it.
    pub image: Option<ImageName>,
    pub git_ref: Option<GitRef>,
    /// The commit that was pushed, if the sender says.
    pub commit: Option<CommitId>,
    /// The commit that the ref pointed to before, if the sender says.
    pub before: Option<CommitId>,
    pub disposition: Disposition,
}

impl NewEvent {
    /// One that names no commit.
    pub fn new(image: ImageName, git_ref: GitRef, disposition: Disposition) -> Self {
        Self { image: Some(image), git_ref: Some(git_ref), commit: None, before: None, disposition }
    }
}

/// What the ingest rules decided about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It opens its key.
    Build {
        /// It doesn't wait for quiet: a person's tap, a call with `start_now`, a tag.
        immediate: bool,
        /// A person asked: it goes ahead of pushes.
        manual: bool,
        /// Only if nothing of the key is open and none of it waits in a queue (`ensure`).
        ensure: bool,
    },
    /// A rule of the image says that this push is not built; it closes nothing earlier.
    Skip { evidence: SkipEvidence, touches: Touches },
    /// Every file of this push of a branch is outside the image's `paths`. It is passed over if that is known of all
    /// that was pushed since the last started build; else it opens its key.
    Outside { evidence: SkipEvidence, paths: Arc<str> },
    /// No rule asks for it.
    Ignore { reason: IgnoreReason },
    /// The ref is gone: its open events end.
    DeleteRef,
}

impl Disposition {
    /// A push of a branch that no rule excludes.
    pub const PUSH: Self = Self::Build { immediate: false, manual: false, ensure: false };
    /// A person's request, due at once.
    pub const TAP: Self = Self::Build { immediate: true, manual: true, ensure: false };
}

/// What a push touched, as far as the image's `paths` tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touches {
    /// Something that the image is built from; or that is unknown.
    Inside,
    /// Only files outside the `paths` that this digest identifies.
    Outside { paths: Arc<str> },
}

/// Where an event came from and who caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub kind: CauseKind,
    /// The name of the source in the config: `github`, the button's name, the token's name.
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The id that the sender gave its delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// Free text: a person's reason, or the first line of the newest commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Cause {
    /// The most bytes of each text here; longer ones are cut, so that a journal entry stays small.
    pub const TEXT_BYTES_MAX: usize = 200;

    pub fn new(kind: CauseKind, source: impl Into<String>) -> Self {
        Self { kind, source: source.into(), actor: None, delivery: None, reason: None }
    }

    #[must_use]
    pub fn actor(mut self, actor: Option<&str>) -> Self {
        self.actor = actor.map(cut);
        self
    }

    #[must_use]
    pub fn delivery(mut self, delivery: Option<&str>) -> Self {
        self.delivery = delivery.map(cut);
        self
    }

    #[must_use]
    pub fn reason(mut self, reason: Option<&str>) -> Self {
        self.reason = reason.map(cut);
        self
    }
}

/// At most [`Cause::TEXT_BYTES_MAX`] bytes, cut between characters.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(Cause::TEXT_BYTES_MAX);
    text[..end].to_owned()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    Push,
    Button,
    Api,
    /// Found by comparing the remote's head with what was built.
    Recovered,
}

/// 128 bits that identify a delivery: a truncated SHA-256, made by the source that accepted it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// An accepted request. Written once; its fate is recorded elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub seq: Seq,
    pub accepted_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<GitRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// Shared by all events of one delivery.
    pub cause: Arc<Cause>,
    pub verdict: Verdict,
}

impl Event {
    pub fn id(&self) -> EventId {
        EventId { accepted_at: self.accepted_at, seq: self.seq }
    }
}

/// What was decided about an event on arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It opened its key; a build will cover it.
    Opened,
    /// Nothing was open, and `ensure` asks for nothing more: the newest state is built or being built.
    AlreadyBuilt,
    Skipped {
        #[serde(alias = "rule")]
        evidence: SkipEvidence,
    },
    Ignored {
        reason: IgnoreReason,
    },
    /// The push that deleted the ref.
    RefDeleted,
    /// The same button within the fold time: one cause with that event.
    DuplicateOf {
        event: EventIdText,
    },
}

impl Verdict {
    /// Whether the event asks for a build, whatever happens to it later.
    pub fn asks_for_build(&self) -> bool {
        matches!(self, Self::Opened | Self::AlreadyBuilt | Self::DuplicateOf { .. })
    }
}

/// An event's id in a stored entry: its text.
pub type EventIdText = String;

/// Why the events of a key up to a number are no longer open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    pub at: Timestamp,
    pub end: End,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    BuiltBy(BuildId),
    DroppedBy {
        #[serde(alias = "whom")]
        actor: String,
        reason: Option<String>,
    },
    /// A person cancelled the build that they were handed out with, before it started.
    Cancelled {
        build: BuildId,
        actor: String,
    },
    RefDeleted,
}
