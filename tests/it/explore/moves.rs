//! What can happen next.

use std::fmt;

use coalesced::build::Outcome;

use super::backend::State;
use super::ledger::Call;
use super::scope::{CALL_MS, LATE_MS, QUESTION_MS, REFS, START, STEP_MS};
use super::world::World;

/// One thing that happens, and whether the process dies by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub what: Move,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Lives,
    DiesBeforeTheCommit,
    DiesBeforeTheEffects,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Somebody pushes; `late`: its delivery is still on its way.
    Push {
        git_ref: u8,
        late: bool,
    },
    Tap {
        git_ref: u8,
    },
    /// What was sent comes in: late, or once more.
    Deliver {
        sent: u8,
    },
    /// The call reaches the back-end, or doesn't.
    Effect(CallFate),
    /// The answer to the call comes.
    Answer,
    /// The back-end looks up what it will answer to a question.
    Look {
        question: u8,
    },
    /// The answer to a question comes; of now, where nothing was looked up.
    Show {
        question: u8,
    },
    Unreadable {
        question: u8,
    },
    Start,
    End(Ending),
    /// The scheduler's next deadline.
    Wake,
    /// A little time in which nothing is due.
    Wait,
    /// The process dies and restarts.
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFate {
    Accepted,
    AcceptedShownLate,
    /// It has its effect; the answer is lost.
    AnswerLost,
    /// It never arrives, and that can't be known.
    Lost,
    RefusedForNow,
    /// It is answered OK, and discarded.
    ThrownAway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    Failure,
    Vanished,
}

impl Ending {
    pub(crate) fn state(self) -> State {
        match self {
            Self::Success => State::Over(Outcome::Success),
            Self::Failure => State::Over(Outcome::Failure),
            Self::Vanished => State::Gone,
        }
    }
}

impl World {
    /// All that can happen next, in an order that is always the same.
    pub(crate) fn turns(&self) -> Vec<Turn> {
        let mut turns = Vec::with_capacity(24);
        let mut of_the_world = |what| turns.push(Turn { what, how: How::Lives });
        if let Some(Call { answer: None, .. }) = &self.call {
            of_the_world(Move::Effect(CallFate::Accepted));
            if self.left.calls > 0 {
                use CallFate::{AcceptedShownLate, AnswerLost, Lost, RefusedForNow, ThrownAway};
                for fate in [AnswerLost, Lost, RefusedForNow, ThrownAway, AcceptedShownLate] {
                    of_the_world(Move::Effect(fate));
                }
            }
        }
        if self.backend.running().is_some() {
            of_the_world(Move::End(Ending::Success));
            if self.left.bad > 0 {
                of_the_world(Move::End(Ending::Failure));
                of_the_world(Move::End(Ending::Vanished));
            }
        } else if self.backend.waiting().is_some() {
            of_the_world(Move::Start);
        }
        let questions = 0u8..;
        if self.left.stale > 0 {
            for (question, asked) in questions.clone().zip(&self.questions) {
                if asked.seen.is_none() {
                    of_the_world(Move::Look { question });
                }
            }
        }
        if self.left.pushes > 0 && self.left.late > 0 {
            for git_ref in self.refs() {
                of_the_world(Move::Push { git_ref, late: true });
            }
        }
        if self.may_wait() {
            of_the_world(Move::Wait);
        }
        if self.left.crashes > 0 {
            of_the_world(Move::Crash);
        }
        let mut taken_in = |what| {
            turns.push(Turn { what, how: How::Lives });
            if self.left.crashes > 0 {
                // Where an answer to us is lost by it, it is a crash like any other.
                if !matches!(what, Move::Answer | Move::Show { .. } | Move::Unreadable { .. }) {
                    turns.push(Turn { what, how: How::DiesBeforeTheCommit });
                }
                turns.push(Turn { what, how: How::DiesBeforeTheEffects });
            }
        };
        if self.call.as_ref().is_some_and(|call| call.answer.is_some()) {
            taken_in(Move::Answer);
        }
        for (question, _) in questions.zip(&self.questions) {
            taken_in(Move::Show { question });
            if self.left.unreadable > 0 {
                taken_in(Move::Unreadable { question });
            }
        }
        for git_ref in self.refs() {
            if self.left.pushes > 0 {
                taken_in(Move::Push { git_ref, late: false });
            }
            if self.left.taps > 0 {
                taken_in(Move::Tap { git_ref });
            }
        }
        for (index, sent) in (0u8..).zip(&self.sent) {
            if sent.on_its_way || (self.left.again > 0 && sent.commit.is_some()) {
                taken_in(Move::Deliver { sent: index });
            }
        }
        if self.next_wake().is_some_and(|at| self.limit().is_none_or(|limit| at <= limit)) {
            taken_in(Move::Wake);
        }
        turns
    }

    /// The refs for which something may be sent. They are alike until one of them was named.
    fn refs(&self) -> std::ops::Range<u8> {
        if self.sent.is_empty() { 0..1 } else { 0..u8::try_from(REFS).expect("few") }
    }

    /// When the scheduler is due, on the world's grid.
    pub(crate) fn next_wake(&self) -> Option<i64> {
        let due = self.driver.deadline()?.as_millis() - START.as_millis();
        Some((due.max(self.at) + STEP_MS - 1).div_euclid(STEP_MS) * STEP_MS)
    }

    fn may_wait(&self) -> bool {
        let next = self.at + STEP_MS;
        let something_goes_on = self.limit().is_none_or(|limit| next <= limit);
        self.left.waits > 0 && something_goes_on && self.next_wake().is_some_and(|due| next < due)
    }

    /// How far time may advance: everything takes its time, and no longer.
    fn limit(&self) -> Option<i64> {
        let call = self.call.as_ref().map(|call| call.at + CALL_MS);
        let questions = self.questions.iter().map(|asked| asked.at + QUESTION_MS).min();
        let late = self.sent.iter().filter(|sent| sent.on_its_way).map(|sent| sent.at + LATE_MS).min();
        [call, questions, late, self.backend.limit()].into_iter().flatten().min()
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            Move::Push { git_ref, late: false } => write!(f, "push to ref {git_ref}"),
            Move::Push { git_ref, late: true } => write!(f, "push to ref {git_ref}, its delivery on its way"),
            Move::Tap { git_ref } => write!(f, "tap for ref {git_ref}"),
            Move::Deliver { sent } => write!(f, "what was sent as number {sent} comes in"),
            Move::Effect(fate) => write!(f, "the trigger call: {fate:?}"),
            Move::Answer => write!(f, "the answer to the call"),
            Move::Look { question } => write!(f, "the back-end looks up its answer to question {question}"),
            Move::Show { question } => write!(f, "the answer to question {question}"),
            Move::Unreadable { question } => write!(f, "no readable answer to question {question}"),
            Move::Start => write!(f, "the queued build starts"),
            Move::End(ending) => write!(f, "the running build ends: {ending:?}"),
            Move::Wake => write!(f, "time passes to the deadline"),
            Move::Wait => write!(f, "a little time passes"),
            Move::Crash => write!(f, "crash"),
        }?;
        match self.how {
            How::Lives => Ok(()),
            How::DiesBeforeTheCommit => write!(f, "; crash before the commit"),
            How::DiesBeforeTheEffects => write!(f, "; crash after the commit, before the effects"),
        }
    }
}
