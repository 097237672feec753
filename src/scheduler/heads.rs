//! PURE: compares the heads of remotes with the commits that events asked for (semantics R11).
//!
//! A webhook that never arrived costs time, not the build: a head that no event asked for becomes a *recovered*
//! event. A head is compared with its ref's known commit: the one last asked for, seen, or skipped.
//! What must never happen: an event for a head that is older than a push which came while the remote was asked,
//! and a flood of events for refs that are only new to us.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::lane::{HEADS_MAX, Lane};
use super::question::Question;
use super::record::Fact;
use super::step::Effect;
use super::turn::Turn;
use crate::event::{Cause, CauseKind, Disposition, NewEvent};
use crate::model::{CommitId, GitRef, ImageName, RefKind, Seq, Timestamp};
use crate::notice::NoticeKind;
use crate::remote::{Heads, RemoteHead};

/// The most recovered events that one answer makes for one image; the next answer brings the rest.
pub const RECOVERED_PER_ANSWER: usize = 256;
/// The most remotes asked at the same time; the others wait their turn.
pub const ASKED_MAX: usize = 4;
/// The wait after the first failure; it doubles with each further one …
const FAILED_WAIT: Duration = Duration::from_mins(1);
/// … up to this, or to the interval between questions if that is longer.
const FAILED_WAIT_MAX: Duration = Duration::from_hours(1);
/// The source's name in recovered events.
pub const SOURCE: &str = "remote";

/// One remote: its images, and when it is asked. Not stored: after a restart it is asked at once.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    images: BTreeSet<ImageName>,
    /// The shortest interval of its images.
    every: Duration,
    asked: Option<Question>,
    next_at: Timestamp,
    /// How many consecutive times it could not be read.
    failures: u32,
}

/// The remotes of all images that have one, due at once.
pub(super) fn remotes(scheduler: &Scheduler, now: Timestamp) -> BTreeMap<Arc<str>, Remote> {
    let mut remotes: BTreeMap<Arc<str>, Remote> = BTreeMap::new();
    for (image, controller) in &scheduler.images {
        let Some(reconcile) = &controller.policy.reconcile else { continue };
        // Report that it can be read again only if a failure was reported.
        let failures = scheduler.remotes.get(&reconcile.remote).map_or(0, |before| before.failures);
        let fresh = || Remote { images: BTreeSet::new(), every: reconcile.every, asked: None, next_at: now, failures };
        let remote = remotes.entry(reconcile.remote.clone()).or_insert_with(fresh);
        remote.every = remote.every.min(reconcile.every);
        remote.images.insert(image.clone());
    }
    remotes
}

impl Scheduler {
    /// When the next remote is due to be asked, or to be given up.
    pub(super) fn next_heads(&self) -> Option<Timestamp> {
        let asked = || self.remotes.values().filter_map(|remote| remote.asked.as_ref());
        let given_up = asked().map(Question::lost_at).min();
        if asked().count() >= ASKED_MAX {
            return given_up;
        }
        let idle = self.remotes.values().filter(|remote| remote.asked.is_none());
        idle.map(|remote| remote.next_at).chain(given_up).min()
    }

    /// Asks the remotes that are due, the longest overdue first.
    pub(super) fn ask_heads(&mut self, turn: &mut Turn) {
        for remote in self.remotes.values_mut() {
            if remote.asked.take_if(|asked| asked.lost_at() <= turn.now).is_some() {
                remote.fail(None, turn);
            }
        }
        let mut free = ASKED_MAX.saturating_sub(self.remotes.values().filter(|remote| remote.asked.is_some()).count());
        let due = self.remotes.iter().filter(|(_, remote)| remote.asked.is_none() && remote.next_at <= turn.now);
        let mut due: Vec<(Timestamp, Arc<str>)> = due.map(|(name, remote)| (remote.next_at, name.clone())).collect();
        due.sort();
        for (_, name) in due {
            if free == 0 {
                break;
            }
            free -= 1;
            let question = Question { id: turn.next_question(), at: turn.now, through: turn.ids.event };
            turn.effects.push(Effect::AskHeads { remote: name.clone(), question: question.id });
            if let Some(remote) = self.remotes.get_mut(&name) {
                remote.asked = Some(question);
            }
        }
    }

    /// Handles a remote's answer. The answer to a question that was given up is ignored.
    pub(super) fn heads_answered(&mut self, name: &Arc<str>, question: u64, heads: Heads, turn: &mut Turn) {
        let Some(remote) = self.remotes.get_mut(name) else { return };
        let Some(asked) = remote.asked.take_if(|asked| asked.id == question) else { return };
        match heads {
            Err(detail) => remote.fail(Some(detail), turn),
            Ok(heads) => {
                remote.next_at = turn.now.plus(remote.every);
                if std::mem::take(&mut remote.failures) > 0 {
                    turn.notify(remote.images.first(), NoticeKind::RemoteReadable);
                }
                let images = remote.images.clone();
                for (image, heads) in heads.into_iter().filter(|(image, _)| images.contains(image)) {
                    self.compare(&image, heads, asked.through, turn);
                }
            }
        }
    }

    /// Makes recovered events of one image's heads that no event asked for, and remembers the others.
    fn compare(&mut self, image: &ImageName, heads: BTreeMap<GitRef, RemoteHead>, asked_through: Seq, turn: &mut Turn) {
        let Some(controller) = self.images.get_mut(image) else { return };
        let Some(reconcile) = &controller.policy.reconcile else { return };
        let complete = heads.len() <= HEADS_MAX;
        let unknown_is_new = complete && controller.lane.heads_by.as_deref() == Some(&*reconcile.rules);
        let heads_by = complete.then(|| reconcile.rules.to_string());
        let known = &controller.lane.heads;
        let crowded = complete && known.len() + heads.len() > HEADS_MAX;
        let gone: Vec<GitRef> = known.keys().filter(|known| crowded && !heads.contains_key(*known)).cloned().collect();
        let room = HEADS_MAX.saturating_sub(known.len() - gone.len());
        let (mut seen, mut missed) = (BTreeMap::new(), Vec::new());
        for (git_ref, head) in heads {
            match judge(&controller.lane, &git_ref, &head, asked_through) {
                Judgement::AskedFor => {
                    seen.insert(git_ref, head.commit);
                }
                Judgement::NeverSeen if unknown_is_new => missed.push((git_ref, head.commit, None)),
                Judgement::NeverSeen if seen.len() < room => {
                    seen.insert(git_ref, head.commit);
                }
                // Unchanged, or there is no room to remember it.
                Judgement::Known | Judgement::NeverSeen => {}
                Judgement::Missed { before } => missed.push((git_ref, head.commit, Some(before))),
            }
        }
        if !seen.is_empty() || !gone.is_empty() || controller.lane.heads_by != heads_by {
            controller.lane.apply(Fact::HeadsSeen { heads: seen, gone, by: heads_by }, &mut turn.changes);
            // A journal is read back by its head, and this may be its first entry.
            turn.changes.meta = true;
        }
        turn.touched.insert(image.clone());
        for (git_ref, commit, before) in missed.into_iter().take(RECOVERED_PER_ANSWER) {
            self.recover_push(image, git_ref, commit, before, turn);
        }
    }

    /// A push that no delivery reported.
    fn recover_push(
        &mut self,
        image: &ImageName,
        git_ref: GitRef,
        commit: CommitId,
        before: Option<CommitId>,
        turn: &mut Turn,
    ) {
        let immediate = git_ref.kind() == RefKind::Tag;
        let new_event = NewEvent {
            image: Some(image.clone()),
            git_ref: Some(git_ref),
            commit: Some(commit),
            before,
            disposition: Disposition::Build { immediate, manual: false, ensure: false },
        };
        let event = self.accept(new_event, &Arc::new(Cause::new(CauseKind::Recovered, SOURCE)), turn);
        turn.changes.events.push(event);
        turn.changes.meta = true;
    }
}

impl Remote {
    /// Ask again later, ever less often. Notify the operator once, until it can be read again.
    fn fail(&mut self, detail: Option<String>, turn: &mut Turn) {
        self.next_at = turn.now.plus(failed_wait(self.every, self.failures));
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            turn.notify(self.images.first(), NoticeKind::RemoteUnreadable { detail });
        }
    }
}

/// How a head compares with what is known.
enum Judgement {
    /// Unchanged, or a push came while the remote was asked and is newer.
    Known,
    /// An event or build already asked for it, or shows it: remember it.
    AskedFor,
    /// Nothing is known of its ref.
    NeverSeen,
    Missed {
        before: CommitId,
    },
}

fn judge(lane: &Lane, git_ref: &GitRef, head: &RemoteHead, asked_through: Seq) -> Judgement {
    let key = lane.keys.get(git_ref);
    if key.is_some_and(|key| key.moved > asked_through) {
        return Judgement::Known;
    }
    let is_head = |commit: &CommitId| {
        commit.same_as(&head.commit) || head.tag_object.as_ref().is_some_and(|object| commit.same_as(object))
    };
    let known = lane.known_head(git_ref);
    if known.is_some_and(is_head) {
        return Judgement::Known;
    }
    let built = key.and_then(|key| key.built.as_ref()).filter(|_| !lane.is_under_way(git_ref));
    if built.is_some_and(is_head) || lane.asks_for(git_ref, is_head) {
        return Judgement::AskedFor;
    }
    known.map_or(Judgement::NeverSeen, |before| Judgement::Missed { before: before.clone() })
}

fn failed_wait(every: Duration, failures: u32) -> Duration {
    let first = FAILED_WAIT.min(every);
    first.saturating_mul(2u32.saturating_pow(failures.min(16))).min(FAILED_WAIT_MAX.max(every))
}
