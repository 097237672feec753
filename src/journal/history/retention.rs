//! What may be forgotten: pages of history that are too old or too many, oldest first, with the closures of their
//! events; and builds that ended long ago.

use std::collections::BTreeMap;

use super::page::{self, Record};
use super::{Reader, keys, parse};
use crate::journal::error::JournalError;
use crate::model::{BuildId, Seq, Timestamp};
use crate::scheduler::record::BuildRecord;

/// What may be forgotten in this step.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Events and builds before this time.
    pub before: Timestamp,
    /// Events below this number, however recent: there are too many.
    pub below: Seq,
    /// Builds below this number that have ended: there are too many.
    pub builds_below: BuildId,
    /// Nothing from this number on, which is the oldest open event's.
    pub keep_from: Seq,
}

#[cfg(test)]
impl Retention {
    /// Nothing may be forgotten.
    pub(in crate::journal) const NOTHING: Self =
        Self { before: Timestamp::from_millis(0), below: Seq(0), builds_below: BuildId(0), keep_from: Seq(0) };
}

/// The oldest page: its key, and its newest event.
#[derive(Clone, Debug)]
pub(in crate::journal) struct Oldest {
    key: Vec<u8>,
    last: Seq,
    last_at: Timestamp,
}

impl Oldest {
    fn may_go(&self, retention: &Retention) -> bool {
        self.last < retention.keep_from && (self.last_at < retention.before || self.last < retention.below)
    }
}

impl Reader {
    /// The keys of the entries to remove: a limited number of pages, with their closures. `oldest` says where the last
    /// call ended, so that nothing is read while nothing can be forgotten.
    pub(in crate::journal) fn outdated_pages(
        &self,
        retention: &Retention,
        limit: usize,
        oldest: &mut Option<Oldest>,
    ) -> Result<Vec<Vec<u8>>, JournalError> {
        let mut gone = Vec::new();
        let mut from = keys::page_key(Seq(0));
        for _ in 0..limit {
            let page = match oldest.take() {
                Some(known) => Some(known),
                None => self.page_from(&from)?,
            };
            let Some(page) = page else { break };
            if !page.may_go(retention) {
                *oldest = Some(page);
                break;
            }
            self.take_along(&page.key, &mut gone)?;
            from.clone_from(&page.key);
            // The next greater key.
            from.push(0);
            gone.push(page.key);
        }
        Ok(gone)
    }

    /// The keys of the build entries to remove, for a limited number of builds.
    pub(in crate::journal) fn outdated_builds(
        &self,
        retention: &Retention,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, JournalError> {
        let mut gone = Vec::new();
        let mut left = limit;
        let mut failed = None;
        self.scan(b"b", b"c", false, &mut |_, value| match parse::<BuildRecord>(value) {
            Ok(build) => {
                let too_many = build.id < retention.builds_below;
                match build.finished_at {
                    Some(at) if (at < retention.before || too_many) && left > 0 => {
                        gone.extend(keys::build_entries(&build));
                        left -= 1;
                        true
                    }
                    Some(_) => false,
                    // A live build, or one whose end will never be seen, doesn't keep later ones from being deleted.
                    None => true,
                }
            }
            Err(error) => {
                failed = Some(error);
                false
            }
        })?;
        failed.map_or(Ok(gone), Err)
    }

    fn page_from(&self, from: &[u8]) -> Result<Option<Oldest>, JournalError> {
        let mut found = Ok(None);
        self.scan(from, b"f", false, &mut |key, value| {
            let mut page = Oldest { key: key.to_vec(), last: Seq(0), last_at: Timestamp::from_millis(0) };
            let read = page::read(value, |record| {
                let (seq, at) = match record {
                    Record::Event(event) => (event.seq, event.at),
                    Record::Seen { first, at, .. } => (first, at),
                };
                page.last = page.last.max(Seq(seq));
                page.last_at = page.last_at.max(Timestamp::from_millis(at));
            });
            found = read.map(|()| Some(page));
            false
        })?;
        found
    }

    /// The closures left without events once this page is gone: those of its keys up to the last of their events in it.
    /// Earlier pages are gone already.
    fn take_along(&self, page_key: &[u8], gone: &mut Vec<Vec<u8>>) -> Result<(), JournalError> {
        let Some(value) = self.entries.get(page_key)? else { return Ok(()) };
        let mut newest: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        page::read(&value, |record| {
            if let Record::Event(event) = record
                && let (Some(image), Some(git_ref)) = (event.image, event.git_ref)
            {
                newest.insert((image, git_ref), event.seq);
            }
        })?;
        for ((image, git_ref), seq) in newest {
            let from = keys::closure_key_of(image, git_ref, Seq(0));
            let to = keys::closure_key_of(image, git_ref, Seq(seq).next());
            self.scan(&from, &to, false, &mut |key, _| {
                gone.push(key.to_vec());
                true
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::build::{BuildState, Outcome};
    use crate::event::{Cause, CauseKind, Closure, End, Event, Verdict};
    use crate::journal::{Fate, MemoryJournal, Put};
    use crate::model::{GitRef, ImageName};

    const OLD: Timestamp = Timestamp::from_millis(1_000);
    const NOW: Timestamp = Timestamp::from_millis(9_000);

    fn image() -> ImageName {
        "acme/web".parse().expect("an image")
    }

    fn event(seq: u64, accepted_at: Timestamp) -> Event {
        Event {
            seq: Seq(seq),
            accepted_at,
            image: Some(image()),
            git_ref: Some(GitRef::branch("master").expect("a ref")),
            commit: None,
            cause: Arc::new(Cause::new(CauseKind::Push, "github")),
            verdict: Verdict::Opened,
        }
    }

    fn build(id: u64, finished_at: Option<Timestamp>) -> BuildRecord {
        BuildRecord {
            id: BuildId(id),
            image: image(),
            git_ref: None,
            state: BuildState::Finished,
            outcome: Some(Outcome::Success),
            foreign: false,
            backend_ids: Vec::new(),
            commit: None,
            triggered_at: None,
            started_at: None,
            finished_at,
            span: None,
            events: 0,
            log_url: None,
            note: None,
            cancelled_by: None,
        }
    }

    fn put<T: serde::Serialize>(key: Vec<u8>, value: &T) -> Put {
        Put { key, value: Some(serde_json::to_vec(value).expect("an entry")) }
    }

    const KEEP_ALL: Retention = Retention {
        before: Timestamp::from_millis(0),
        below: Seq(0),
        builds_below: BuildId(0),
        keep_from: Seq(u64::MAX),
    };

    /// Forgets as a store does: call after call, until nothing more can be forgotten.
    fn forget(journal: &MemoryJournal, retention: &Retention, limit: usize) {
        let mut oldest = None;
        loop {
            let reader = journal.reader();
            let mut gone = reader.outdated_pages(retention, limit, &mut oldest).expect("readable");
            gone.extend(reader.outdated_builds(retention, limit).expect("readable"));
            if gone.is_empty() {
                break;
            }
            let _committed = journal.commit(gone.into_iter().map(|key| Put { key, value: None }).collect());
        }
    }

    /// Events 1 and 2 are old and 3 is recent; each has its own page, as if each came in its own step.
    fn journal() -> MemoryJournal {
        let journal = MemoryJournal::default();
        for event in [event(1, OLD), event(2, OLD), event(3, NOW)] {
            let mut puts = Vec::new();
            page::pack(&[Arc::new(event)], &[], &mut puts);
            let _committed = journal.commit(puts);
        }
        let git_ref = GitRef::branch("master").expect("a ref");
        let closure = |through: u64, build: u64| {
            let closure = Closure { at: OLD, end: End::BuiltBy(BuildId(build)) };
            put(keys::closure_key(&image(), &git_ref, Seq(through)), &closure)
        };
        let builds = [build(1, None), build(2, Some(OLD)), build(3, Some(NOW))];
        let mut puts = vec![closure(2, 2), closure(3, 3)];
        puts.extend(builds.iter().map(|build| put(keys::build_key(build.id), build)));
        let _committed = journal.commit(puts);
        journal
    }

    fn numbers(journal: &MemoryJournal) -> Vec<u64> {
        let query = crate::journal::EventQuery { limit: 10, ..Default::default() };
        journal.reader().events(&query).expect("readable").iter().map(|event| event.seq.0).collect()
    }

    fn built_by(journal: &MemoryJournal, seq: u64) -> Option<u64> {
        let git_ref = GitRef::branch("master").expect("a ref");
        match journal.reader().fate(&image(), &git_ref, Seq(seq)).expect("readable") {
            Fate::Ended(Closure { end: End::BuiltBy(build), .. }) => Some(build.0),
            _ => None,
        }
    }

    #[test]
    fn what_ended_long_ago_is_forgotten_with_its_closures_and_nothing_that_is_kept_loses_its_own() {
        let journal = journal();
        forget(&journal, &Retention { keep_from: Seq(2), before: NOW, ..KEEP_ALL }, 10);
        assert_eq!(numbers(&journal), [3, 2], "event 2 is the oldest open one");
        assert_eq!(built_by(&journal, 2), Some(2), "event 2 is kept, and with it what became of it");

        forget(&journal, &Retention { before: NOW, ..KEEP_ALL }, 1);
        assert_eq!(numbers(&journal), [3]);
        assert_eq!(built_by(&journal, 2), Some(3), "the closure went with the last of its events");
        let reader = journal.reader();
        assert_eq!(reader.build(BuildId(2)).expect("readable"), None, "one without an end is in its way");
        assert!(reader.build(BuildId(1)).expect("readable").is_some(), "a build without an end may live");
        assert!(reader.build(BuildId(3)).expect("readable").is_some());
    }

    #[test]
    fn too_many_are_forgotten_though_they_are_young() {
        let journal = journal();
        forget(&journal, &Retention { below: Seq(3), builds_below: BuildId(3), ..KEEP_ALL }, 10);
        assert_eq!(numbers(&journal), [3]);
        assert_eq!(journal.reader().build(BuildId(2)).expect("readable"), None);
        forget(&journal, &KEEP_ALL, 10);
        assert_eq!(numbers(&journal), [3], "nothing more");
    }

    #[test]
    fn an_event_is_found_in_a_page_of_many_by_all_that_is_asked_for() {
        let journal = MemoryJournal::default();
        let events: Vec<_> = (1..=100)
            .map(|seq| {
                let commit = format!("{seq:040x}").parse().expect("a commit");
                let cause = Cause::new(CauseKind::Push, "github").delivery(Some(&format!("delivery-{seq}")));
                Arc::new(Event { commit: Some(commit), cause: Arc::new(cause), ..event(seq, OLD) })
            })
            .collect();
        let mut puts = Vec::new();
        page::pack(&events, &[], &mut puts);
        assert!(puts.len() > 1, "more than one page");
        let _committed = journal.commit(puts);
        let reader = journal.reader();
        for seq in [1, 50, 100] {
            assert_eq!(
                reader.event(Seq(seq)).expect("readable").as_ref(),
                Some(&*events[usize::try_from(seq).expect("small") - 1])
            );
        }
        assert_eq!(reader.event(Seq(101)).expect("readable"), None);
        let ask = |query: crate::journal::EventQuery| {
            let found = reader.events(&query).expect("readable");
            found.iter().map(|event| event.seq.0).collect::<Vec<_>>()
        };
        let all = crate::journal::EventQuery { limit: 3, ..Default::default() };
        assert_eq!(ask(all.clone()), [100, 99, 98]);
        assert_eq!(ask(crate::journal::EventQuery { sha: Some(format!("{:039x}", 1)), ..all.clone() }), [31, 30, 29]);
        assert_eq!(ask(crate::journal::EventQuery { delivery: Some("delivery-7".to_owned()), ..all.clone() }), [7]);
        assert_eq!(ask(crate::journal::EventQuery { before: Some(events[49].id()), ..all.clone() }), [49, 48, 47]);
        assert_eq!(ask(crate::journal::EventQuery { since: Some(NOW), ..all }), [0; 0]);
        let git_ref = GitRef::branch("master").expect("a ref");
        let span = reader.span(&image(), &git_ref, (Seq(10), Seq(90)), 2).expect("readable");
        assert_eq!(span.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [89, 90]);
    }
}
