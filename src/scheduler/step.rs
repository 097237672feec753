//! PURE: the scheduler's interface: what goes in, and what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::lane::LaneState;
use super::outbox::StoredOutbox;
use super::policy::{AccountName, Policy};
use super::record::{Changes, Remembered};
use crate::build::{BackendBuildId, BuildRequest, CancelAnswer, Observation, ObserveError, TriggerAnswer};
use crate::command::{Command, Hold};
use crate::event::{Delivery, Event, Fingerprint};
use crate::journal::Committed;
use crate::model::{BuildId, ImageName, Seq};
use crate::notice::{Notice, NoticeId};
use crate::remote::Heads;

/// The rules in force. They change only by [`Input::Configured`].
#[derive(Clone, Debug)]
pub struct Settings {
    pub policies: BTreeMap<ImageName, Arc<Policy>>,
    /// The limit of each account that a policy names.
    pub account_limits: BTreeMap<AccountName, u32>,
    /// Taps of one button for one key within this are one cause.
    pub button_fold: Duration,
    /// Where the jitter of waits comes from.
    pub seed: u64,
}

impl Settings {
    /// Semantics §4.
    pub const BUTTON_FOLD: Duration = Duration::from_secs(3);

    /// Accounts without limits.
    pub fn new(policies: impl IntoIterator<Item = (ImageName, Policy)>, seed: u64) -> Self {
        Self {
            policies: policies.into_iter().map(|(image, policy)| (image, Arc::new(policy))).collect(),
            account_limits: BTreeMap::new(),
            button_fold: Self::BUTTON_FOLD,
            seed,
        }
    }
}

/// What the journal holds of the scheduler's state.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// With their keys in them.
    pub lanes: Vec<LaneState>,
    pub hold: Option<Hold>,
    pub newest: Seq,
    pub newest_build: BuildId,
    pub deliveries: Vec<(Fingerprint, Remembered)>,
    pub outbox: StoredOutbox,
}

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// A source accepted a request.
    Arrived { delivery: Delivery, ticket: Ticket },
    /// A person's command.
    Commanded { command: Command, ticket: Ticket },
    /// The back-end answered the trigger call.
    Answered { image: ImageName, build: BuildId, answer: TriggerAnswer },
    /// The back-end answered a question, or failed to.
    Observed { image: ImageName, question: u64, answer: Result<Observation, ObserveError> },
    /// The back-end answered a request to cancel.
    CancelAnswered { image: ImageName, build: BuildId, answer: CancelAnswer },
    /// A hint that something changed: a reason to ask, never a fact to believe.
    Hinted { image: ImageName },
    /// The operator changed the rules.
    Configured(Settings),
    /// A notice was delivered, or could not be; why, in the receiver's words.
    Delivered { id: NoticeId, result: Result<(), String> },
    /// A remote showed the heads of its images, or failed to.
    Heads { remote: Arc<str>, question: u64, answer: Heads },
}

/// Identifies the caller that waits for a decision: given by the driver, returned with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Something to do outside. Its result comes back as an [`Input`].
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answer a request.
    Answer { ticket: Ticket, decision: Decision },
    /// Ask the back-end for a build.
    Trigger(BuildRequest),
    /// Ask the back-end what it holds for an image.
    Observe { image: ImageName, question: u64 },
    /// Ask a remote for the heads of its images.
    AskHeads { remote: Arc<str>, question: u64 },
    /// Ask the back-end to cancel one of its builds.
    Cancel { image: ImageName, build: BuildId, backend_id: BackendBuildId },
    /// Notify the operator; `attempt` counts from 1.
    Deliver { notice: Notice, attempt: u32 },
}

/// What was decided about a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Each request is an event now.
    Recorded { events: Vec<Arc<Event>> },
    /// It is a repeat; these events were made the first time.
    Repeated { first: Seq, count: u32 },
    /// The command went to these images.
    Executed { images: Vec<ImageName> },
    /// The command names an image that isn't configured.
    UnknownImage(ImageName),
}

/// What one call decided: facts to write, then effects to carry out.
#[derive(Debug)]
#[must_use = "commit the changes, then release the effects"]
pub struct Step {
    pub(super) changes: Changes,
    pub(super) effects: Vec<Effect>,
}

impl Step {
    /// What must be written: all of it or nothing.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The effects, released only against proof that the changes are on disk.
    pub fn release(self, _proof: Committed) -> impl Iterator<Item = Effect> {
        self.effects.into_iter()
    }
}
