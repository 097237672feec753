//! PURE: the notices that nobody has received yet.
//!
//! A notice is stored with the facts that made it and removed when it was delivered, so a crash between the two delivers
//! it once more and never loses it. Tries are counted in memory only: a receiver that fails costs no writes, and after a
//! restart each notice is due at once. What must never happen: a notice that goes without having been delivered, but for
//! one reason, that more than [`PENDING_MAX`] wait.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::Changes;
use crate::model::{ImageName, Timestamp};
use crate::notice::{Notice, NoticeId, NoticeKind};

/// The most notices that wait. Beyond it the oldest of those that matter least goes, whichever image it is about.
pub const PENDING_MAX: usize = 64;
/// A try that got no answer for this long is taken for failed. The driver's time limit is shorter.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);
/// The wait after the first failure; it doubles with each further one …
const FAILED_WAIT: Duration = Duration::from_secs(10);
/// … up to this.
const FAILED_WAIT_MAX: Duration = Duration::from_hours(1);

/// What the journal holds of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredOutbox {
    /// The newest number given.
    pub newest: NoticeId,
    /// In any order.
    pub pending: Vec<Notice>,
}

/// The notices that wait for their delivery.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    newest: NoticeId,
    pending: BTreeMap<NoticeId, Pending>,
}

#[derive(Clone, Debug)]
struct Pending {
    notice: Notice,
    /// How many tries were begun.
    attempts: u32,
    /// The next try; while one is under way, when that one counts as failed.
    due: Timestamp,
    under_way: bool,
}

impl Outbox {
    pub(super) fn recover(stored: StoredOutbox, now: Timestamp) -> Self {
        let mut outbox = Self { newest: stored.newest, pending: BTreeMap::new() };
        for notice in stored.pending {
            outbox.newest = outbox.newest.max(notice.id);
            outbox.pending.insert(notice.id, Pending { notice, attempts: 0, due: now, under_way: false });
        }
        outbox
    }

    /// The newest number given.
    pub(super) fn newest(&self) -> NoticeId {
        self.newest
    }

    /// The notices that wait, oldest first.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Notice> {
        self.pending.values().map(|pending| &pending.notice)
    }

    /// Takes in a notice, to be delivered at once.
    pub(super) fn add(&mut self, image: Option<ImageName>, kind: NoticeKind, now: Timestamp, changes: &mut Changes) {
        self.newest = self.newest.next();
        let notice = Notice { id: self.newest, at: now, image, kind };
        changes.notices.insert(notice.id, Some(notice.clone()));
        // The number is stored with the counters.
        changes.meta = true;
        self.pending.insert(notice.id, Pending { notice, attempts: 0, due: now, under_way: false });
        if self.pending.len() > PENDING_MAX {
            let least = self.pending().map(|notice| (notice.kind.severity(), notice.id)).min();
            least.into_iter().for_each(|(_, id)| self.remove(id, changes));
        }
    }

    /// Begins the tries whose time has come. Answers with each notice and the number of its try, from 1.
    pub(super) fn begin_due(&mut self, now: Timestamp) -> Vec<(Notice, u32)> {
        let mut begun = Vec::new();
        for pending in self.pending.values_mut().filter(|pending| pending.due <= now) {
            if pending.under_way {
                pending.fail(now);
                continue;
            }
            pending.attempts = pending.attempts.saturating_add(1);
            pending.under_way = true;
            pending.due = now.plus(ANSWER_LIMIT);
            begun.push((pending.notice.clone(), pending.attempts));
        }
        begun
    }

    /// Takes in what came of a try. One that comes late counts all the same: who has received it, has.
    pub(super) fn delivered(&mut self, id: NoticeId, received: bool, now: Timestamp, changes: &mut Changes) {
        if received {
            self.remove(id, changes);
        } else if let Some(pending) = self.pending.get_mut(&id).filter(|pending| pending.under_way) {
            pending.fail(now);
        }
    }

    /// When the next try is due, or one counts as failed.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.pending.values().map(|pending| pending.due).min()
    }

    fn remove(&mut self, id: NoticeId, changes: &mut Changes) {
        if self.pending.remove(&id).is_none() {
            return;
        }
        // One that was made in this very step was never written.
        if changes.notices.remove(&id).is_none() {
            changes.notices.insert(id, None);
        }
    }
}

impl Pending {
    fn fail(&mut self, now: Timestamp) {
        self.under_way = false;
        let doubled = FAILED_WAIT.saturating_mul(2u32.saturating_pow(self.attempts.saturating_sub(1).min(16)));
        self.due = now.plus(doubled.min(FAILED_WAIT_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BuildId;

    const NOW: Timestamp = Timestamp::from_millis(1_795_428_000_000);

    fn failed(build: u64) -> NoticeKind {
        NoticeKind::Failed { build: BuildId(build) }
    }

    fn unreadable() -> NoticeKind {
        NoticeKind::Unreadable { detail: "403".to_owned() }
    }

    fn ids(begun: &[(Notice, u32)]) -> Vec<(u64, u32)> {
        begun.iter().map(|(notice, attempt)| (notice.id.0, *attempt)).collect()
    }

    #[test]
    fn a_notice_is_written_when_it_is_made_and_removed_when_it_was_received() {
        let (mut outbox, mut made, mut done) = (Outbox::default(), Changes::default(), Changes::default());
        outbox.add(None, failed(7), NOW, &mut made);
        assert_eq!(made.notices.values().flatten().count(), 1);
        assert!(made.meta, "its number is stored");
        assert_eq!(ids(&outbox.begin_due(NOW)), [(1, 1)]);
        assert!(outbox.begin_due(NOW).is_empty(), "one try at a time");
        outbox.delivered(NoticeId(1), true, NOW, &mut done);
        assert_eq!(done.notices.get(&NoticeId(1)), Some(&None));
        assert_eq!(outbox.deadline(), None);
        outbox.delivered(NoticeId(1), true, NOW, &mut Changes::default());
    }

    #[test]
    fn tries_that_fail_or_are_never_answered_come_again_ever_more_seldom() {
        let (mut outbox, mut changes) = (Outbox::default(), Changes::default());
        outbox.add(None, failed(7), NOW, &mut changes);
        let (mut now, mut waits) = (NOW, Vec::new());
        let mut unwritten = Changes::default();
        for attempt in 1..=12 {
            assert_eq!(ids(&outbox.begin_due(now)), [(1, attempt)]);
            if attempt % 2 == 0 {
                outbox.delivered(NoticeId(1), false, now, &mut unwritten);
            } else {
                now = outbox.deadline().expect("the limit of the try");
                assert!(outbox.begin_due(now).is_empty(), "it failed, and waits");
            }
            let next = outbox.deadline().expect("the next try");
            waits.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]);
        assert!(unwritten.notices.is_empty(), "a receiver that fails costs no writes");
    }

    #[test]
    fn after_a_restart_all_are_due_at_once_and_numbers_go_on() {
        let pending: Vec<Notice> =
            [5, 3].map(|id| Notice { id: NoticeId(id), at: NOW, image: None, kind: failed(id) }).into();
        let mut outbox = Outbox::recover(StoredOutbox { newest: NoticeId(9), pending }, NOW);
        assert_eq!(ids(&outbox.begin_due(NOW)), [(3, 1), (5, 1)]);
        outbox.add(None, unreadable(), NOW, &mut Changes::default());
        assert_eq!(outbox.newest(), NoticeId(10));
    }

    #[test]
    fn beyond_the_limit_the_oldest_that_matters_least_goes() {
        let (mut outbox, mut before) = (Outbox::default(), Changes::default());
        outbox.add(None, unreadable(), NOW, &mut before);
        for build in 0..PENDING_MAX as u64 - 1 {
            outbox.add(None, failed(build), NOW, &mut before);
        }
        let mut changes = Changes::default();
        outbox.add(None, unreadable(), NOW, &mut changes);
        assert_eq!(changes.notices.get(&NoticeId(2)), Some(&None), "the first of the warnings");
        let mut unheard = Changes::default();
        outbox.add(None, NoticeKind::Unblocked, NOW, &mut unheard);
        assert!(unheard.notices.is_empty(), "it matters less than all that wait: it was made and goes");
        assert_eq!(outbox.pending().count(), PENDING_MAX);
    }
}
