//! PURE: how one image handles commands, hints and the passing of time. `trigger` handles the answers to
//! its calls; `observe` and `foreign` what its back-end shows, with `matching` to tell ours from theirs; `end` ends
//! builds; `recover` resumes from the stored state.

mod end;
mod foreign;
mod matching;
mod observe;
mod recover;
mod trigger;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::account::Account;
use super::lane::{Lane, Phase};
use super::policy::{AccountName, Policy};
use super::question::Watch;
use super::record::Fact;
use super::step::Effect;
use super::turn::Turn;
use super::wait::{Rank, Standing, Timer, rank, standing};
use crate::build::{BackendBuildId, Outcome};
use crate::command::{Command, Hold, Verb};
use crate::event::End;
use crate::model::{BuildId, GitRef, ImageName, Timestamp};
use crate::notice::NoticeKind;
use crate::reason::EndReason;

/// One image: its rules, its stored state, and what is known only while the process runs.
#[derive(Clone, Debug)]
pub(super) struct ImageController {
    pub(super) policy: Arc<Policy>,
    pub(super) lane: Lane,
    pub(super) watch: Watch,
    /// When we started, or woke after a gap: no question was asked before, so nothing from before can be overdue
    /// for lack of an answer.
    pub(super) since: Timestamp,
    /// How many places it takes in its account.
    pub(super) counted: usize,
    pub(super) timer: Option<Timestamp>,
    /// A notice that this refusal lasts was made.
    pub(super) noticed: bool,
}

impl ImageController {
    pub(super) fn new(policy: Arc<Policy>, lane: Lane, now: Timestamp) -> Self {
        Self { policy, lane, watch: Watch::default(), since: now, counted: 0, timer: None, noticed: false }
    }

    /// The key whose build can be handed out now, accounts aside, with its rank.
    pub(super) fn ready_key(&self, all_images: Option<&Hold>, now: Timestamp) -> Option<(Rank, GitRef)> {
        let ready = self.lane.keys.iter().filter(|(git_ref, key)| {
            standing(&self.lane, git_ref, key, &self.policy, all_images, now) == Standing::Ready
        });
        ready.filter_map(|(git_ref, key)| Some((rank(key, &self.lane, &self.policy, now)?, git_ref.clone()))).min()
    }

    /// R9: executes a person's command.
    pub(super) fn execute(&mut self, command: &Command, hold: Option<Hold>, turn: &mut Turn) {
        match command.verb {
            Verb::Pause { .. } | Verb::Resume => self.lane.apply(Fact::Held(hold), &mut turn.changes),
            Verb::Start => {
                for git_ref in self.open_keys() {
                    self.lane.apply(Fact::Expedited { git_ref, at: turn.now }, &mut turn.changes);
                }
                // A person who says "now" knows better than a pause between tries.
                if self.lane.refusal.is_some() {
                    self.lane.apply(Fact::Unblocked, &mut turn.changes);
                }
            }
            Verb::Drop => {
                let end = End::DroppedBy { actor: command.actor.clone(), reason: command.reason.clone() };
                for git_ref in self.open_keys() {
                    self.lane.apply(Fact::Closed { git_ref, end: end.clone(), at: turn.now }, &mut turn.changes);
                }
            }
            Verb::Cancel => {
                let lives: Vec<(BuildId, Vec<BackendBuildId>)> =
                    self.lane.lives().map(|live| (live.record.id, live.record.backend_ids.clone())).collect();
                for (build, backend_ids) in lives {
                    self.lane.apply(Fact::CancelAsked { build, actor: command.actor.clone() }, &mut turn.changes);
                    let image = &self.lane.image;
                    turn.effects.extend(backend_ids.into_iter().map(|backend_id| Effect::Cancel {
                        image: image.clone(),
                        build,
                        backend_id,
                    }));
                }
                self.watch.next_at = Some(turn.now);
            }
        }
    }

    pub(super) fn open_keys(&self) -> Vec<GitRef> {
        let open = self.lane.keys.iter().filter(|(_, key)| key.open.is_some());
        open.map(|(git_ref, _)| git_ref.clone()).collect()
    }

    pub(super) fn hinted(&mut self, turn: &mut Turn) {
        if self.policy.capabilities.observes() {
            self.watch.next_at = Some(turn.now);
        } else if let Some(running) = &self.lane.running {
            let build = running.live.record.id;
            self.end(build, Outcome::Success, turn.now, None, Some(EndReason::ImageReported), turn);
        }
    }

    /// Does what is due by time alone.
    pub(super) fn pass_time(&mut self, turn: &mut Turn) {
        if self.is_past(Timer::PauseOver, turn.now) {
            self.lane.apply(Fact::Held(None), &mut turn.changes);
        }
        if self.is_past(Timer::Unverifiable, turn.now) {
            self.give_up_uncertain(turn);
        }
        while let Some(git_ref) = self.lane.key_to_forget().cloned() {
            self.lane.apply(Fact::KeyForgotten { git_ref }, &mut turn.changes);
        }
        while let Some(running) = self.lane.running.as_ref().filter(|_| self.is_past(Timer::EndAssumed, turn.now)) {
            let build = running.live.record.id;
            self.end(build, Outcome::Success, turn.now, None, Some(EndReason::Assumed), turn);
        }
    }

    pub(super) fn count_places(&mut self, accounts: &mut BTreeMap<AccountName, Account>) {
        let places = self.lane.places();
        if let Some(account) = self.policy.account.as_ref().and_then(|name| accounts.get_mut(name)) {
            account.taken = account.taken + places - self.counted;
        }
        self.counted = places;
    }

    /// Whether it is time for the next question to the back-end.
    pub(super) fn is_due_to_ask(&mut self, now: Timestamp) -> bool {
        if !self.is_worth_asking() {
            self.watch = Watch::default();
            return false;
        }
        if self.is_past(Timer::AnswerLost, now) {
            self.watch.asked = None;
        }
        self.watch.next_at.get_or_insert(now);
        self.is_past(Timer::QuestionDue, now)
    }

    /// Sets when this lane must be looked at next if there is no input.
    pub(super) fn set_timer(&mut self, may_trigger: bool, timers: &mut BTreeSet<(Timestamp, ImageName)>) {
        let timer = Timer::next(&self.lane, &self.policy, &self.watch, may_trigger);
        if timer == self.timer {
            return;
        }
        if let Some(old) = self.timer.take() {
            timers.remove(&(old, self.lane.image.clone()));
        }
        timers.extend(timer.map(|new| (new, self.lane.image.clone())));
        self.timer = timer;
    }

    fn is_past(&self, timer: Timer, now: Timestamp) -> bool {
        timer.at(&self.lane, &self.policy, &self.watch).is_some_and(|at| at <= now)
    }

    /// Whether the back-end holds, or may hold, a build that we must follow.
    fn is_worth_asking(&self) -> bool {
        let queued = self.lane.queued.as_ref().is_some_and(|queued| queued.phase != Phase::Triggering);
        self.policy.capabilities.observes() && (queued || self.lane.running.is_some() || !self.lane.foreign.is_empty())
    }

    pub(super) fn notify(&self, kind: NoticeKind, turn: &mut Turn) {
        turn.notify(Some(&self.lane.image), kind);
    }
}
