//! What reaches the Hub, what it answers, and what comes in of it. The truth is the Hub's; here it is only passed on.

use std::time::Duration;

use coalesced::build::{
    BackendBuild, BackendBuildId, BackendBuildState, BuildRequest, CancelAnswer, Observation, ObserveError,
    TriggerAnswer,
};
use coalesced::emulator::{Fault, Reply, TrueBuild, Wanted};
use coalesced::event::{CauseKind, Delivery};
use coalesced::model::{ImageName, Timestamp};
use coalesced::scheduler::Input;

use super::super::plan::QuestionFate;
use super::{CallFateNow, History, Pending, world};

/// How late a late answer to a question comes.
const TOO_LATE_MS: i64 = 150_000;

impl History<'_> {
    /// Carries out what is due outside, and returns what comes in.
    pub(super) fn take_due(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.at) {
            match entry.remove() {
                Pending::Arrive(delivery) => {
                    let ticket = self.ticket();
                    self.receipts.insert(ticket, delivery.fingerprints[1]);
                    self.note_order(&delivery);
                    inputs.push(Input::Arrived { delivery, ticket });
                }
                Pending::CallEffect(request, fate) => self.call_hub(request, fate),
                Pending::CallAnswer(image, build, answer) => inputs.push(Input::Answered { image, build, answer }),
                Pending::Look(image, question, fate) => self.look(image, question, fate),
                Pending::Seen(image, question, answer) => {
                    let answer = answer.map(|seen| self.by_our_clock(seen));
                    inputs.push(Input::Observed { image, question, answer });
                }
                Pending::CancelEffect(image, build, row) => {
                    let number = number_of(&row);
                    let granted = number.is_some_and(|number| self.hub.cancel(world(self.at), number));
                    let refused = || CancelAnswer::Failed { detail: "too late".to_owned() };
                    let answer = if granted { CancelAnswer::Requested } else { refused() };
                    self.later(self.delays.1, Pending::CancelAnswer(image, build, answer));
                }
                Pending::Told(id, received) => {
                    let result = if received { Ok(()) } else { Err("as planned".to_owned()) };
                    inputs.push(Input::Delivered { id, result });
                }
                Pending::CancelAnswer(image, build, answer) => {
                    inputs.push(Input::CancelAnswered { image, build, answer });
                }
            }
        }
        inputs
    }

    /// Tells where a delivery of a push came in after one of a later push.
    pub(super) fn note_order(&mut self, delivery: &Delivery) {
        let number = u64::try_from(u128::from_be_bytes(delivery.fingerprints[1].0)).unwrap_or(0);
        let new_event = &delivery.new_events[0];
        let (CauseKind::Push, Some(image), Some(git_ref)) = (delivery.cause.kind, &new_event.image, &new_event.git_ref)
        else {
            return;
        };
        let newest = self.newest_delivery.entry((image.clone(), git_ref.clone())).or_default();
        if number < *newest {
            self.marks.hit("fault: a delivery is overtaken");
        }
        *newest = number.max(*newest);
    }

    pub(super) fn call_hub(&mut self, request: BuildRequest, fate: CallFateNow) {
        // Between the commit and the call, and between its effect and its answer, the process may die.
        if self.dies("before a call") {
            let (_, _, survives) = self.crashed.expect("just set");
            if !survives {
                return;
            }
        }
        self.triggers += 1;
        self.called.insert(request.build);
        let before = self.hub.true_builds(&request.image).len();
        let first = (0..usize::MAX).take_while(|number| self.hub.build(*number).is_some()).count();
        let reply = self.hub.trigger(world(self.at), &request.image, &Wanted::Ref(request.git_ref.clone()));
        let made = self.hub.true_builds(&request.image).len() > before;
        self.made.insert(request.build, if made { vec![first] } else { Vec::new() });
        if self.is_near_a_foreign_build(&request.image, request.build) {
            self.excuse(&request.image, "not judged: I3, a foreign build just before the call");
        }
        self.check_places(&request.image, &request.git_ref);
        let answer = match reply {
            Reply::Ok if !made && self.setting.says_pending => {
                TriggerAnswer::AlreadyPending { detail: "already pending".to_owned() }
            }
            Reply::Ok => {
                TriggerAnswer::Accepted { backend_id: (made && self.setting.names_rows).then(|| row_id(first)) }
            }
            Reply::NoAnswer => TriggerAnswer::Uncertain { detail: "no answer".to_owned() },
            Reply::Error => TriggerAnswer::Uncertain { detail: "500".to_owned() },
            Reply::Throttled => {
                TriggerAnswer::RefusedForNow { retry_after: Some(Duration::from_secs(1)), detail: "429".to_owned() }
            }
            Reply::Gone => TriggerAnswer::Refused { detail: "404".to_owned() },
        };
        if fate == CallFateNow::GivenUp || self.crashed.is_some() || self.dies("after a call") {
            return;
        }
        self.later(self.delays.1, Pending::CallAnswer(request.image, request.build, answer));
    }

    pub(super) fn look(&mut self, image: ImageName, question: u64, fate: Option<QuestionFate>) {
        let detail = "as planned".to_owned();
        let answer = match fate {
            Some(QuestionFate::Silence) => return,
            Some(QuestionFate::Forbidden) => Err(ObserveError::Forbidden { detail }),
            Some(QuestionFate::Throttled) => {
                Err(ObserveError::Throttled { retry_after: Some(Duration::from_secs(70)) })
            }
            Some(QuestionFate::Unavailable) => Err(ObserveError::Unavailable { detail }),
            None | Some(QuestionFate::TooLate) => match self.hub.list(world(self.at), &image) {
                Ok(builds) => Ok(self.observation(&builds)),
                Err(Fault::ListUnauthorized) => Err(ObserveError::Forbidden { detail }),
                Err(_) => Err(ObserveError::Unavailable { detail }),
            },
        };
        let late = if fate == Some(QuestionFate::TooLate) { TOO_LATE_MS } else { 0 };
        self.later(self.delays.1 + late, Pending::Seen(image, question, answer));
    }

    pub(super) fn observation(&self, builds: &[TrueBuild]) -> Observation {
        let rows: Vec<BackendBuild> = builds.iter().take(self.setting.list_max).map(|build| self.row(build)).collect();
        let complete_since = if builds.len() > rows.len() { rows.last().and_then(|row| row.created_at) } else { None };
        Observation { builds: rows, complete_since, clock_ahead_ms: 0 }
    }

    /// What comes in is dated by the wall clock, as far as that is known; the driver moves it to its own.
    pub(super) fn by_our_clock(&self, mut seen: Observation) -> Observation {
        let known = |at: &mut Option<Timestamp>| {
            *at = at.map(|at| Timestamp::from_millis(at.as_millis() + self.wall + self.setting.clock_error_ms));
        };
        known(&mut seen.complete_since);
        for row in &mut seen.builds {
            known(&mut row.created_at);
            known(&mut row.started_at);
            known(&mut row.finished_at);
        }
        seen.to_clock_ahead_by(Duration::from_millis((self.ahead - self.wall).unsigned_abs()));
        seen
    }

    /// A build as the list shows it, moments in whole seconds.
    pub(super) fn row(&self, build: &TrueBuild) -> BackendBuild {
        let state = match (build.outcome, build.is_cancelling(), build.runs()) {
            (Some(outcome), ..) => BackendBuildState::Finished(outcome),
            (None, true, _) => BackendBuildState::Stopping,
            (None, false, true) => BackendBuildState::Running,
            (None, false, false) => BackendBuildState::Waiting,
        };
        let ours = |at: Timestamp| Timestamp::from_millis(at.as_millis().div_euclid(1000) * 1000);
        let shows_commit = !self.setting.hub.withholds_commits && build.started_at.is_some();
        BackendBuild {
            label: Some(build.tag.clone()),
            commit: build.commit.clone().filter(|_| shows_commit),
            created_at: Some(ours(build.created_at)),
            started_at: build.started_at.map(ours).filter(|_| !self.setting.hub.withholds_starts),
            finished_at: build.finished_at.map(ours),
            ..BackendBuild::new(row_id(build.number), state)
        }
    }
}

pub(super) fn row_id(number: usize) -> BackendBuildId {
    BackendBuildId(format!("r{number}"))
}

pub(super) fn number_of(row: &BackendBuildId) -> Option<usize> {
    row.0.strip_prefix('r')?.parse().ok()
}
