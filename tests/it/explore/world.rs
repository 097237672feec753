//! One state of the whole: the real scheduler, what is on disk, the back-end's truth, and what is on its way.
//! And how it goes on by one turn: decide, write, only then act; the process may die between any two of these.

use std::time::Duration;

use coalesced::build::{ObserveError, TriggerAnswer};
use coalesced::event::{Cause, CauseKind, Delivery, Disposition, Fingerprint, NewEvent};
use coalesced::model::{BuildId, Seq, Timestamp};
use coalesced::scheduler::{Effect, Input, Step, Ticket};
use coalesced::simulate::VirtualDriver;

use super::backend::{Backend, Build, Source, State, moment, observation};
use super::disk::{Disk, proof};
use super::ledger::{Asked, Books, Call, Sent, Wanting};
use super::moves::{CallFate, Ending, How, Move, Turn};
use super::scope::{Budget, HIDDEN_MS, REFS, STEP_MS, Scope, Wrong};

/// What a refused call is asked to wait.
const RETRY_AFTER: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct World {
    /// In milliseconds.
    pub at: i64,
    pub driver: VirtualDriver<Disk>,
    /// When the process began.
    pub since: i64,
    pub backend: Backend,
    /// The newest commit of each ref.
    pub tips: [u8; REFS],
    pub sent: Vec<Sent>,
    pub call: Option<Call>,
    pub questions: Vec<Asked>,
    pub left: Budget,
    /// Accepted events that are not settled yet.
    pub wanting: Vec<Wanting>,
    pub newest: Seq,
    pub books: Books,
    pub told: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(scope: &Scope) -> Self {
        let disk = Disk::new(scope.wrong == Some(Wrong::KeysAreNotWritten));
        let (driver, step) = VirtualDriver::start(scope.settings(), disk, moment(0)).expect("nothing is on it yet");
        drop(step);
        Self {
            at: 0,
            driver,
            since: 0,
            backend: Backend::default(),
            tips: [0; REFS],
            sent: Vec::new(),
            call: None,
            questions: Vec::new(),
            left: scope.budget,
            wanting: Vec::new(),
            newest: Seq(0),
            books: Books::default(),
            told: None,
        }
    }

    /// Takes one turn; an error says which promise was broken.
    pub(crate) fn take(&mut self, turn: Turn, scope: &Scope) -> Result<(), String> {
        let how = turn.how;
        if how != How::Lives || turn.what == Move::Crash {
            self.left.crashes -= 1;
            self.books.crashes += 1;
        }
        match turn.what {
            Move::Push { git_ref, late } => {
                let git_ref = usize::from(git_ref);
                self.left.pushes -= 1;
                self.left.late -= u8::from(late);
                self.tips[git_ref] += 1;
                let commit = Some(self.tips[git_ref]);
                self.sent.push(Sent { git_ref, commit, at: self.at, on_its_way: late, seq: None });
                if !late {
                    self.arrive(self.sent.len() - 1, how, scope)?;
                }
            }
            Move::Tap { git_ref } => {
                self.left.taps -= 1;
                let git_ref = usize::from(git_ref);
                self.sent.push(Sent { git_ref, commit: None, at: self.at, on_its_way: false, seq: None });
                self.arrive(self.sent.len() - 1, how, scope)?;
            }
            Move::Deliver { sent } => {
                let sent = usize::from(sent);
                if self.sent[sent].on_its_way {
                    self.sent[sent].on_its_way = false;
                } else {
                    self.left.again -= 1;
                }
                self.arrive(sent, how, scope)?;
            }
            Move::Effect(fate) => self.effect(fate, scope)?,
            Move::Answer => {
                let call = self.call.take().expect("it is under way");
                let answer = answer(call.answer.expect("it had its effect"), scope);
                let answered = Input::Answered { image: call.request.image, build: call.request.build, answer };
                self.step(Some(answered), how, scope)?;
            }
            Move::Look { question } => {
                self.left.stale -= 1;
                self.questions[usize::from(question)].seen = Some(self.backend.list(self.at));
            }
            Move::Show { question } => {
                let Asked { id, seen, .. } = self.questions.remove(usize::from(question));
                let seen = seen.unwrap_or_else(|| self.backend.list(self.at));
                let image = scope.names.image.clone();
                let answer = Ok(observation(&seen, scope));
                self.step(Some(Input::Observed { image, question: id, answer }), how, scope)?;
            }
            Move::Unreadable { question } => {
                self.left.unreadable -= 1;
                self.books.unreadable += 1;
                let id = self.questions.remove(usize::from(question)).id;
                let image = scope.names.image.clone();
                let answer = Err(ObserveError::Unavailable { detail: "down".to_owned() });
                self.step(Some(Input::Observed { image, question: id, answer }), how, scope)?;
            }
            Move::Start => self.start(scope),
            Move::End(ending) => self.end(ending),
            Move::Wake => {
                self.at = self.next_wake().expect("it is due");
                self.step(None, how, scope)?;
            }
            Move::Wait => {
                self.left.waits -= 1;
                self.at += STEP_MS;
            }
            Move::Crash => self.restart(scope)?,
        }
        self.judge_rest()?;
        self.forget();
        Ok(())
    }

    fn arrive(&mut self, sent: usize, how: How, scope: &Scope) -> Result<(), String> {
        let Sent { git_ref, commit, .. } = self.sent[sent];
        let tap = commit.is_none();
        let kind = if tap { CauseKind::Button } else { CauseKind::Push };
        let disposition = if tap { Disposition::TAP } else { Disposition::PUSH };
        let new_event = NewEvent {
            commit: commit.map(|number| scope.commit(git_ref, number).clone()),
            before: commit.map(|number| scope.commit(git_ref, number - 1).clone()),
            ..NewEvent::new(scope.names.image.clone(), scope.names.refs[git_ref].clone(), disposition)
        };
        let known_by = if scope.wrong == Some(Wrong::EveryDeliveryIsNew) {
            0x1_0000 + usize::from(self.left.again) * 0x100 + sent
        } else {
            sent
        };
        let fingerprints = vec![Fingerprint((known_by as u128).to_be_bytes())];
        let delivery = Delivery { fingerprints, ..Delivery::new(Cause::new(kind, "sender"), new_event) };
        let ticket = Ticket(sent as u64);
        self.step(Some(Input::Arrived { delivery, ticket }), how, scope)
    }

    fn step(&mut self, input: Option<Input>, how: How, scope: &Scope) -> Result<(), String> {
        let ticket = match &input {
            Some(Input::Arrived { ticket, .. }) => Some(*ticket),
            _ => None,
        };
        let step = self.driver.decide(moment(self.at), input);
        self.conclude(step, ticket, how, scope)
    }

    fn conclude(&mut self, step: Step, ticket: Option<Ticket>, how: How, scope: &Scope) -> Result<(), String> {
        if how == How::DiesBeforeTheCommit {
            let early = |effect: &Effect| match effect {
                Effect::Answer { .. } => scope.wrong == Some(Wrong::AnswersBeforeTheCommit),
                Effect::Trigger(_) => scope.wrong == Some(Wrong::CallsBeforeTheCommit),
                _ => false,
            };
            for effect in step.release(proof()).filter(early) {
                self.carry_out(effect, scope)?;
                if self.call.is_some() {
                    self.effect(CallFate::Accepted, scope)?;
                }
            }
            return self.restart(scope);
        }
        let proof = self.driver.commit(&step);
        self.note(step.changes(), ticket, scope)?;
        if how == How::DiesBeforeTheEffects {
            return self.restart(scope);
        }
        for effect in step.release(proof) {
            self.carry_out(effect, scope)?;
        }
        Ok(())
    }

    /// All that is left is what is on disk, and the world.
    fn restart(&mut self, scope: &Scope) -> Result<(), String> {
        self.call = None;
        self.questions.clear();
        self.since = self.at;
        let step = self.driver.restart(scope.settings(), moment(self.at)).map_err(|why| why.to_string())?;
        self.conclude(step, None, How::Lives, scope)
    }

    fn carry_out(&mut self, effect: Effect, scope: &Scope) -> Result<(), String> {
        match effect {
            Effect::Answer { ticket, decision } => self.answered(ticket, &decision),
            Effect::Trigger(request) => {
                self.judge_call(&request, scope)?;
                self.call = Some(Call { request, at: self.at, through: self.newest, answer: None });
                Ok(())
            }
            Effect::Observe { question, .. } => {
                self.questions.push(Asked { id: question, at: self.at, seen: None });
                Ok(())
            }
            // At once: so no state has a pending notice, and none differs by its notices.
            Effect::Deliver { notice, .. } => {
                self.step(Some(Input::Delivered { id: notice.id, result: Ok(()) }), How::Lives, scope)
            }
            Effect::Cancel { .. } | Effect::AskHeads { .. } => Err("nobody asked for this".to_owned()),
        }
    }

    /// What happens to the call at the back-end.
    fn effect(&mut self, fate: CallFate, scope: &Scope) -> Result<(), String> {
        self.left.calls -= u8::from(fate != CallFate::Accepted);
        self.books.uncertain += u8::from(matches!(fate, CallFate::AnswerLost | CallFate::Lost));
        let call = self.call.as_mut().expect("it is under way");
        call.answer = Some(fate);
        let (build, git_ref, through) = (call.request.build, call.request.git_ref.clone(), call.through);
        if matches!(fate, CallFate::Lost | CallFate::RefusedForNow | CallFate::ThrownAway) {
            return Ok(());
        }
        let git_ref = scope.git_ref(&git_ref);
        let hidden = if fate == CallFate::AcceptedShownLate { HIDDEN_MS } else { 0 };
        let source = Source { commit: self.tips[git_ref], through: self.newest };
        let made = self.backend.trigger(Build {
            number: 0,
            call: build,
            git_ref,
            made_at: self.at,
            shown_at: self.at + hidden,
            state: State::Waiting,
            source: (!scope.at_start).then_some(source),
            started_at: None,
            ended_at: None,
            excused: false,
        });
        if made {
            self.books.made += 1;
            if !scope.at_start {
                self.books.superfluous += u8::from(!self.books.unsatisfied[git_ref]);
                // What came after the decision is in it only in hope.
                let hopes = self.wanting.iter().any(|wanting| wanting.git_ref == git_ref && wanting.seq > through);
                self.books.unsatisfied[git_ref] = hopes;
            }
        }
        self.judge_books(scope)
    }

    fn start(&mut self, scope: &Scope) {
        let (at, newest, tips) = (self.at, self.newest, self.tips);
        let mut builds = self.backend.builds.iter_mut();
        let build = builds.find(|build| build.state == State::Waiting).expect("one waits");
        build.state = State::Running;
        build.started_at = Some(at);
        if scope.at_start {
            build.source = Some(Source { commit: tips[build.git_ref], through: newest });
        }
    }

    fn end(&mut self, ending: Ending) {
        self.left.bad -= u8::from(ending != Ending::Success);
        self.backend.free_since = self.at;
        let mut builds = self.backend.builds.iter_mut();
        let build = builds.find(|build| build.state == State::Running).expect("one runs");
        build.state = ending.state();
        build.ended_at = Some(self.at);
        if ending == Ending::Vanished {
            self.books.vanished += 1;
            self.books.unsatisfied[build.git_ref] = true;
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        moment(self.at)
    }

    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            told.push(what());
        }
    }

    /// The build of the back-end that a call of ours made.
    pub(crate) fn made_by(&mut self, call: BuildId) -> Option<&mut Build> {
        self.backend.builds.iter_mut().find(|build| build.call == call)
    }
}

/// What the sender of the call gets to see.
fn answer(fate: CallFate, scope: &Scope) -> TriggerAnswer {
    let detail = format!("{fate:?}");
    match fate {
        CallFate::Accepted | CallFate::AcceptedShownLate | CallFate::ThrownAway => {
            TriggerAnswer::Accepted { backend_id: None }
        }
        CallFate::AnswerLost | CallFate::Lost if scope.wrong == Some(Wrong::LostMeansRefused) => {
            TriggerAnswer::RefusedForNow { retry_after: Some(RETRY_AFTER), detail }
        }
        CallFate::AnswerLost | CallFate::Lost => TriggerAnswer::Uncertain { detail },
        CallFate::RefusedForNow => TriggerAnswer::RefusedForNow { retry_after: Some(RETRY_AFTER), detail },
    }
}
