//! PURE: the notices not yet delivered.
//!
//! A notice is stored with the facts that caused it and removed once delivered, so a crash between the two delivers
//! it again and never loses it. Tries are counted in memory only: a receiver that fails costs no writes, and after a
//! restart each notice is due at once. What must never happen: a notice dropped undelivered, except for
//! one reason: more than [`PENDING_MAX`] are pending.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::Changes;
use crate::model::Timestamp;
use crate::notice::{Notice, NoticeId};

/// The most pending notices. Beyond this the oldest of those that matter least is dropped, whatever its image.
pub const PENDING_MAX: usize = 64;
/// A try without an answer for this long counts as failed. The driver's time limit is shorter.
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

/// The pending notices.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    pending: BTreeMap<NoticeId, Pending>,
}

#[derive(Clone, Debug)]
struct Pending {
    notice: Notice,
    /// How many tries were started.
    attempts: u32,
    /// The next try; while one is in flight, when it counts as failed.
    due: Timestamp,
    under_way: bool,
}

impl Outbox {
    /// Loads what the journal holds, each due at once.
    pub(super) fn recover(stored: Vec<Notice>, now: Timestamp) -> Self {
        Self { pending: stored.into_iter().map(|notice| (notice.id, Pending::new(notice, now))).collect() }
    }

    /// The pending notices, oldest first.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Notice> {
        self.pending.values().map(|pending| &pending.notice)
    }

    /// Adds a notice, to be delivered at once.
    pub(super) fn add(&mut self, notice: Notice, changes: &mut Changes) {
        changes.notices.insert(notice.id, Some(notice.clone()));
        let due = notice.at;
        self.pending.insert(notice.id, Pending::new(notice, due));
        if self.pending.len() > PENDING_MAX {
            let least = self.pending().map(|notice| (notice.kind.severity(), notice.id)).min();
            if let Some((_, id)) = least {
                self.remove(id, changes);
            }
        }
    }

    /// Starts the tries that are due. Returns each notice and the number of its try, from 1.
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

    /// Handles the result of a try. A late one still counts: what was delivered stays delivered.
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
        // One made in this very step was never written.
        if changes.notices.remove(&id).is_none() {
            changes.notices.insert(id, None);
        }
    }
}

impl Pending {
    fn new(notice: Notice, due: Timestamp) -> Self {
        Self { notice, attempts: 0, due, under_way: false }
    }

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
    use crate::notice::NoticeKind;

    const NOW: Timestamp = Timestamp::from_millis(1_795_428_000_000);

    fn notice(id: u64, kind: NoticeKind) -> Notice {
        Notice { id: NoticeId(id), at: NOW, image: None, kind }
    }

    fn failed(id: u64) -> Notice {
        notice(id, NoticeKind::Failed { build: BuildId(id) })
    }

    fn unreadable(id: u64) -> Notice {
        notice(id, NoticeKind::Unreadable { detail: "403".to_owned() })
    }

    fn ids(begun: &[(Notice, u32)]) -> Vec<(u64, u32)> {
        begun.iter().map(|(notice, attempt)| (notice.id.0, *attempt)).collect()
    }

    #[test]
    fn a_notice_is_written_when_it_is_made_and_removed_when_it_was_received() {
        let (mut outbox, mut made, mut done) = (Outbox::default(), Changes::default(), Changes::default());
        outbox.add(failed(1), &mut made);
        assert_eq!(made.notices.values().flatten().count(), 1);
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
        outbox.add(failed(1), &mut changes);
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
    fn after_a_restart_all_are_due_at_once() {
        let later = NOW.plus(Duration::from_hours(2));
        let mut outbox = Outbox::recover(vec![failed(5), failed(3)], later);
        assert_eq!(outbox.deadline(), Some(later));
        assert_eq!(ids(&outbox.begin_due(later)), [(3, 1), (5, 1)]);
    }

    #[test]
    fn beyond_the_limit_the_oldest_that_matters_least_goes() {
        let (mut outbox, mut before) = (Outbox::default(), Changes::default());
        outbox.add(unreadable(1), &mut before);
        let most = PENDING_MAX as u64;
        (2..=most).for_each(|id| outbox.add(failed(id), &mut before));
        let mut changes = Changes::default();
        outbox.add(unreadable(most + 1), &mut changes);
        assert_eq!(changes.notices.get(&NoticeId(2)), Some(&None), "the first of the warnings");
        let mut unheard = Changes::default();
        outbox.add(notice(most + 2, NoticeKind::Unblocked), &mut unheard);
        assert!(unheard.notices.is_empty(), "it matters less than all that wait: it was made and goes");
        assert_eq!(outbox.pending().count(), PENDING_MAX);
    }
}
