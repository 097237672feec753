//! Which rare branches a run has reached, judged by facts, notices and states alone: the core has no switch for tests.

use std::collections::BTreeMap;

use coalesced::build::Outcome;
use coalesced::emulator::Fault;
use coalesced::event::{End, Verdict};
use coalesced::notice::NoticeKind;
use coalesced::reason::{EndReason, RefusalReason, SkipEvidence, UncertainReason};
use coalesced::scheduler::Scheduler;
use coalesced::scheduler::lane::Phase;
use coalesced::scheduler::record::Fact;

use super::plan::{QuestionFate, Word};

/// What a long run must have seen. A name that is not reached fails it.
pub(crate) const WANTED: &[&str] = &[
    "judged: I2",
    "judged: I3",
    "judged: I3 again, after a rest",
    "judged: I8",
    "known gap: I2, blind, and the call had no effect",
    "known gap: I2, the clock was set before the build was seen, and another one was taken for it",
    "known gap: I2, a foreign build of just before a call was taken for the one that it did not make",
    "not judged: I3, a foreign build just before the call",
    "not judged: I3, a foreign build beside an unseen one",
    "not judged: I3, a build that was given up may go on",
    "not judged: I3, a build has vanished and goes on",
    "not judged: I3, the clock was set before a build was seen",
    "not judged: I3, blind",
    "not judged: I8, the build vanished",
    "not judged: I8, still queued at the deadline",
    "not judged: I8, the clock was set before the build was seen",
    "clock: jumped ahead while running",
    "clock: set back while running",
    "clock: back at a restart",
    "clock: ahead at a restart",
    "push: forced back to an older commit",
    "fault: a call is given up and has its effect later",
    "fault: no connection for a call",
    "fault: a call is asked to wait",
    "fault: a call's answer is lost",
    "fault: a call is lost",
    "fault: 500, and the call had its effect",
    "fault: 500, and the call had no effect",
    "fault: 429 for a call",
    "fault: the trigger is gone",
    "fault: accepted and thrown away",
    "fault: a build sticks",
    "fault: a build fails",
    "fault: a build vanishes",
    "fault: 500 for a list",
    "fault: 401 for a list",
    "fault: a question is refused",
    "fault: a question is throttled",
    "fault: a question can't be asked",
    "fault: a question is never answered",
    "fault: a question is answered too late",
    "fault: calls and questions take long",
    "fault: a build is shown late",
    "fault: starts are not shown",
    "fault: commits are not shown",
    "fault: a list is cut off",
    "fault: a call is ignored",
    "fault: a call too many is thrown away",
    "fault: a build is cancelled and pushes all the same",
    "fault: a build of somebody else",
    "fault: a delivery is overtaken",
    "fault: a delivery is repeated",
    "fault: a delivery is repeated under another id",
    "fault: a delivery is lost with the process",
    "verb: pause",
    "verb: resume",
    "verb: start",
    "verb: drop",
    "verb: cancel",
    "decision: repeated",
    "calm: a wait within its bound",
    "crash: before the commit",
    "crash: before the effects",
    "crash: among the effects",
    "crash: before a call",
    "crash: after a call",
    "crash: while it recovers",
    "verdict: opened",
    "verdict: already built",
    "verdict: skipped",
    "verdict: skipped for its files",
    "passed over: judged by the truth",
    "verdict: ref deleted",
    "verdict: duplicate",
    "fact: closed by a person",
    "fact: closed with its ref",
    "fact: hastened",
    "fact: accepted",
    "fact: accepted by name",
    "fact: uncertain",
    "fact: uncertain since a restart",
    "fact: uncertain, pending",
    "fact: refused for now",
    "fact: refused, blocked",
    "fact: refused, pending and none shown",
    "fact: attached",
    "fact: attached with a limit",
    "fact: attached, riding on a pending one",
    "fact: still queued",
    "fact: started",
    "fact: started, told by its commit",
    "fact: started, its commit is older",
    "fact: assumed to have started",
    "fact: cover changed",
    "fact: missing",
    "fact: there again",
    "fact: never started, not shown",
    "fact: never started, unverified",
    "fact: never started, cancelled by a person",
    "fact: finished well",
    "fact: finished red",
    "fact: finished red, to be tried again",
    "fact: finished cancelled",
    "fact: finished lost, open again",
    "fact: finished lost at its own limit",
    "fact: cancel asked",
    "fact: two at once",
    "fact: paused",
    "fact: resumed",
    "fact: unblocked",
    "fact: foreign seen",
    "fact: foreign ended",
    "fact: foreign covers by its commit",
    "fact: clock went back",
    "state: eight groups",
    "state: one beside another",
    "state: waits for the account",
    "notice: blocked",
    "notice: unblocked",
    "notice: failed",
    "notice: recovered",
    "notice: unreadable",
    "notice: not cancelled",
];

#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    counts: BTreeMap<&'static str, u64>,
}

impl Marks {
    pub(crate) fn hit(&mut self, mark: &'static str) {
        *self.counts.entry(mark).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mark, count) in &other.counts {
            *self.counts.entry(mark).or_default() += count;
        }
    }

    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    pub(crate) fn sum_of(&self, kind: &str) -> u64 {
        self.counts.iter().filter(|(mark, _)| mark.starts_with(kind)).map(|(_, count)| count).sum()
    }

    /// How often the process died, and how much else went wrong.
    pub(crate) fn troubles(&self) -> (u64, u64) {
        (self.sum_of("crash: "), self.sum_of("fault: ") + self.sum_of("clock: "))
    }

    pub(crate) fn unreached(&self) -> Vec<&'static str> {
        WANTED.iter().copied().filter(|mark| !self.counts.contains_key(mark)).collect()
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.hit(match fault {
            Fault::LoseAnswer => "fault: a call's answer is lost",
            Fault::LoseTrigger => "fault: a call is lost",
            Fault::ErrorAfterEffect => "fault: 500, and the call had its effect",
            Fault::ErrorWithoutEffect => "fault: 500, and the call had no effect",
            Fault::Throttle => "fault: 429 for a call",
            Fault::TriggerGone => "fault: the trigger is gone",
            Fault::Discard => "fault: accepted and thrown away",
            Fault::Stick => "fault: a build sticks",
            Fault::Fail => "fault: a build fails",
            Fault::Vanish => "fault: a build vanishes",
            Fault::ListError => "fault: 500 for a list",
            Fault::ListUnauthorized => "fault: 401 for a list",
        });
    }

    pub(crate) fn question(&mut self, fate: QuestionFate) {
        self.hit(match fate {
            QuestionFate::Forbidden => "fault: a question is refused",
            QuestionFate::Throttled => "fault: a question is throttled",
            QuestionFate::Unavailable => "fault: a question can't be asked",
            QuestionFate::Silence => "fault: a question is never answered",
            QuestionFate::TooLate => "fault: a question is answered too late",
        });
    }

    pub(crate) fn verb(&mut self, word: Word) {
        self.hit(match word {
            Word::Pause => "verb: pause",
            Word::Resume => "verb: resume",
            Word::Start => "verb: start",
            Word::Drop => "verb: drop",
            Word::Cancel => "verb: cancel",
        });
    }

    pub(crate) fn crash(&mut self, place: &str) {
        self.hit(match place {
            "before the commit" => "crash: before the commit",
            "before the effects" => "crash: before the effects",
            "among the effects" => "crash: among the effects",
            "before a call" => "crash: before a call",
            "while it recovers" => "crash: while it recovers",
            _ => "crash: after a call",
        });
    }

    pub(crate) fn verdict(&mut self, verdict: &Verdict) {
        self.hit(match verdict {
            Verdict::Opened => "verdict: opened",
            Verdict::AlreadyBuilt => "verdict: already built",
            Verdict::Skipped { evidence: SkipEvidence::OutsidePaths { .. } } => "verdict: skipped for its files",
            Verdict::Skipped { .. } => "verdict: skipped",
            Verdict::Ignored { .. } => "verdict: ignored",
            Verdict::RefDeleted => "verdict: ref deleted",
            Verdict::DuplicateOf { .. } => "verdict: duplicate",
        });
    }

    pub(crate) fn notice(&mut self, notice: &NoticeKind) {
        self.hit(match notice {
            NoticeKind::Blocked { .. } => "notice: blocked",
            NoticeKind::StillRefused { .. } => "notice: still refused",
            NoticeKind::Unblocked => "notice: unblocked",
            NoticeKind::Failed { .. } => "notice: failed",
            NoticeKind::Recovered { .. } => "notice: recovered",
            NoticeKind::Lost { .. } => "notice: lost",
            NoticeKind::Unverified { .. } => "notice: unverified",
            NoticeKind::Unreadable { .. } => "notice: unreadable",
            NoticeKind::NotCancelled { .. } => "notice: not cancelled",
            NoticeKind::RemoteUnreadable { .. } | NoticeKind::RemoteReadable => {
                unreachable!("no image of a history has a remote")
            }
        });
    }

    pub(crate) fn lanes(&mut self, scheduler: &Scheduler) {
        for lane in scheduler.lanes() {
            if lane.keys.values().filter_map(|key| key.open.as_ref()).any(|open| open.groups().len() == 8) {
                self.hit("state: eight groups");
            }
            if lane.queued.as_ref().is_some_and(|queued| matches!(queued.phase, Phase::Overlapping { .. })) {
                self.hit("state: one beside another");
            }
        }
        if !scheduler.starved().is_empty() {
            self.hit("state: waits for the account");
        }
    }

    pub(crate) fn fact(&mut self, fact: &Fact) {
        self.hit(match fact {
            Fact::Opened { .. } => "fact: opened",
            Fact::Closed { end: End::RefDeleted, .. } => "fact: closed with its ref",
            Fact::Closed { .. } => "fact: closed by a person",
            Fact::Expedited { .. } => "fact: hastened",
            Fact::Intended { .. } => "fact: intended",
            Fact::Accepted { backend_id: Some(_), .. } => "fact: accepted by name",
            Fact::Accepted { .. } => "fact: accepted",
            Fact::BecameUncertain { reason: UncertainReason::AlreadyPending { .. }, .. } => "fact: uncertain, pending",
            Fact::BecameUncertain { reason: UncertainReason::DaemonEnded, .. } => "fact: uncertain since a restart",
            Fact::BecameUncertain { .. } => "fact: uncertain",
            Fact::Refused { blocked: true, .. } => "fact: refused, blocked",
            Fact::Refused { reason: RefusalReason::PendingNotShown, .. } => "fact: refused, pending and none shown",
            Fact::Refused { .. } => "fact: refused for now",
            Fact::Attached { only_through: Some(through), .. } if through.0 == 0 => {
                "fact: attached, riding on a pending one"
            }
            Fact::Attached { only_through: Some(_), .. } => "fact: attached with a limit",
            Fact::Attached { .. } => "fact: attached",
            Fact::StillQueued { .. } => "fact: still queued",
            Fact::Started { assumed_until: Some(_), .. } => "fact: assumed to have started",
            Fact::Started { cover, .. } if cover.contradicted => "fact: started, its commit is older",
            Fact::Started { cover, .. } if cover.commit.is_some() => "fact: started, told by its commit",
            Fact::Started { .. } => "fact: started",
            Fact::CoverChanged { .. } => "fact: cover changed",
            Fact::Missing { since: Some(_), .. } => "fact: missing",
            Fact::Missing { .. } => "fact: there again",
            Fact::NeverStarted { cancelled_by: Some(_), .. } => "fact: never started, cancelled by a person",
            Fact::NeverStarted { outcome: Outcome::Cancelled, .. } => "fact: never started, cancelled by others",
            Fact::NeverStarted { reason: EndReason::Unverified, .. } => "fact: never started, unverified",
            Fact::NeverStarted { reason: EndReason::Vanished, .. } => "fact: never started, vanished",
            Fact::NeverStarted { reason: EndReason::Overdue { .. }, .. } => "fact: never started, given up",
            Fact::NeverStarted { .. } => "fact: never started, not shown",
            Fact::Finished { outcome, reopened, reason, .. } => finished(*outcome, *reopened, reason.as_ref()),
            Fact::CancelAsked { .. } => "fact: cancel asked",
            Fact::Overlapped => "fact: two at once",
            Fact::Held(Some(_)) => "fact: paused",
            Fact::Held(None) => "fact: resumed",
            Fact::Unblocked => "fact: unblocked",
            Fact::ForeignSeen(_) => "fact: foreign seen",
            Fact::ForeignEnded { covered, .. } if covered.is_empty() => "fact: foreign ended",
            Fact::ForeignEnded { .. } => "fact: foreign covers by its commit",
            Fact::ClockWentBack { .. } => "fact: clock went back",
            // What is known of a remote's refs: `tests/it/heads.rs` plays histories of those. And no history has so many.
            Fact::HeadMoved { .. } | Fact::PassedOver { .. } | Fact::HeadsSeen { .. } | Fact::KeyForgotten { .. } => {
                return;
            }
        });
    }
}

fn finished(outcome: Outcome, reopened: bool, reason: Option<&EndReason>) -> &'static str {
    match (outcome, reopened) {
        (Outcome::Success, _) => "fact: finished well",
        (Outcome::Failure, true) => "fact: finished red, to be tried again",
        (Outcome::Failure, false) => "fact: finished red",
        (Outcome::Cancelled, _) => "fact: finished cancelled",
        (Outcome::Lost, _) if reason == Some(&EndReason::BackendTimeLimit) => "fact: finished lost at its own limit",
        (Outcome::Lost, true) => "fact: finished lost, open again",
        (Outcome::Lost | Outcome::NotStarted, false) => "fact: finished lost",
        (Outcome::NotStarted, true) => unreachable!("only what has begun is opened again at its end"),
    }
}
