//! PURE: how one fact changes a lane, and what must be written for it. Nothing else may change a lane.

mod cover;
mod end;
mod heads;
mod queue;

use super::{Key, Lane, LaneState, Live, Phase, Queued, Running};
use crate::event::{Closure, End};
use crate::model::{BuildId, GitRef, Timestamp};
use crate::scheduler::open::{Group, Open};
use crate::scheduler::record::{Changes, Fact, Foreign, Record, Tap};

impl Lane {
    /// Applies one fact to this lane and notes in `changes` what must be written.
    ///
    /// # Panics
    ///
    /// If the fact names a build that isn't live: decisions and state have diverged, and going on
    /// could lose a push.
    pub(in crate::scheduler) fn apply(&mut self, fact: Fact, changes: &mut Changes) {
        changes.lanes.insert(self.image.clone());
        if !fact.is_about_a_key_alone() {
            changes.lane_entries.insert(self.image.clone());
        }
        self.state.change(&fact, changes);
        changes.records.push(Record { image: self.image.clone(), fact });
    }
}

impl LaneState {
    fn change(&mut self, fact: &Fact, changes: &mut Changes) {
        match fact {
            Fact::Opened { git_ref, group, tap } => self.open(git_ref, group, tap.as_ref(), changes),
            Fact::Closed { git_ref, end, at } => self.end_open(git_ref, end, *at, changes),
            Fact::Expedited { git_ref, at } => self.expedite(git_ref, *at, changes),
            Fact::Intended { build, git_ref, through, at } => self.intend(*build, git_ref, *through, *at, changes),
            Fact::Accepted { at, backend_id, .. } => self.accept(*at, backend_id.as_ref(), changes),
            Fact::BecameUncertain { at, reason, .. } => self.doubt(*at, reason, changes),
            Fact::Refused { at, reason, again_at, blocked, .. } => {
                self.refuse(*at, reason, *again_at, *blocked, changes);
            }
            Fact::Attached { build, backend_ids, only_through } => {
                self.attach(*build, backend_ids, *only_through, changes);
            }
            Fact::StillQueued { build, through } => {
                let live = self.live_mut(*build);
                live.through = live.through.max(*through);
            }
            Fact::Started { at, cover, assumed_until, .. } => self.start(*at, cover, *assumed_until, changes),
            Fact::CoverChanged { build, at, cover } => self.recompute_coverage(*build, *at, cover, changes),
            Fact::Missing { build, since } => self.live_mut(*build).missing_since = *since,
            Fact::NeverStarted { at, outcome, reason, cancelled_by, again_at, .. } => {
                self.end_unstarted(*at, *outcome, reason, cancelled_by.as_ref(), *again_at, changes);
            }
            Fact::Finished { build, at, outcome, log_url, reason, reopened } => {
                let words = (log_url.as_ref(), reason.as_ref());
                self.finish(*build, *at, *outcome, words, *reopened, changes);
            }
            Fact::CancelAsked { build, actor } => self.live_mut(*build).cancelled_by = Some(actor.clone()),
            Fact::Overlapped => self.overlaps = true,
            Fact::Held(hold) => self.hold.clone_from(hold),
            Fact::Unblocked => self.refusal = None,
            Fact::ForeignSeen(seen) => self.see_foreign(seen, changes),
            Fact::ForeignEnded { id, at, outcome, covered } => {
                self.end_foreign(*id, *at, *outcome, changes);
                self.cover_keys(covered, *id, *at, changes);
            }
            Fact::HeadMoved { git_ref, commit, seq } => self.move_head(git_ref, commit.as_ref(), *seq, changes),
            Fact::PassedOver { git_ref, seq, touches } => self.key(git_ref, changes).lookback.pass_over(*seq, touches),
            Fact::HeadsSeen { heads, gone, by } => self.see_heads(heads, gone, by.as_ref(), changes),
            Fact::KeyForgotten { git_ref } => self.forget_key(git_ref, changes),
            Fact::ClockWentBack { at } => self.clamp(*at, changes),
        }
    }

    /// A new event opens its key, or folds into what is open.
    fn open(&mut self, git_ref: &GitRef, group: &Group, tap: Option<&Tap>, changes: &mut Changes) {
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
            key.tap = tap.cloned();
        }
    }

    /// Open events end without a build.
    fn end_open(&mut self, git_ref: &GitRef, end: &End, at: Timestamp, changes: &mut Changes) {
        let key = self.key(git_ref, changes);
        // A tap after this asks for what was just ended.
        key.tap = None;
        if let Some(open) = key.open.take() {
            self.close(git_ref, &open, &Closure { at, end: end.clone() }, changes);
        }
    }

    fn expedite(&mut self, git_ref: &GitRef, at: Timestamp, changes: &mut Changes) {
        if let Some(open) = &mut self.key(git_ref, changes).open {
            open.expedite(at);
        }
    }

    fn see_foreign(&mut self, seen: &Foreign, changes: &mut Changes) {
        self.foreign.retain(|known| known.backend_id != seen.backend_id);
        self.foreign.push(seen.clone());
        changes.write(&self.foreign_record(seen));
    }

    /// The wall clock went back: moves every moment of what is in flight to `at` at the latest.
    fn clamp(&mut self, at: Timestamp, changes: &mut Changes) {
        for (git_ref, key) in &mut self.keys {
            if let Some(open) = key.open.as_mut().filter(|open| open.lies_ahead_of(at)) {
                open.clamp(at);
                changes.keys.insert((self.image.clone(), git_ref.clone()));
            }
        }
        if let Some(refusal) = &mut self.refusal {
            refusal.since = refusal.since.min(at);
            refusal.again_at = refusal.again_at.min(at);
        }
        if let Some(Running { live, assumed_until }) = &mut self.running {
            live.clamp(at, assumed_until);
        }
        if let Some(queued) = &mut self.queued {
            queued.clamp(at);
        }
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

impl Queued {
    fn clamp(&mut self, at: Timestamp) {
        let Self { live, phase } = self;
        match phase {
            Phase::Overlapping { assumed_until } => live.clamp(at, assumed_until),
            Phase::Uncertain { since, .. } => {
                *since = (*since).min(at);
                live.clamp(at, &mut None);
            }
            Phase::Triggering | Phase::Accepted => live.clamp(at, &mut None),
        }
    }
}

impl Live {
    /// Moves its moments to `at` at the latest; an assumed end keeps its distance from the call.
    fn clamp(&mut self, at: Timestamp, assumed_until: &mut Option<Timestamp>) {
        let ahead = self.record.triggered_at.map_or(std::time::Duration::ZERO, |called_at| called_at.since(at));
        *assumed_until = assumed_until.map(|until| until.minus(ahead));
        for moment in
            [&mut self.record.triggered_at, &mut self.answered_at, &mut self.record.started_at, &mut self.missing_since]
        {
            *moment = moment.map(|moment| moment.min(at));
        }
    }
}
