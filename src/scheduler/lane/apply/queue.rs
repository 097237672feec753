//! PURE: what happens to the build in the waiting place until it starts.

use crate::build::{BackendBuildId, BuildState, Outcome};
use crate::event::{Closure, End};
use crate::model::{BuildId, GitRef, Seq, Timestamp};
use crate::reason::{BuildNote, EndReason, RefusalReason, UncertainReason};
use crate::scheduler::lane::{LaneState, Live, Phase, Queued, Refusal};
use crate::scheduler::record::{BuildRecord, Changes};

impl LaneState {
    pub(super) fn intend(
        &mut self,
        build: BuildId,
        git_ref: &GitRef,
        through: Seq,
        at: Timestamp,
        changes: &mut Changes,
    ) {
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
            cancelled_by: None,
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

    pub(super) fn accept(&mut self, at: Timestamp, backend_id: Option<&BackendBuildId>, changes: &mut Changes) {
        // "Accepted" is not "started": until a start is seen, the waits between tries keep growing.
        self.refusal.take_if(|refusal| refusal.blocked);
        let queued = self.queued.as_mut().expect("only a build in the waiting place is triggered");
        queued.phase = Phase::Accepted;
        queued.live.record.state = BuildState::Queued;
        queued.live.answered_at = Some(at);
        queued.live.named = backend_id.is_some();
        queued.live.record.backend_ids.extend(backend_id.cloned());
        changes.write(&queued.live.record);
    }

    /// It can't be known whether the call had an effect.
    pub(super) fn doubt(&mut self, at: Timestamp, reason: &UncertainReason, changes: &mut Changes) {
        let queued = self.queued.as_mut().expect("only a build in the waiting place is triggered");
        let pending = matches!(reason, UncertainReason::AlreadyPending { .. });
        queued.phase = Phase::Uncertain { since: at, pending };
        queued.live.record.state = BuildState::Uncertain;
        queued.live.record.note = Some(BuildNote::Uncertain(reason.clone()));
        changes.write(&queued.live.record);
    }

    pub(super) fn refuse(
        &mut self,
        at: Timestamp,
        reason: &RefusalReason,
        again_at: Timestamp,
        blocked: bool,
        changes: &mut Changes,
    ) {
        let reason = EndReason::Refused(reason.clone());
        self.refuse_until(at, &reason, again_at, blocked);
        let mut live = self.queued.take().expect("only a build in the waiting place is refused").live;
        self.reopen(&mut live, changes);
        live.end(at, Outcome::NotStarted, Some(reason));
        self.archive(live, changes);
    }

    pub(super) fn attach(
        &mut self,
        build: BuildId,
        backend_ids: &[BackendBuildId],
        only_through: Option<Seq>,
        changes: &mut Changes,
    ) {
        self.foreign.retain(|known| !backend_ids.contains(&known.backend_id));
        let live = self.live_mut(build);
        live.record.backend_ids.extend(backend_ids.iter().cloned());
        if let Some(only_through) = only_through {
            live.through = live.through.min(only_through);
        }
        changes.write(&live.record);
        if let Some(queued) = self.queued.as_mut().filter(|queued| queued.live.record.id == build)
            && matches!(queued.phase, Phase::Uncertain { .. })
        {
            queued.phase = Phase::Accepted;
            queued.live.record.state = BuildState::Queued;
            changes.write(&queued.live.record);
        }
    }

    /// It ends without having started: its events end as cancelled with it, or are open again.
    pub(super) fn end_unstarted(
        &mut self,
        at: Timestamp,
        outcome: Outcome,
        reason: &EndReason,
        cancelled_by: Option<&String>,
        again_at: Option<Timestamp>,
        changes: &mut Changes,
    ) {
        let mut live = self.queued.take().expect("a build that never started is in the waiting place").live;
        if let (Some(actor), Some(git_ref), Some(carries)) = (cancelled_by, live.record.git_ref.clone(), &live.carries)
        {
            let end = End::Cancelled { build: live.record.id, actor: actor.clone() };
            self.close(&git_ref, carries, &Closure { at, end }, changes);
        } else {
            self.reopen(&mut live, changes);
        }
        if let Some(again_at) = again_at {
            self.refuse_until(at, reason, again_at, false);
        }
        live.end(at, outcome, Some(reason.clone()));
        self.archive(live, changes);
    }

    /// Another try failed.
    fn refuse_until(&mut self, at: Timestamp, reason: &EndReason, again_at: Timestamp, blocked: bool) {
        let times = self.refusal.as_ref().map_or(0, |refusal| refusal.times) + 1;
        let since = self.refusal.as_ref().map_or(at, |refusal| refusal.since);
        self.refusal = Some(Refusal { times, since, again_at, reason: reason.clone(), blocked });
    }
}
