//! Properties of the scheduler over invented histories: a small honest back-end, lost and late answers, restarts,
//! people who pause and drop, in virtual time. What fails is shrunk to the fewest steps.

mod judge;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coalesced::build::{
    BackendBuild, BackendBuildId, BackendBuildState, Capabilities, Observation, ObserveError, Outcome, SourceTaken,
    TriggerAnswer,
};
use coalesced::command::{Command, Scope, Verb};
use coalesced::event::{Cause, CauseKind, Delivery, Disposition, Fingerprint, NewEvent, Touches};
use coalesced::journal::MemoryJournal;
use coalesced::model::{BuildId, GitRef, ImageName, Seq, Timestamp};
use coalesced::reason::{EndReason, SkipEvidence};
use coalesced::scheduler::policy::Policy;
use coalesced::scheduler::record::Fact;
use coalesced::scheduler::{Decision, Effect, Input, Settings, Step, Ticket};
use coalesced::simulate::VirtualDriver;
use proptest::collection::vec;
use proptest::prelude::*;

use self::plan::{CallFate, Op, Setting, TrueBuild, op, setting};
use crate::world::START;

struct History {
    setting: Setting,
    image: ImageName,
    driver: VirtualDriver,
    settings: Settings,
    now: Timestamp,
    next_fate: CallFate,
    unreadable: bool,
    builds: Vec<TrueBuild>,
    questions: Vec<u64>,
    answers: Vec<(BuildId, TriggerAnswer)>,
    crash: bool,
    removed: bool,
    tickets: u64,
    receipts: BTreeMap<u8, (Seq, u32)>,
    ticket_ids: BTreeMap<Ticket, u8>,
    uncertain_calls: u64,
    triggers: u64,
    opened: u64,
    unverified: bool,
    taken_for_ours: bool,
}

impl History {
    fn new(setting: Setting) -> Self {
        let image: ImageName = "acme/web".parse().expect("an image");
        let policy = Policy {
            prequeue: setting.prequeue,
            capabilities: Capabilities { source_taken: setting.source_taken, ..Capabilities::DEFAULT },
            ..Policy::DEFAULT.clone()
        };
        let settings = Settings::new([(image.clone(), policy)], 7);
        let (driver, step) =
            VirtualDriver::start(settings.clone(), MemoryJournal::default(), START).expect("nothing yet");
        drop(step);
        Self {
            setting,
            image,
            driver,
            settings,
            now: START,
            next_fate: CallFate::Accepted,
            unreadable: false,
            builds: Vec::new(),
            questions: Vec::new(),
            answers: Vec::new(),
            crash: false,
            removed: false,
            tickets: 0,
            receipts: BTreeMap::new(),
            ticket_ids: BTreeMap::new(),
            uncertain_calls: 0,
            triggers: 0,
            opened: 0,
            unverified: false,
            taken_for_ours: false,
        }
    }

    fn play(&mut self, ops: &[Op]) {
        for op in ops {
            self.carry_out(op);
        }
        // From here on nothing goes wrong any more, and everything must come to rest.
        self.next_fate = CallFate::Accepted;
        self.unreadable = false;
        self.carry_out(&Op::Resume);
        for _ in 0..2_000 {
            if self.driver.deadline().is_none() {
                break;
            }
            self.advance(Duration::from_mins(1));
        }
        assert!(self.driver.deadline().is_none(), "it never comes to rest");
        self.check_coverage();
    }

    fn carry_out(&mut self, op: &Op) {
        match op {
            Op::Push { git_ref, id } => {
                self.deliver(*git_ref, *id, Disposition::PUSH, CauseKind::Push);
            }
            Op::Tap { git_ref } => {
                self.deliver(*git_ref, None, Disposition::TAP, CauseKind::Button);
            }
            Op::Skip { git_ref } => {
                let skip = Disposition::Skip {
                    evidence: SkipEvidence::NewestCommitMarked { marker: None },
                    touches: Touches::Inside,
                };
                self.deliver(*git_ref, None, skip, CauseKind::Push);
            }
            Op::Advance { millis } => self.advance(Duration::from_millis((*millis).into())),
            Op::Fate(fate) => self.next_fate = *fate,
            Op::Unreadable => self.unreadable = true,
            Op::Crash => self.recover(),
            Op::Pause => self.command(Verb::Pause { length: None }),
            Op::Resume => self.command(Verb::Resume),
            Op::Drop => self.command(Verb::Drop),
            Op::Foreign { git_ref } => self.create(None, &branch(*git_ref)),
            Op::Reconfigure { quiet } => {
                let policy = self.settings.policies.get_mut(&self.image).expect("configured");
                Arc::make_mut(policy).quiet = Duration::from_secs((*quiet).into());
                self.handle(vec![Input::Configured(self.settings.clone())]);
            }
            Op::Remove { millis } => self.remove_for(Duration::from_millis((*millis).into())),
        }
        self.settle();
    }

    fn deliver(&mut self, git_ref: u8, id: Option<u8>, disposition: Disposition, kind: CauseKind) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        if let Some(id) = id {
            self.ticket_ids.insert(ticket, id);
        }
        let new_event = NewEvent::new(self.image.clone(), branch(git_ref), disposition);
        let fingerprints = id.map(|id| Fingerprint([id; 16])).into_iter().collect();
        let delivery = Delivery { fingerprints, ..Delivery::new(Cause::new(kind, "source"), new_event) };
        self.handle(vec![Input::Arrived { delivery, ticket }]);
    }

    fn command(&mut self, verb: Verb) {
        self.tickets += 1;
        let command = Command { verb, scope: Scope::All, actor: "ada".to_owned(), reason: None };
        self.handle(vec![Input::Commanded { command, ticket: Ticket(self.tickets) }]);
    }

    fn advance(&mut self, span: Duration) {
        let end = self.now.plus(span);
        loop {
            let ours = self.driver.deadline();
            let theirs = self.next_end();
            let next = ours.into_iter().chain(theirs).filter(|at| *at <= end && *at > self.now).min();
            self.now = next.unwrap_or(end);
            self.run_back_end();
            self.handle(Vec::new());
            self.settle();
            if next.is_none() {
                break;
            }
        }
    }

    /// Answers that come meanwhile are dropped.
    fn remove_for(&mut self, span: Duration) {
        let without = Settings { policies: BTreeMap::new(), ..self.settings.clone() };
        self.handle(vec![Input::Configured(without)]);
        self.settle();
        self.advance(span);
        self.handle(vec![Input::Configured(self.settings.clone())]);
    }

    /// Delivers answers until nothing is in flight.
    fn settle(&mut self) {
        loop {
            if std::mem::take(&mut self.crash) {
                self.recover();
            } else if std::mem::take(&mut self.removed) {
                self.remove_for(Duration::from_secs(1));
            } else if let Some((build, answer)) = self.answers.pop() {
                let image = self.image.clone();
                self.handle(vec![Input::Answered { image, build, answer }]);
            } else if let Some(question) = self.questions.pop() {
                let answer = if std::mem::take(&mut self.unreadable) {
                    Err(ObserveError::Unavailable { detail: "out of order".to_owned() })
                } else {
                    Ok(Observation { builds: self.rows(), ..Observation::default() })
                };
                let image = self.image.clone();
                self.handle(vec![Input::Observed { image, question, answer }]);
            } else {
                break;
            }
        }
    }

    fn recover(&mut self) {
        self.questions.clear();
        self.answers.clear();
        let step = self.driver.restart(self.settings.clone(), self.now).expect("readable");
        self.conclude(step);
    }

    fn handle(&mut self, inputs: Vec<Input>) {
        let step = self.driver.decide(self.now, inputs);
        self.conclude(step);
    }

    fn conclude(&mut self, step: Step) {
        for record in &step.changes().records {
            match &record.fact {
                Fact::Opened { .. } => self.opened += 1,
                // A silent discard, or a build that vanished, is a call whose effect was unknown.
                Fact::NeverStarted { reason, .. } => {
                    self.uncertain_calls += 1;
                    self.unverified |= *reason == EndReason::Unverified;
                }
                Fact::BecameUncertain { .. } | Fact::Refused { .. } | Fact::Finished { reopened: true, .. } => {
                    self.uncertain_calls += 1;
                }
                _ => {}
            }
        }
        let proof = self.driver.commit(&step);
        self.check_folding();
        for effect in step.release(proof) {
            match effect {
                Effect::Trigger(request) => self.trigger(request.build, &request.git_ref),
                Effect::Observe { question, .. } => self.questions.push(question),
                Effect::Answer { ticket, decision } => self.answered(ticket, &decision),
                Effect::Deliver { notice, .. } => self.handle(vec![Input::Delivered { id: notice.id, result: Ok(()) }]),
                Effect::Cancel { .. } | Effect::AskHeads { .. } => {}
            }
        }
    }

    fn answered(&mut self, ticket: Ticket, decision: &Decision) {
        let receipt = match decision {
            Decision::Recorded { events } => (events[0].seq, u32::try_from(events.len()).expect("few")),
            Decision::Repeated { first, count } => (*first, *count),
            _ => return,
        };
        if let Some(id) = self.ticket_ids.get(&ticket) {
            let first = *self.receipts.entry(*id).or_insert(receipt);
            assert_eq!(first, receipt, "I7: a delivery that came before gets the first receipt again");
        }
    }

    fn trigger(&mut self, build: BuildId, git_ref: &GitRef) {
        self.triggers += 1;
        let lane = self.driver.scheduler().lane(&self.image).expect("configured");
        let carried =
            lane.live(build).and_then(|live| live.carries.as_ref()).map(coalesced::scheduler::open::Open::count);
        assert!(carried.is_some_and(|count| count > 0), "I4: a trigger for no open event");
        let uncertain = || TriggerAnswer::Uncertain { detail: "lost".to_owned() };
        let mut fate = std::mem::replace(&mut self.next_fate, CallFate::Accepted);
        let just_before =
            |build: &TrueBuild| build.ours.is_none() && self.now.since(build.created_at) < Duration::from_secs(5);
        if self.builds.iter().any(just_before) {
            // Known gaps: a build that somebody else started in the few seconds before our call, where clocks can't
            // tell, is taken for ours until ours is seen (I3); and were ours thrown away in silence, only the
            // commit would tell (I2).
            self.taken_for_ours = true;
            if fate == CallFate::Discarded {
                fate = CallFate::LostOnTheWay;
            }
        }
        let done = matches!(
            fate,
            CallFate::Accepted | CallFate::DoneButAnswerLost | CallFate::DoneThenCrash | CallFate::DoneThenRemoved
        );
        if done {
            self.create(Some(build), git_ref);
            self.check_places();
        }
        let answer = match fate {
            CallFate::Accepted | CallFate::Discarded => TriggerAnswer::Accepted { backend_id: None },
            CallFate::DoneButAnswerLost | CallFate::LostOnTheWay => uncertain(),
            CallFate::RefusedForNow => TriggerAnswer::RefusedForNow { retry_after: None, detail: "not now".to_owned() },
            CallFate::DoneThenRemoved => {
                self.removed = true;
                TriggerAnswer::Accepted { backend_id: None }
            }
            CallFate::DoneThenCrash | CallFate::CrashBeforeCall => {
                self.crash = true;
                return;
            }
        };
        self.answers.push((build, answer));
    }

    fn create(&mut self, ours: Option<BuildId>, git_ref: &GitRef) {
        let id = self.builds.len() as u64;
        let contains = self.driver.scheduler().counters().0;
        let (git_ref, created_at) = (git_ref.clone(), self.now);
        self.builds.push(TrueBuild { id, ours, git_ref, created_at, started_at: None, ended_at: None, contains });
        self.run_back_end();
    }

    fn next_end(&self) -> Option<Timestamp> {
        let running = self.builds.iter().filter(|build| build.ended_at.is_none());
        running.filter_map(|build| Some(build.started_at?.plus(self.setting.build_time))).min()
    }

    /// Ends and starts builds, in the order in which they were requested.
    fn run_back_end(&mut self) {
        for build in self.builds.iter_mut().filter(|build| build.ended_at.is_none()) {
            let end = build.started_at.map(|at| at.plus(self.setting.build_time));
            build.ended_at = end.filter(|end| *end <= self.now);
        }
        let newest = self.driver.scheduler().counters().0;
        loop {
            let running = self.builds.iter().filter(|build| build.started_at.is_some() && build.ended_at.is_none());
            if self.setting.serial && running.count() > 0 {
                break;
            }
            let Some(next) = self.builds.iter_mut().find(|build| build.started_at.is_none()) else { break };
            next.started_at = Some(self.now);
            if self.setting.source_taken == SourceTaken::AtStart {
                next.contains = newest;
            }
        }
    }

    fn rows(&self) -> Vec<BackendBuild> {
        let visible = |build: &&TrueBuild| build.created_at.plus(self.setting.visible_after) <= self.now;
        let row = |build: &TrueBuild| {
            let state = match (build.started_at, build.ended_at) {
                (None, _) => BackendBuildState::Waiting,
                (Some(_), None) => BackendBuildState::Running,
                (Some(_), Some(_)) => BackendBuildState::Finished(Outcome::Success),
            };
            let id = BackendBuildId(format!("row-{}", build.id));
            BackendBuild { created_at: Some(build.created_at), ..BackendBuild::new(id, state) }
        };
        self.builds.iter().filter(visible).map(row).collect()
    }
}

fn branch(number: u8) -> GitRef {
    GitRef::branch(["master", "dev", "next"][usize::from(number)]).expect("a branch")
}

/// How many histories; `CASES=100000` for a longer run.
fn cases() -> u32 {
    std::env::var("CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, rng_seed: crate::seeds::histories_seed(), ..ProptestConfig::default() })]

    /// I2, I3, I4, I6, I7, I8 over histories with lost answers, discards and restarts.
    #[test]
    fn no_push_is_lost_and_no_place_is_taken_twice(setting in setting(), ops in vec(op(), 1..60)) {
        History::new(setting).play(&ops);
    }
}
