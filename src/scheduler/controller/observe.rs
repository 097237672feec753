//! PURE: what a back-end's answer means for our builds (semantics R4, R6).

use super::ImageController;
use super::matching::{CLOCK_TOLERANCE, accepted_surely_before, fits_label, matching_builds};
use crate::build::{BackendBuild, BackendBuildId, BackendBuildState, Observation, ObserveError, Outcome, SourceTaken};
use crate::model::{BuildId, CommitId, Seq, Timestamp};
use crate::notice::NoticeKind;
use crate::reason::{EndReason, RefusalReason};
use crate::scheduler::coverage::cover;
use crate::scheduler::lane::{Lane, Live, Phase, Running};
use crate::scheduler::question::Question;
use crate::scheduler::record::Fact;
use crate::scheduler::step::Effect;
use crate::scheduler::turn::Turn;

/// No known back-end has longer ids, and a longer one would not fit a small journal entry.
const BACKEND_ID_BYTES_MAX: usize = 64;
/// While a build is live, questions come at most this many times `observe_every` apart.
const OBSERVE_GROWTH_MAX: u32 = 4;

impl ImageController {
    /// Handles the answer to a question. If the question was withdrawn because the slot has
    /// changed since, its answer is stale and is ignored.
    pub(in crate::scheduler) fn observed(
        &mut self,
        question: u64,
        answer: Result<Observation, ObserveError>,
        turn: &mut Turn,
    ) {
        let Some(asked) = self.watch.asked.take_if(|asked| asked.id == question) else { return };
        let before = self.lane.clone();
        let answered = answer.is_ok();
        match answer {
            Ok(mut observation) => {
                observation.builds.retain(|theirs| theirs.id.0.len() <= BACKEND_ID_BYTES_MAX);
                observation.builds.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
                observation.builds.dedup_by(|a, b| a.id == b.id);
                self.attach(&observation, &asked, turn);
                self.attach_late(&observation, turn);
                self.follow_ours(&observation, &asked, turn);
                self.follow_foreign(&observation, turn);
            }
            Err(error) => self.unreadable(&error, turn),
        }
        if answered || self.since.plus(self.policy.uncertain_limit) <= turn.now {
            self.give_up_overdue(turn);
        }
        self.schedule_next(before != self.lane, turn.now);
    }

    /// R6: finds the builds of a trigger whose build was not named, or finds that there are none.
    fn attach(&mut self, observation: &Observation, asked: &Question, turn: &mut Turn) {
        let Some(queued) = &self.lane.queued else { return };
        if queued.phase == Phase::Triggering {
            return;
        }
        let live = &queued.live;
        let build = live.record.id;
        let found = matching_builds(&self.lane, live, &self.policy, observation);
        if let Some(first) = found.first() {
            let only_through = match queued.phase {
                Phase::Uncertain { .. } => Some(accepted_surely_before(live, first)),
                _ => None,
            };
            let backend_ids: Vec<BackendBuildId> = found.into_iter().map(|theirs| theirs.id.clone()).collect();
            self.attach_builds(build, backend_ids, only_through, turn);
            return;
        }
        // One assumed to have started, before there was a login, has an assumed end.
        if !live.record.backend_ids.is_empty() || live.record.started_at.is_some() {
            return;
        }
        if let Phase::Uncertain { pending: true, .. } = queued.phase {
            self.ride_or_retry(observation, asked, turn);
            return;
        }
        let called_at = live.record.triggered_at.unwrap_or(turn.now);
        let reaches_back = observation.complete_since.is_none_or(|since| since <= called_at.minus(CLOCK_TOLERANCE));
        if reaches_back && self.grace_is_over(called_at, asked.at) {
            self.never_started(Outcome::NotStarted, EndReason::NotShown, Some(turn.jitter(asked.id)), turn);
        } else if !reaches_back {
            self.give_up_if_uncertain_for_long(turn);
        }
    }

    /// Attaches back-end builds that show up late: of another build rule, or ours next to one that we took for ours.
    fn attach_late(&mut self, observation: &Observation, turn: &mut Turn) {
        let Some(Running { live, .. }) = &self.lane.running else { return };
        if live.record.backend_ids.is_empty() {
            return;
        }
        let build = live.record.id;
        let found = matching_builds(&self.lane, live, &self.policy, observation).into_iter();
        let backend_ids: Vec<BackendBuildId> =
            found.filter(|theirs| !self.may_be_of_a_call_under_way(theirs)).map(|theirs| theirs.id.clone()).collect();
        if !backend_ids.is_empty() {
            self.attach_builds(build, backend_ids, None, turn);
        }
    }

    fn attach_builds(
        &mut self,
        build: BuildId,
        backend_ids: Vec<BackendBuildId>,
        only_through: Option<Seq>,
        turn: &mut Turn,
    ) {
        if self.lane.live(build).is_some_and(|live| live.cancelled_by.is_some()) {
            // It could not be cancelled while its id was unknown.
            let cancel = |backend_id: &BackendBuildId| Effect::Cancel {
                image: self.lane.image.clone(),
                build,
                backend_id: backend_id.clone(),
            };
            turn.effects.extend(backend_ids.iter().map(cancel));
        }
        self.lane.apply(Fact::Attached { build, backend_ids, only_through }, &mut turn.changes);
    }

    /// The back-end says that a build is pending already: ride on it if it is there; else the call was refused.
    fn ride_or_retry(&mut self, observation: &Observation, asked: &Question, turn: &mut Turn) {
        let queued = self.lane.queued.as_ref().expect("looked up by the caller");
        let (build, git_ref) = (queued.live.record.id, queued.live.record.git_ref.clone());
        let waiting = observation.builds.iter().find(|theirs| {
            theirs.state == BackendBuildState::Waiting
                && !self.lane.owns(&theirs.id)
                && fits_label(theirs, git_ref.as_ref(), &self.policy)
        });
        if let Some(theirs) = waiting {
            let backend_ids = vec![theirs.id.clone()];
            // It existed before our call: by time it covers nothing that we know of.
            self.lane.apply(Fact::Attached { build, backend_ids, only_through: Some(Seq(0)) }, &mut turn.changes);
        } else {
            let reason = RefusalReason::PendingNotShown;
            let again_at = self.next_try(turn.jitter(asked.id), turn.now);
            self.lane.apply(Fact::Refused { build, at: turn.now, reason, again_at, blocked: false }, &mut turn.changes);
        }
    }

    /// Updates our live builds from what the back-end shows.
    fn follow_ours(&mut self, observation: &Observation, asked: &Question, turn: &mut Turn) {
        let builds: Vec<BuildId> = self.lane.lives().map(|live| live.record.id).collect();
        for build in builds {
            let live = self.lane.live(build).expect("listed just now");
            if live.record.backend_ids.is_empty() {
                continue;
            }
            match Sight::of(live, observation) {
                Sight::Absent => self.absent(build, observation, turn),
                sight => {
                    if live.missing_since.is_some() {
                        self.lane.apply(Fact::Missing { build, since: None }, &mut turn.changes);
                    }
                    self.seen(build, sight, asked, turn);
                }
            }
        }
    }

    fn seen(&mut self, build: BuildId, sight: Sight, asked: &Question, turn: &mut Turn) {
        let started = self.lane.live(build).expect("seen because it lives").record.started_at.is_some();
        match sight {
            Sight::Absent | Sight::Unclear => {}
            Sight::Waiting => {
                if !started && self.policy.capabilities.source_taken == SourceTaken::AtStart {
                    self.lane.apply(Fact::StillQueued { build, through: asked.through }, &mut turn.changes);
                }
            }
            Sight::Begun { commit, started_at } => {
                self.begun(build, commit.as_ref(), started_at, turn);
            }
            Sight::Ended { outcome, commit, started_at, finished_at, log_url, ever_ran } => {
                let at = finished_at.unwrap_or(turn.now).min(turn.now);
                if !started && outcome == Outcome::Cancelled && !ever_ran {
                    let reason = EndReason::CancelledBeforeStart;
                    self.never_started(Outcome::Cancelled, reason, None, turn);
                    return;
                }
                self.begun(build, commit.as_ref(), started_at, turn);
                let begun_at = self.lane.live(build).and_then(|live| live.record.started_at).unwrap_or(at);
                if outcome == Outcome::Cancelled && self.policy.capabilities.is_over_limit(at.since(begun_at)) {
                    let reason = EndReason::BackendTimeLimit;
                    self.end(build, Outcome::Lost, at, log_url, Some(reason), turn);
                } else {
                    self.end(build, outcome, at, log_url, None, turn);
                }
            }
        }
    }

    /// R4: the first sight of a started build fixes what it covers; a commit that becomes known later
    /// may still correct that.
    fn begun(&mut self, build: BuildId, commit: Option<&CommitId>, started_at: Option<Timestamp>, turn: &mut Turn) {
        let live = self.lane.live(build).expect("seen because it lives");
        let git_ref = live.record.git_ref.as_ref().expect("a build of ours has a ref");
        let key = self.lane.keys.get(git_ref).cloned().unwrap_or_default();
        let covered = cover(live, &key, commit);
        if live.record.started_at.is_some() {
            let learned = commit.is_some() && live.record.commit.is_none();
            if learned {
                self.lane.apply(Fact::CoverChanged { build, at: turn.now, cover: covered }, &mut turn.changes);
            }
            return;
        }
        if self.lane.running.is_some() && !self.lane.overlaps {
            self.lane.apply(Fact::Overlapped, &mut turn.changes);
        }
        let called_at = live_called_at(&self.lane, build);
        let at = started_at.unwrap_or(turn.now).min(turn.now).max(called_at);
        self.lift_block(true, turn);
        self.lane.apply(Fact::Started { build, at, cover: covered, assumed_until: None }, &mut turn.changes);
    }

    /// A build missing from the history that should show it: after the grace it has vanished.
    fn absent(&mut self, build: BuildId, observation: &Observation, turn: &mut Turn) {
        let live = self.lane.live(build).expect("listed just now");
        let called_at = live.record.triggered_at.unwrap_or(turn.now);
        if observation.complete_since.is_some_and(|since| since > called_at.minus(CLOCK_TOLERANCE)) {
            return;
        }
        match live.missing_since {
            None => self.lane.apply(Fact::Missing { build, since: Some(turn.now) }, &mut turn.changes),
            Some(since) if self.grace_is_over(since, turn.now) => {
                self.lose(build, EndReason::Vanished, turn);
            }
            Some(_) => {}
        }
    }

    fn unreadable(&mut self, error: &ObserveError, turn: &mut Turn) {
        self.give_up_if_uncertain_for_long(turn);
        match error {
            ObserveError::Throttled { retry_after: Some(wait) } => self.watch.wait = *wait,
            ObserveError::Forbidden { detail } if self.watch.wait <= self.policy.observe_every => {
                self.notify(NoticeKind::Unreadable { detail: detail.clone() }, turn);
            }
            _ => {}
        }
    }

    /// Sets when to ask next: soon after a change, then ever less often, up to a limit.
    fn schedule_next(&mut self, changed: bool, now: Timestamp) {
        let every = self.policy.observe_every;
        let wait = if changed { every } else { self.watch.wait.max(every) };
        self.watch.next_at = Some(now.plus(wait));
        let longer = wait + wait / 4;
        self.watch.wait = longer.min(every * OBSERVE_GROWTH_MAX).max(every);
    }
}

/// What the back-end's builds of one trigger show together: there may be one for each build rule.
enum Sight {
    /// None of them is shown.
    Absent,
    /// Shown in an unknown state: in flight until the deadline.
    Unclear,
    /// None has started.
    Waiting,
    Begun {
        commit: Option<CommitId>,
        started_at: Option<Timestamp>,
    },
    /// All have ended; the worst outcome is the build's.
    Ended {
        outcome: Outcome,
        commit: Option<CommitId>,
        started_at: Option<Timestamp>,
        finished_at: Option<Timestamp>,
        log_url: Option<String>,
        /// One of them started before it ended.
        ever_ran: bool,
    },
}

impl Sight {
    fn of(live: &Live, observation: &Observation) -> Self {
        let builds: Vec<&BackendBuild> =
            observation.builds.iter().filter(|theirs| live.record.backend_ids.contains(&theirs.id)).collect();
        if builds.is_empty() {
            return Self::Absent;
        }
        let commit = builds.iter().find_map(|theirs| theirs.commit.clone());
        let started_at = builds.iter().filter_map(|theirs| theirs.started_at).min();
        let outcomes: Vec<Outcome> = builds
            .iter()
            .filter_map(
                |theirs| if let BackendBuildState::Finished(outcome) = theirs.state { Some(outcome) } else { None },
            )
            .collect();
        if outcomes.len() == builds.len() {
            let has = |outcome| outcomes.contains(&outcome);
            let outcome = [Outcome::Failure, Outcome::Lost, Outcome::Cancelled].into_iter().find(|bad| has(*bad));
            let finished_at = builds.iter().filter_map(|theirs| theirs.finished_at).max();
            let log_url = builds.iter().find_map(|theirs| theirs.log_url.clone());
            let outcome = outcome.unwrap_or(Outcome::Success);
            let ever_ran = started_at.is_some() || outcomes.iter().any(|outcome| *outcome != Outcome::Cancelled);
            return Self::Ended { outcome, commit, started_at, finished_at, log_url, ever_ran };
        }
        if builds.iter().any(|theirs| has_begun(theirs)) {
            return Self::Begun { commit, started_at };
        }
        let waits = |theirs: &&BackendBuild| {
            matches!(theirs.state, BackendBuildState::Waiting | BackendBuildState::Finished(Outcome::Cancelled))
        };
        if builds.iter().all(waits) { Self::Waiting } else { Self::Unclear }
    }
}

/// One that is being cancelled, or was, has started only if it has a start time.
fn has_begun(theirs: &BackendBuild) -> bool {
    match theirs.state {
        BackendBuildState::Stopping | BackendBuildState::Finished(Outcome::Cancelled) => theirs.started_at.is_some(),
        BackendBuildState::Running | BackendBuildState::Finished(_) => true,
        BackendBuildState::Waiting | BackendBuildState::Unknown => false,
    }
}

fn live_called_at(lane: &Lane, build: BuildId) -> Timestamp {
    let called_at = lane.live(build).and_then(|live| live.record.triggered_at);
    called_at.unwrap_or(Timestamp::from_millis(0))
}
