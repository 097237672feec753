//! PURE: one step in progress: its moment, the numbers still to assign, and what was decided so far.

use std::collections::BTreeSet;

use super::record::Changes;
use super::step::{Effect, Step};
use crate::model::{BuildId, ImageName, Seq, Timestamp};
use crate::notice::{Notice, NoticeId, NoticeKind};
use crate::random;

/// What every decision of one step reads and adds to.
pub(super) struct Turn {
    /// The one moment of all the step's decisions.
    pub(super) now: Timestamp,
    pub(super) ids: Ids,
    /// Where the jitter of waits comes from.
    pub(super) seed: u64,
    pub(super) changes: Changes,
    pub(super) effects: Vec<Effect>,
    /// The notices that the step makes.
    pub(super) notices: Vec<Notice>,
    /// Images to look at before the step ends.
    pub(super) touched: BTreeSet<ImageName>,
}

/// The newest number of each kind. During a step, only its turn knows them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ids {
    pub(super) event: Seq,
    pub(super) build: BuildId,
    pub(super) notice: NoticeId,
    /// Not stored: a question does not outlive the process.
    pub(super) question: u64,
}

impl Turn {
    pub(super) fn new(now: Timestamp, ids: Ids, seed: u64) -> Self {
        let (changes, touched) = (Changes::default(), BTreeSet::new());
        Self { now, ids, seed, changes, effects: Vec::new(), notices: Vec::new(), touched }
    }

    pub(super) fn next_event(&mut self) -> Seq {
        self.changes.meta = true;
        self.ids.event = self.ids.event.next();
        self.ids.event
    }

    pub(super) fn next_build(&mut self) -> BuildId {
        self.changes.meta = true;
        self.ids.build = BuildId(self.ids.build.0 + 1);
        self.ids.build
    }

    pub(super) fn next_question(&mut self) -> u64 {
        self.ids.question += 1;
        self.ids.question
    }

    /// Notifies the operator as part of this step; `image` is what the notice is about.
    pub(super) fn notify(&mut self, image: Option<&ImageName>, kind: NoticeKind) {
        self.changes.meta = true;
        self.ids.notice = self.ids.notice.next();
        self.notices.push(Notice { id: self.ids.notice, at: self.now, image: image.cloned(), kind });
    }

    /// A pseudo-random number, the same for the same seed and number of a build or question.
    pub(super) fn jitter(&self, number: u64) -> u64 {
        random::mix(self.seed ^ number.wrapping_mul(random::STRIDE))
    }

    pub(super) fn into_step(self) -> Step {
        Step { changes: self.changes, effects: self.effects }
    }
}
