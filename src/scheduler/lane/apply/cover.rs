//! PURE: which events a build covers once started (semantics R4).

use crate::build::BuildState;
use crate::event::{Closure, End};
use crate::model::{BuildId, GitRef, Seq, Timestamp};
use crate::scheduler::lane::{LaneState, Live, Phase, Queued, Running};
use crate::scheduler::open::Open;
use crate::scheduler::record::{Changes, Cover};

impl LaneState {
    pub(super) fn start(
        &mut self,
        at: Timestamp,
        cover: &Cover,
        assumed_until: Option<Timestamp>,
        changes: &mut Changes,
    ) {
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

    pub(super) fn recompute_coverage(&mut self, build: BuildId, at: Timestamp, cover: &Cover, changes: &mut Changes) {
        let mut live = self.live_mut(build).clone();
        if let (Some(git_ref), Some(covered)) = (&live.record.git_ref, &live.carries) {
            self.record_closure(git_ref, covered, None, changes);
        }
        self.assign_coverage(&mut live, at, cover, changes);
        *self.live_mut(build) = live;
    }

    /// Gives a started build the events that it covers; the rest of its key stays open.
    fn assign_coverage(&mut self, live: &mut Live, at: Timestamp, cover: &Cover, changes: &mut Changes) {
        let git_ref = live.record.git_ref.clone().expect("a build of ours has a ref");
        let key = self.key(&git_ref, changes);
        let later = key.open.take();
        // Split before joining: a group that grew across the border would be covered by nothing.
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
            // Else an earlier build's commit would pass for the newest one's.
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

    /// A foreign build covers the open events of these keys up to a number.
    pub(super) fn cover_keys(
        &mut self,
        covered: &[(GitRef, Seq)],
        build: BuildId,
        at: Timestamp,
        changes: &mut Changes,
    ) {
        for (git_ref, through) in covered {
            self.cover_key(git_ref, *through, build, at, changes);
        }
    }

    /// Ends the open events of a key up to a number, as built by a foreign build.
    fn cover_key(&mut self, git_ref: &GitRef, through: Seq, build: BuildId, at: Timestamp, changes: &mut Changes) {
        let key = self.key(git_ref, changes);
        let (covered, open) = key.open.take().map_or((None, None), |open| open.split(through));
        key.open = open;
        if let Some(covered) = covered {
            // `closed_through` stays: the foreign commit proves nothing about events with smaller numbers.
            self.record_closure(git_ref, &covered, Some(&Closure { at, end: End::BuiltBy(build) }), changes);
        }
    }

    /// Reopens what the build carried or covered.
    pub(super) fn reopen(&mut self, live: &mut Live, changes: &mut Changes) {
        let git_ref = live.record.git_ref.clone().expect("a build of ours has a ref");
        let key = self.key(&git_ref, changes);
        if let Some(mut carried) = live.carries.take() {
            carried.seal();
            key.closed_through = key.closed_through.min(Seq(carried.first().0 - 1));
            key.open = Some(carried.before(key.open.take()));
        }
    }

    pub(super) fn close(&mut self, git_ref: &GitRef, events: &Open, closure: &Closure, changes: &mut Changes) {
        let key = self.key(git_ref, changes);
        // A person drops what is open, not what a build covers, which may yet be lost.
        if matches!(closure.end, End::DroppedBy { .. } | End::Cancelled { .. }) {
            key.lookback.leave(events.last());
        } else {
            key.closed_through = key.closed_through.max(events.last());
        }
        self.record_closure(git_ref, events, Some(closure), changes);
    }

    /// Records how events ended; None: that they have not.
    pub(super) fn record_closure(
        &self,
        git_ref: &GitRef,
        events: &Open,
        closure: Option<&Closure>,
        changes: &mut Changes,
    ) {
        let closures = events.borders().map(|through| (self.image.clone(), git_ref.clone(), through, closure.cloned()));
        changes.closures.extend(closures);
    }
}
