//! PURE: a question in flight to a back-end or a remote, and when the next is due.

use std::time::Duration;

use crate::model::{Seq, Timestamp};

/// A question without an answer for this long counts as lost. The driver's time limit is shorter.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);

#[derive(Clone, Debug)]
pub struct Question {
    pub id: u64,
    pub at: Timestamp,
    /// The newest number when it was asked.
    pub through: Seq,
}

impl Question {
    /// When it counts as lost.
    pub(super) fn lost_at(&self) -> Timestamp {
        self.at.plus(ANSWER_LIMIT)
    }
}

/// The questions put to a back-end. Not stored: after a restart it is asked at once.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    pub asked: Option<Question>,
    pub next_at: Option<Timestamp>,
    pub wait: Duration,
}
