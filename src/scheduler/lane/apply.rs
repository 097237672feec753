//! PURE: how one fact changes a lane, and what is to be written of it. Nothing else may change a lane.

use std::sync::Arc;
use std::time::Duration;

use super::{HEADS_MAX, Key, Lane, Live, Phase, Queued, Refusal, Running};
use crate::build::{BackendBuildId, BuildState, Outcome};
use crate::event::{Closure, End};
use crate::model::{BuildId, GitRef, Seq, Timestamp};
use crate::reason::{BuildNote, EndReason, UncertainReason};
use crate::scheduler::open::Open;
use crate::scheduler::record::{BuildRecord, Changes, Cover, Fact, Record};

/// How many of the back-end's builds that ended are remembered, so that none is taken for a new one.
const CLAIMED_MAX: usize = 24;

impl Lane {
    /// Changes this lane by one fact and notes in `changes` what is to be written.
    ///
    /// # Panics
    ///
    /// If the fact names a build that doesn't live: the decisions and the state have parted, and going on
    /// could lose a push.
    pub(in crate::scheduler) fn apply(&mut self, fact: Fact, changes: &mut Changes) {
        changes.lanes.insert(self.image.clone());
        if !fact.is_about_a_key_alone() {
            changes.lane_rows.insert(self.image.clone());
        }
        self.change(&fact, changes);
        changes.records.push(Record { image: self.image.clone(), fact });
    }

    fn change(&mut self, fact: &Fact, changes: &mut Changes) {
        match fact {
            Fact::Opened { git_ref, group, tap } => {
                let key = self.key(git_ref, changes);
                if group.commit.is_some() {
                    key.wanted.clone_from(&group.commit);
                    key.moved = group.last;
                }
                match &mut key.open {
                    Some(open) => open.fold(group.clone()),
                    None => key.open = Some(Open::new(group.clone())),
                }
                if tap.is_some() {
                    key.tap.clone_from(tap);
                }
            }
            Fact::Closed { git_ref, end, at } => {
                let key = self.key(git_ref, changes);
                // Whoever taps after this wants what has just been ended.
                key.tap = None;
                if let Some(open) = key.open.take() {
                    self.close(git_ref, &open, &Closure { at: *at, end: end.clone() }, changes);
                }
            }
            Fact::Expedited { git_ref, at } => {
                if let Some(open) = &mut self.key(git_ref, changes).open {
                    open.expedite(*at);
                }
            }
            Fact::Intended { build, git_ref, through, at } => self.intend(*build, git_ref, *through, *at, changes),
            Fact::Accepted { at, backend_id, .. } => {
                // "Accepted" is not "started": until a start is seen, the waits between tries go on growing.
                self.refusal.take_if(|refusal| refusal.blocked);
                let queued = self.queued.as_mut().expect("only a build in the waiting place is triggered");
                queued.phase = Phase::Accepted;
                queued.live.record.state = BuildState::Queued;
                queued.live.answered_at = Some(*at);
                queued.live.named = backend_id.is_some();
                queued.live.record.backend_ids.extend(backend_id.clone());
                changes.write(&queued.live.record);
            }
            Fact::BecameUncertain { at, reason, .. } => {
                let queued = self.queued.as_mut().expect("only a build in the waiting place is triggered");
                queued.phase =
                    Phase::Uncertain { since: *at, pending: matches!(reason, UncertainReason::AlreadyPending { .. }) };
                queued.live.record.state = BuildState::Uncertain;
                queued.live.record.note = Some(BuildNote::Uncertain(reason.clone()));
                changes.write(&queued.live.record);
            }
            Fact::Refused { at, reason, again_at, blocked, .. } => {
                let reason = EndReason::Refused(reason.clone());
                let times = self.refusal.as_ref().map_or(0, |refusal| refusal.times) + 1;
                let since = self.refusal.as_ref().map_or(*at, |refusal| refusal.since);
                self.refusal =
                    Some(Refusal { times, since, again_at: *again_at, reason: reason.clone(), blocked: *blocked });
                let mut live = self.queued.take().expect("only a build in the waiting place is refused").live;
                self.reopen(&mut live, changes);
                live.end(*at, Outcome::NotStarted, Some(reason));
                self.archive(live, changes);
            }
            Fact::Attached { build, backend_ids, only_through } => {
                self.foreign.retain(|known| !backend_ids.contains(&known.backend_id));
                let live = self.live_mut(*build);
                live.record.backend_ids.extend(backend_ids.iter().cloned());
                if let Some(only_through) = only_through {
                    live.through = live.through.min(*only_through);
                }
                changes.write(&live.record);
                if let Some(queued) = self.queued.as_mut().filter(|queued| queued.live.record.id == *build)
                    && matches!(queued.phase, Phase::Uncertain { .. })
                {
                    queued.phase = Phase::Accepted;
                    queued.live.record.state = BuildState::Queued;
                    changes.write(&queued.live.record);
                }
            }
            Fact::StillQueued { build, through } => {
                let live = self.live_mut(*build);
                live.through = live.through.max(*through);
            }
            Fact::Started { at, cover, assumed_until, .. } => self.start(*at, cover, *assumed_until, changes),
            Fact::CoverChanged { build, at, cover } => self.recompute_coverage(*build, *at, cover, changes),
            Fact::Missing { build, since } => self.live_mut(*build).missing_since = *since,
            Fact::NeverStarted { at, outcome, reason, cancelled_by, again_at, .. } => {
                let mut live = self.queued.take().expect("a build that never started is in the waiting place").live;
                if let (Some(actor), Some(git_ref), Some(carries)) =
                    (cancelled_by, live.record.git_ref.clone(), &live.carries)
                {
                    let end = End::Cancelled { build: live.record.id, actor: actor.clone() };
                    self.close(&git_ref, carries, &Closure { at: *at, end }, changes);
                } else {
                    self.reopen(&mut live, changes);
                }
                if let Some(again_at) = again_at {
                    let times = self.refusal.as_ref().map_or(0, |refusal| refusal.times) + 1;
                    let since = self.refusal.as_ref().map_or(*at, |refusal| refusal.since);
                    self.refusal =
                        Some(Refusal { times, since, again_at: *again_at, reason: reason.clone(), blocked: false });
                }
                live.end(*at, *outcome, Some(reason.clone()));
                self.archive(live, changes);
            }
            Fact::Finished { build, at, outcome, log_url, reason, reopened } => {
                self.finish(*build, *at, *outcome, log_url.as_ref(), reason.as_ref(), *reopened, changes);
            }
            Fact::CancelAsked { build, actor } => self.live_mut(*build).cancelled_by = Some(actor.clone()),
            Fact::Overlapped => self.overlaps = true,
            Fact::Held(hold) => self.hold.clone_from(hold),
            Fact::Unblocked => self.refusal = None,
            Fact::ForeignSeen(seen) => {
                self.foreign.retain(|known| known.backend_id != seen.backend_id);
                self.foreign.push(seen.clone());
                changes.write(&self.foreign_record(seen));
            }
            Fact::ForeignEnded { id, at, outcome, covered } => {
                if let Some(index) = self.foreign.iter().position(|known| known.id == *id) {
                    let known = self.foreign.remove(index);
                    let mut record = self.foreign_record(&known);
                    record.state = BuildState::Finished;
                    record.outcome = Some(*outcome);
                    record.finished_at = Some(*at);
                    changes.write(&record);
                    self.remember(known.backend_id);
                }
                for (git_ref, through) in covered {
                    self.cover_key(git_ref, *through, *id, *at, changes);
                }
            }
            Fact::HeadMoved { git_ref, commit, seq } => {
                let key = self.key(git_ref, changes);
                key.wanted.clone_from(commit);
                key.moved = *seq;
                if commit.is_none() {
                    key.lookback.lose_track();
                }
                if commit.is_none() && self.heads.contains_key(git_ref) {
                    Arc::make_mut(&mut self.heads).remove(git_ref);
                    changes.heads.push((self.image.clone(), git_ref.clone(), None));
                }
            }
            Fact::PassedOver { git_ref, seq, touches } => self.key(git_ref, changes).lookback.pass_over(*seq, touches),
            Fact::HeadsSeen { heads, gone, by } => {
                self.heads_by.clone_from(by);
                for git_ref in gone {
                    Arc::make_mut(&mut self.heads).remove(git_ref);
                    changes.heads.push((self.image.clone(), git_ref.clone(), None));
                }
                for (git_ref, commit) in heads {
                    if self.keys.contains_key(git_ref) {
                        let key = self.key(git_ref, changes);
                        if key.wanted.replace(commit.clone()).is_none() {
                            // What was pushed before was never told.
                            key.lookback.lose_track();
                        }
                    } else {
                        Arc::make_mut(&mut self.heads).insert(git_ref.clone(), commit.clone());
                        changes.heads.push((self.image.clone(), git_ref.clone(), Some(commit.clone())));
                    }
                }
            }
            Fact::KeyForgotten { git_ref } => {
                let key = self.keys.remove(git_ref).unwrap_or_default();
                changes.keys.insert((self.image.clone(), git_ref.clone()));
                // Else its ref would count as new.
                if let Some(wanted) = key.wanted.filter(|_| self.heads_by.is_some()) {
                    if self.heads.len() >= HEADS_MAX {
                        self.heads_by = None;
                    }
                    changes.heads.push((self.image.clone(), git_ref.clone(), Some(wanted.clone())));
                    Arc::make_mut(&mut self.heads).insert(git_ref.clone(), wanted);
                }
            }
            Fact::ClockWentBack { at } => {
                for (git_ref, key) in &mut self.keys {
                    if let Some(open) = key.open.as_mut().filter(|open| open.lies_ahead_of(*at)) {
                        open.clamp(*at);
                        changes.keys.insert((self.image.clone(), git_ref.clone()));
                    }
                }
                if let Some(refusal) = &mut self.refusal {
                    refusal.since = refusal.since.min(*at);
                    refusal.again_at = refusal.again_at.min(*at);
                }
                if let Some(Running { live, assumed_until }) = &mut self.running {
                    live.clamp(*at, assumed_until);
                }
                if let Some(Queued { live, phase }) = &mut self.queued {
                    match phase {
                        Phase::Overlapping { assumed_until } => live.clamp(*at, assumed_until),
                        Phase::Uncertain { since, .. } => {
                            *since = (*since).min(*at);
                            live.clamp(*at, &mut None);
                        }
                        Phase::Triggering | Phase::Accepted => live.clamp(*at, &mut None),
                    }
                }
            }
        }
    }

    fn intend(&mut self, build: BuildId, git_ref: &GitRef, through: Seq, at: Timestamp, changes: &mut Changes) {
        assert!(self.queued.is_none(), "a second build would be queued for {}", self.image);
        let open = self.key(git_ref, changes).open.take();
        let open = open.expect("a build is triggered only for open events");
        let record = BuildRecord {
            id: build,
            image: self.image.clone(),
            git_ref: Some(git_ref.clone()),
            state: BuildState::Triggering,
            outcome: None,
            foreign: false,
            backend_ids: Vec::new(),
            commit: None,
            triggered_at: Some(at),
            started_at: None,
            finished_at: None,
            span: Some((open.first(), open.last())),
            events: open.count(),
            log_url: None,
            note: None,
        };
        changes.write(&record);
        let live = Live {
            record,
            carries: Some(open),
            through,
            missing_since: None,
            answered_at: None,
            named: false,
            cancelled_by: None,
        };
        self.queued = Some(Queued { live, phase: Phase::Triggering });
    }

    fn start(&mut self, at: Timestamp, cover: &Cover, assumed_until: Option<Timestamp>, changes: &mut Changes) {
        let mut live = self.queued.take().expect("only a build in the waiting place starts").live;
        live.record.state = BuildState::Running;
        live.record.started_at = Some(at);
        self.refusal = None;
        self.assign_coverage(&mut live, at, cover, changes);
        if self.running.is_some() {
            self.queued = Some(Queued { live, phase: Phase::Overlapping { assumed_until } });
        } else {
            self.running = Some(Running { live, assumed_until });
        }
    }

    fn recompute_coverage(&mut self, build: BuildId, at: Timestamp, cover: &Cover, changes: &mut Changes) {
        let mut live = self.live_mut(build).clone();
        if let (Some(git_ref), Some(covered)) = (&live.record.git_ref, &live.carries) {
            self.record_closure(git_ref, covered, None, changes);
        }
        self.assign_coverage(&mut live, at, cover, changes);
        *self.live_mut(build) = live;
    }

    /// Gives a started build the events that it covers; the rest of its key is open.
    fn assign_coverage(&mut self, live: &mut Live, at: Timestamp, cover: &Cover, changes: &mut Changes) {
        let git_ref = live.record.git_ref.clone().expect("a build of ours has a ref");
        let key = self.key(&git_ref, changes);
        let later = key.open.take();
        // Parted before they are put together: a group that grew over the border would be covered by nothing.
        let part = |open: Option<Open>| open.map_or((None, None), |open| open.split(cover.through));
        let (carried, uncovered) = part(live.carries.take());
        let (later_covered, later_open) = part(later);
        let join = |earlier: Option<Open>, later| match earlier {
            Some(earlier) => Some(earlier.before(later)),
            None => later,
        };
        let covered = join(carried, later_covered);
        key.open = join(uncovered, later_open);
        key.lookback.begin(cover.through, live.through);
        if let Some(commit) = &cover.commit {
            let times = match &key.contradicted {
                Some((known, times)) if known.same_as(commit) => times + 1,
                _ => 1,
            };
            key.contradicted = cover.contradicted.then(|| (commit.clone(), times));
            key.built = Some(commit.clone());
            live.record.commit = Some(commit.clone());
        } else {
            // Else the commit of an earlier build would pass for what the newest one built.
            key.built = None;
        }
        live.record.span = covered.as_ref().map(|covered| (covered.first(), covered.last()));
        live.record.events = covered.as_ref().map_or(0, Open::count);
        if let Some(covered) = &covered {
            self.close(&git_ref, covered, &Closure { at, end: End::BuiltBy(live.record.id) }, changes);
        }
        live.carries = covered;
        changes.write(&live.record);
    }

    /// Ends the open events of a key up to a number, as built by a build of others.
    fn cover_key(&mut self, git_ref: &GitRef, through: Seq, build: BuildId, at: Timestamp, changes: &mut Changes) {
        let key = self.key(git_ref, changes);
        let (covered, open) = key.open.take().map_or((None, None), |open| open.split(through));
        key.open = open;
        if let Some(covered) = covered {
            // `closed_through` stays: their commit says nothing of events that were numbered before these.
            self.record_closure(git_ref, &covered, Some(&Closure { at, end: End::BuiltBy(build) }), changes);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one fact")]
    fn finish(
        &mut self,
        build: BuildId,
        at: Timestamp,
        outcome: Outcome,
        log_url: Option<&String>,
        reason: Option<&EndReason>,
        reopened: bool,
        changes: &mut Changes,
    ) {
        let mut live = if self.running.as_ref().is_some_and(|running| running.live.record.id == build) {
            self.running.take().expect("just seen").live
        } else {
            self.queued.take().expect("a build that ends sits in one of the two places").live
        };
        assert_eq!(live.record.id, build, "another build sits in the place of the one that ended");
        // The build that ran beside has the running place for itself now.
        if let Some(Queued { phase: Phase::Overlapping { assumed_until }, .. }) = &self.queued {
            let assumed_until = *assumed_until;
            let live = self.queued.take().expect("just seen").live;
            self.running = Some(Running { live, assumed_until });
        }
        let git_ref = live.record.git_ref.clone().expect("a build of ours has a ref");
        let key = self.key(&git_ref, changes);
        key.retries = if outcome == Outcome::Failure && reopened { key.retries + 1 } else { 0 };
        if let Some(lost) = live.carries.as_ref().filter(|_| outcome == Outcome::Lost && reopened) {
            key.lost_through = key.lost_through.max(lost.last());
        }
        if let Some(lost) = live.carries.as_ref().filter(|_| outcome == Outcome::Lost && !reopened)
            && key.closed_through <= lost.last()
        {
            key.lookback.leave(lost.last());
        }
        if reopened && let Some(covered) = &live.carries {
            self.record_closure(&git_ref, covered, None, changes);
            // A later build of the key that has started covers these events as well.
            if self.key(&git_ref, changes).closed_through <= covered.last() {
                self.reopen(&mut live, changes);
            }
        }
        if let (Outcome::Success, Some(started_at)) = (outcome, live.record.started_at) {
            self.learn_build_time(at.since(started_at));
        }
        live.record.log_url = log_url.cloned().or(live.record.log_url.take());
        live.end(at, outcome, reason.cloned());
        self.archive(live, changes);
    }

    /// What the build carried, or covered, is open again.
    fn reopen(&mut self, live: &mut Live, changes: &mut Changes) {
        let git_ref = live.record.git_ref.clone().expect("a build of ours has a ref");
        let key = self.key(&git_ref, changes);
        if let Some(mut carried) = live.carries.take() {
            carried.seal();
            key.closed_through = key.closed_through.min(Seq(carried.first().0 - 1));
            key.open = Some(carried.before(key.open.take()));
        }
    }

    fn close(&mut self, git_ref: &GitRef, events: &Open, closure: &Closure, changes: &mut Changes) {
        let key = self.key(git_ref, changes);
        // A person drops what is open, not what a build covers that may yet be lost.
        if matches!(closure.end, End::DroppedBy { .. } | End::Cancelled { .. }) {
            key.lookback.leave(events.last());
        } else {
            key.closed_through = key.closed_through.max(events.last());
        }
        self.record_closure(git_ref, events, Some(closure), changes);
    }

    /// Writes down how events ended; None: that they have not.
    fn record_closure(&self, git_ref: &GitRef, events: &Open, closure: Option<&Closure>, changes: &mut Changes) {
        let closures = events.borders().map(|through| (self.image.clone(), git_ref.clone(), through, closure.cloned()));
        changes.closures.extend(closures);
    }

    /// Moves an ended build from its place into the history.
    fn archive(&mut self, live: Live, changes: &mut Changes) {
        for id in &live.record.backend_ids {
            self.remember(id.clone());
        }
        changes.write(&live.record);
        // A refused call is no build that anybody would call the last one.
        if live.record.started_at.is_some() {
            self.last_build = Some(live.record);
        }
    }

    fn remember(&mut self, id: BackendBuildId) {
        self.claimed.push_back(id);
        while self.claimed.len() > CLAIMED_MAX {
            self.claimed.pop_front();
        }
    }

    fn learn_build_time(&mut self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.build_time_ms = Some(self.build_time_ms.map_or(took, |mean| mean - mean / 4 + took / 4));
    }

    fn key(&mut self, git_ref: &GitRef, changes: &mut Changes) -> &mut Key {
        changes.keys.insert((self.image.clone(), git_ref.clone()));
        self.keys.entry(git_ref.clone()).or_default()
    }

    fn live_mut(&mut self, build: BuildId) -> &mut Live {
        let running = self.running.iter_mut().map(|running| &mut running.live);
        let queued = self.queued.iter_mut().map(|queued| &mut queued.live);
        running.chain(queued).find(|live| live.record.id == build).expect("facts are about builds that live")
    }
}

impl Live {
    /// No moment of it lies ahead of `at`; an end that is assumed comes as long after the call as it was to.
    fn clamp(&mut self, at: Timestamp, assumed_until: &mut Option<Timestamp>) {
        let ahead = self.record.triggered_at.map_or(Duration::ZERO, |called_at| called_at.since(at));
        *assumed_until = assumed_until.map(|until| until.minus(ahead));
        for moment in
            [&mut self.record.triggered_at, &mut self.answered_at, &mut self.record.started_at, &mut self.missing_since]
        {
            *moment = moment.map(|moment| moment.min(at));
        }
    }

    fn end(&mut self, at: Timestamp, outcome: Outcome, reason: Option<EndReason>) {
        self.record.state = BuildState::Finished;
        self.record.outcome = Some(outcome);
        self.record.finished_at = Some(at);
        if let Some(reason) = reason {
            self.record.note = Some(BuildNote::Ended(reason));
        }
    }
}
