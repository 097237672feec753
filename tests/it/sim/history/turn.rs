//! The driver's turn in virtual time, and every point at which the process may die in it.

use std::collections::BTreeMap;
use std::time::Duration;

use coalesced::build::{BuildRequest, TriggerAnswer};
use coalesced::event::CauseKind;
use coalesced::notice::Notice;
use coalesced::scheduler::{Decision, Effect, Input, Step, Ticket};

use super::super::plan::CallFate;
use super::{CallFateNow, History, Pending};

/// A trigger call is given up after this; the back-end room's limit.
const CALL_LIMIT_MS: i64 = 30_000;
/// A call that was given up has its effect at most this much later.
const LATE_EFFECT_MS: i64 = 20_000;

impl History<'_> {
    /// One turn of the driver: decide, write, only then act. It may die between any two of these.
    pub(super) fn step(&mut self, inputs: Vec<Input>) {
        if self.crashed.is_some() {
            // What has come in is gone with the process; senders see a broken connection.
            self.restart();
            return;
        }
        self.steps += 1;
        let now = self.now();
        if let Some(script) = &mut self.script {
            script.take_in(now, &inputs);
        }
        let is_tap = |input: &Input| matches!(input, Input::Arrived { delivery, .. } if delivery.cause.kind == CauseKind::Button);
        let dues = if inputs.iter().any(is_tap) { self.dues() } else { BTreeMap::new() };
        let step = self.driver.decide(now, inputs);
        self.check_dues(&dues, &step);
        self.conclude(step);
        if self.crashed.is_some() {
            self.restart();
        }
    }

    pub(super) fn conclude(&mut self, step: Step) {
        self.check_state();
        if self.dies("before the commit") {
            return;
        }
        self.note(&step);
        let proof = self.driver.commit(&step);
        if let Some(key) = &self.driver.store().too_large {
            self.fail(format!("a row of the journal is too large: {}", String::from_utf8_lossy(key)));
        }
        self.trust_again();
        if self.dies("before the effects") {
            return;
        }
        for effect in step.release(proof) {
            self.start(effect);
            if self.dies("among the effects") {
                return;
            }
        }
    }

    pub(super) fn start(&mut self, effect: Effect) {
        let before = self.delays.0;
        match effect {
            Effect::Answer { ticket, decision } => self.answered(ticket, &decision),
            Effect::Trigger(request) => self.trigger(request),
            Effect::Observe { image, question } => {
                let fate = self.question_fate.take().filter(|_| !self.ending);
                if let Some(fate) = fate {
                    self.marks.question(fate);
                }
                self.later(before, Pending::Look(image, question, fate));
            }
            Effect::Cancel { image, build, backend_id } => {
                self.later(before, Pending::CancelEffect(image, build, backend_id));
            }
            Effect::Deliver { notice, attempt } => self.tell_operator(&notice, attempt),
            Effect::AskHeads { .. } => unreachable!("no image of a history has a remote"),
        }
    }

    /// Each third notice is received with the second try only.
    fn tell_operator(&mut self, notice: &Notice, attempt: u32) {
        self.marks.notice(&notice.kind);
        let received = attempt > 1 || !notice.id.0.is_multiple_of(3);
        if received {
            self.undelivered.remove(&notice.id);
        }
        self.later(self.delays.0, Pending::Told(notice.id, received));
    }

    pub(super) fn trigger(&mut self, request: BuildRequest) {
        let lane = self.driver.scheduler().lane(&request.image).expect("configured");
        let carried = lane
            .live(request.build)
            .and_then(|live| live.carries.as_ref())
            .map_or(0, coalesced::scheduler::open::Open::count);
        if carried == 0 {
            self.fail(format!("I4: build {} is triggered for no open event", request.build));
        }
        let before = self.delays.0;
        let detail = "as planned".to_owned();
        match self.call_fate.take().filter(|_| !self.ending) {
            None => self.later(before, Pending::CallEffect(request, CallFateNow::Plain)),
            Some(CallFate::NoConnection) => {
                self.marks.hit("fault: no connection for a call");
                self.triggers += 1;
                let answer = TriggerAnswer::RefusedForNow { retry_after: None, detail };
                self.later(before, Pending::CallAnswer(request.image, request.build, answer));
            }
            Some(CallFate::RetryAfter(seconds)) => {
                self.marks.hit("fault: a call is asked to wait");
                self.triggers += 1;
                let answer = TriggerAnswer::RefusedForNow { retry_after: Some(Duration::from_secs(seconds)), detail };
                self.later(before, Pending::CallAnswer(request.image, request.build, answer));
            }
            Some(CallFate::LateEffect) => {
                self.marks.hit("fault: a call is given up and has its effect later");
                if self.is_near_a_foreign_build(&request.image, request.build) {
                    self.excuse(&request.image, "not judged: I3, a foreign build just before the call");
                }
                let answer = TriggerAnswer::Uncertain { detail };
                let (image, build) = (request.image.clone(), request.build);
                self.later(CALL_LIMIT_MS, Pending::CallAnswer(image, build, answer));
                self.later(CALL_LIMIT_MS + LATE_EFFECT_MS, Pending::CallEffect(request, CallFateNow::GivenUp));
            }
        }
    }

    pub(super) fn answered(&mut self, ticket: Ticket, decision: &Decision) {
        let receipt = match decision {
            Decision::Recorded { events } => (events[0].seq, u32::try_from(events.len()).expect("few")),
            Decision::Repeated { first, count } => {
                self.marks.hit("decision: repeated");
                (*first, *count)
            }
            _ => return,
        };
        let Some(fingerprint) = self.receipts.remove(&ticket) else { return };
        let first = *self.first_receipts.entry(fingerprint).or_insert(receipt);
        if first != receipt {
            self.fail(format!("I7: the receipt {receipt:?} is not the first one {first:?}"));
        }
        if !self.wanting.contains_key(&receipt.0) {
            self.fail(format!("I1: event {} was answered and is not on disk", receipt.0.0));
        }
    }

    /// A point at which the process may die; true if it does.
    pub(super) fn dies(&mut self, where_: &'static str) -> bool {
        let Some((after, down, clock, survive)) = self.crash else { return false };
        if after > 0 {
            self.crash = Some((after - 1, down, clock, survive));
            return false;
        }
        self.marks.crash(if self.recovering { "while it recovers" } else { where_ });
        self.crash = None;
        self.crashed = Some((down, clock, survive));
        true
    }

    /// What was in memory is gone. Calls on their way to the Hub may still take effect; their answers are lost.
    pub(super) fn restart(&mut self) {
        let (down, clock, survive) = self.crashed.take().expect("it died");
        let mut left = BTreeMap::new();
        for (at, pending) in std::mem::take(&mut self.queue) {
            match pending {
                // A request made while the daemon is down is lost: its sender saw no answer.
                Pending::Arrive(_) if at.0 > self.at + down => drop(left.insert(at, pending)),
                Pending::Arrive(_) => self.marks.hit("fault: a delivery is lost with the process"),
                Pending::CallEffect(request, _) if survive => {
                    left.insert(at, Pending::CallEffect(request, CallFateNow::GivenUp));
                }
                Pending::CancelEffect(..) if survive => drop(left.insert(at, pending)),
                _ => {}
            }
        }
        // Calls that survive have their effect while the process is down.
        self.queue = left.extract_if(.., |_, pending| !matches!(pending, Pending::Arrive(_))).collect();
        let back_at = self.at + down;
        while let Some(((at, _), _)) = self.queue.first_key_value() {
            self.at = self.at.max(*at);
            // No process is there to receive the answer.
            drop(self.take_due());
            self.queue.retain(|_, pending| matches!(pending, Pending::CallEffect(..) | Pending::CancelEffect(..)));
        }
        self.at = self.at.max(back_at);
        if clock != 0 {
            self.marks.hit(if clock < 0 { "clock: back at a restart" } else { "clock: ahead at a restart" });
        }
        self.wall += clock;
        let clock = self.wall - self.ahead;
        self.ahead = self.wall;
        self.crash = self.crash_again.take().map(|after| (after, down, 0, survive));
        self.queue.append(&mut left);
        let now = self.now();
        if let Some(script) = &mut self.script {
            script.crash(now);
        }
        let step = self.driver.restart(self.settings.clone(), now).expect("the twin reads back what it wrote");
        if clock != 0 {
            self.clock_changed();
        }
        self.recovering = true;
        self.conclude(step);
        self.recovering = false;
        if self.crashed.is_some() {
            self.restart();
        }
    }
}
