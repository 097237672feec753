//! PURE: what an answer of the back-end means for a lane (semantics R4, R6, R7, R8).

use std::time::Duration;

use super::{ImageController, Question};
use crate::build::{BackendBuild, BackendBuildId, BackendBuildState, Observation, ObserveError, Outcome, SourceTaken};
use crate::model::{BuildId, CommitId, GitRef, Seq, Timestamp};
use crate::scheduler::coverage::{contained_through, cover};
use crate::scheduler::lane::{FOREIGN_MAX, Lane, Live, Phase, Running};
use crate::scheduler::policy::Policy;
use crate::scheduler::record::{Fact, Foreign};
use crate::scheduler::wait::back_off;
use crate::scheduler::{Effect, Notice, OBSERVE_GROWTH_MAX, Work};

/// A theirs may seem to be this much older than our call and still be of it: the back-end's clock is known to
/// about two seconds, and its times are cut to whole ones.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(4);
/// Rows of one trigger, one for each build rule, are made within this time.
const SIBLINGS_WITHIN: Duration = Duration::from_secs(10);
/// A longer id is no id of a back-end that we know, and has no place in a small theirs of the journal.
const ROW_ID_BYTES_MAX: usize = 64;

impl ImageController {
    /// Takes in the answer to a question. An answer to a question that was withdrawn, because the slot has
    /// changed since it was asked, is stale and counts for nothing.
    pub(in crate::scheduler) fn observed(
        &mut self,
        question: u64,
        answer: Result<Observation, ObserveError>,
        newest_build: &mut BuildId,
        jitter: u64,
        now: Timestamp,
        work: &mut Work,
    ) {
        let Some(asked) = self.watch.asked.take_if(|asked| asked.id == question) else { return };
        let before = self.lane.clone();
        let answered = answer.is_ok();
        match answer {
            Ok(mut observation) => {
                observation.builds.retain(|theirs| theirs.id.0.len() <= ROW_ID_BYTES_MAX);
                observation.builds.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
                observation.builds.dedup_by(|a, b| a.id == b.id);
                self.attach(&observation, &asked, jitter, now, work);
                self.attach_late(&observation, work);
                self.follow_ours(&observation, &asked, now, work);
                self.follow_foreign(&observation, newest_build, now, work);
            }
            Err(error) => self.unreadable(&error, now, work),
        }
        if answered || self.since.plus(self.policy.uncertain_limit) <= now {
            self.give_up_overdue(now, work);
        }
        self.schedule_next(before != self.lane, now);
    }

    /// R6: finds the builds of a trigger whose build nobody has named, or finds that there are none.
    fn attach(&mut self, observation: &Observation, asked: &Question, jitter: u64, now: Timestamp, work: &mut Work) {
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
            self.attach_builds(build, backend_ids, only_through, work);
            return;
        }
        // One that was assumed to have begun, before there was a login, has an end that is assumed.
        if !live.record.backend_ids.is_empty() || live.record.started_at.is_some() {
            return;
        }
        if let Phase::Uncertain { pending: true, .. } = queued.phase {
            self.ride_or_retry(observation, jitter, now, work);
            return;
        }
        let called_at = live.record.triggered_at.unwrap_or(now);
        let reaches_back = observation.complete_since.is_none_or(|since| since <= called_at.minus(CLOCK_TOLERANCE));
        if reaches_back && self.grace_is_over(called_at, asked.at) {
            let note = "the back-end shows no build of this trigger, so it never started".to_owned();
            self.never_started(Outcome::NotStarted, note, Some(jitter), now, work);
        } else if !reaches_back {
            self.give_up_if_uncertain_for_long(now, work);
        }
    }

    /// Rows of a running build that show up late: of another build rule, or ours beside one that we took for ours.
    fn attach_late(&mut self, observation: &Observation, work: &mut Work) {
        let Some(Running { live, .. }) = &self.lane.running else { return };
        if live.record.backend_ids.is_empty() {
            return;
        }
        let build = live.record.id;
        let found = matching_builds(&self.lane, live, &self.policy, observation).into_iter();
        let backend_ids: Vec<BackendBuildId> =
            found.filter(|theirs| !self.may_be_of_a_call_under_way(theirs)).map(|theirs| theirs.id.clone()).collect();
        if !backend_ids.is_empty() {
            self.attach_builds(build, backend_ids, None, work);
        }
    }

    fn attach_builds(
        &mut self,
        build: BuildId,
        backend_ids: Vec<BackendBuildId>,
        only_through: Option<Seq>,
        work: &mut Work,
    ) {
        if self.lane.live(build).is_some_and(|live| live.cancelled_by.is_some()) {
            // It could not be asked for while nobody knew what to cancel.
            let cancel = |backend_id: &BackendBuildId| Effect::Cancel {
                image: self.lane.image.clone(),
                build,
                backend_id: backend_id.clone(),
            };
            work.effects.extend(backend_ids.iter().map(cancel));
        }
        self.lane.apply(Fact::Attached { build, backend_ids, only_through }, &mut work.changes);
    }

    /// The back-end says that one is pending already: ride on it, if it is there; else the call was refused.
    fn ride_or_retry(&mut self, observation: &Observation, jitter: u64, now: Timestamp, work: &mut Work) {
        let queued = self.lane.queued.as_ref().expect("looked up by the caller");
        let (build, git_ref) = (queued.live.record.id, queued.live.record.git_ref.clone());
        let waiting = observation.builds.iter().find(|theirs| {
            theirs.state == BackendBuildState::Waiting
                && !self.lane.owns(&theirs.id)
                && fits_label(theirs, git_ref.as_ref(), &self.policy)
        });
        if let Some(theirs) = waiting {
            let backend_ids = vec![theirs.id.clone()];
            // It was there before our call: by time it covers nothing that we know of.
            self.lane.apply(Fact::Attached { build, backend_ids, only_through: Some(Seq(0)) }, &mut work.changes);
        } else {
            let detail = "the back-end says that a build is pending already, and shows none".to_owned();
            let times = self.lane.refusal.as_ref().map_or(0, |refusal| refusal.times);
            let again_at = now.plus(back_off(times, jitter));
            self.lane.apply(Fact::Refused { build, at: now, detail, again_at, blocked: false }, &mut work.changes);
        }
    }

    /// Brings our live builds up to what the back-end shows of their builds.
    fn follow_ours(&mut self, observation: &Observation, asked: &Question, now: Timestamp, work: &mut Work) {
        let builds: Vec<BuildId> = self.lane.lives().map(|live| live.record.id).collect();
        for build in builds {
            let live = self.lane.live(build).expect("listed just now");
            if live.record.backend_ids.is_empty() {
                continue;
            }
            match Sight::of(live, observation) {
                Sight::Absent => self.absent(build, observation, now, work),
                sight => {
                    if live.missing_since.is_some() {
                        self.lane.apply(Fact::Missing { build, since: None }, &mut work.changes);
                    }
                    self.seen(build, sight, asked, now, work);
                }
            }
        }
    }

    fn seen(&mut self, build: BuildId, sight: Sight, asked: &Question, now: Timestamp, work: &mut Work) {
        let started = self.lane.live(build).expect("seen because it lives").record.started_at.is_some();
        match sight {
            Sight::Absent | Sight::Unclear => {}
            Sight::Waiting => {
                if !started && self.policy.capabilities.source_taken == SourceTaken::AtStart {
                    self.lane.apply(Fact::StillQueued { build, through: asked.through }, &mut work.changes);
                }
            }
            Sight::Begun { commit, started_at } => {
                self.begun(build, commit.as_ref(), started_at, now, work);
            }
            Sight::Ended { outcome, commit, started_at, finished_at, log_url, ever_ran } => {
                let at = finished_at.unwrap_or(now).min(now);
                if !started && outcome == Outcome::Cancelled && !ever_ran {
                    let note = "it was cancelled before it began".to_owned();
                    self.never_started(Outcome::Cancelled, note, None, now, work);
                    return;
                }
                self.begun(build, commit.as_ref(), started_at, now, work);
                let begun_at = self.lane.live(build).and_then(|live| live.record.started_at).unwrap_or(at);
                if outcome == Outcome::Cancelled && self.policy.capabilities.is_over_limit(at.since(begun_at)) {
                    let note = "the back-end ended it at its own time limit".to_owned();
                    self.end(build, Outcome::Lost, at, log_url, Some(note), work);
                } else {
                    self.end(build, outcome, at, log_url, None, work);
                }
            }
        }
    }

    /// R4: the first sight of a build that has begun fixes what it covers; a commit that becomes known later
    /// may still correct that.
    fn begun(
        &mut self,
        build: BuildId,
        commit: Option<&CommitId>,
        started_at: Option<Timestamp>,
        now: Timestamp,
        work: &mut Work,
    ) {
        let live = self.lane.live(build).expect("seen because it lives");
        let git_ref = live.record.git_ref.as_ref().expect("a build of ours has a ref");
        let key = self.lane.keys.get(git_ref).cloned().unwrap_or_default();
        let covered = cover(live, &key, commit);
        if live.record.started_at.is_some() {
            let learned = commit.is_some() && live.record.commit.is_none();
            if learned {
                self.lane.apply(Fact::CoverChanged { build, at: now, cover: covered }, &mut work.changes);
            }
            return;
        }
        if self.lane.running.is_some() && !self.lane.overlaps {
            self.lane.apply(Fact::Overlapped, &mut work.changes);
        }
        let called_at = live_called_at(&self.lane, build);
        let at = started_at.unwrap_or(now).min(now).max(called_at);
        self.lift_block(true, work);
        self.lane.apply(Fact::Started { build, at, cover: covered, assumed_until: None }, &mut work.changes);
    }

    /// A theirs that the history should show and doesn't: after the grace it has vanished.
    fn absent(&mut self, build: BuildId, observation: &Observation, now: Timestamp, work: &mut Work) {
        let live = self.lane.live(build).expect("listed just now");
        let called_at = live.record.triggered_at.unwrap_or(now);
        if observation.complete_since.is_some_and(|since| since > called_at.minus(CLOCK_TOLERANCE)) {
            return;
        }
        match live.missing_since {
            None => self.lane.apply(Fact::Missing { build, since: Some(now) }, &mut work.changes),
            Some(since) if self.grace_is_over(since, now) => {
                let note = "it vanished from the back-end's history".to_owned();
                self.lose(build, note, now, work);
            }
            Some(_) => {}
        }
    }

    /// Only time in which we could have seen a build counts: not that before a restart, nor what a clock set forward
    /// or a machine that slept made of it.
    fn grace_is_over(&self, since: Timestamp, now: Timestamp) -> bool {
        since.max(self.since).plus(self.policy.uncertain_grace) <= now
    }

    /// R7: builds of others take places, and cover as far as their commit proves.
    fn follow_foreign(
        &mut self,
        observation: &Observation,
        newest_build: &mut BuildId,
        now: Timestamp,
        work: &mut Work,
    ) {
        for known in self.lane.foreign.clone() {
            let theirs = observation.builds.iter().find(|theirs| theirs.id == known.backend_id);
            let outcome = match theirs.map(|theirs| theirs.state) {
                Some(BackendBuildState::Finished(outcome)) => Some(outcome),
                None => Some(Outcome::Lost),
                Some(_) if known.seen_at.plus(self.policy.build_deadline) <= now => Some(Outcome::Lost),
                Some(_) => None,
            };
            if let Some(outcome) = outcome {
                // One that never began, or whose end nobody has seen, covers nothing, whatever its commit.
                let ran = theirs.filter(|theirs| match theirs.state {
                    BackendBuildState::Finished(Outcome::Cancelled | Outcome::Lost) => {
                        known.started || theirs.started_at.is_some()
                    }
                    state => state.is_final(),
                });
                let covered = ran.map(|theirs| self.covered_by_foreign(theirs)).unwrap_or_default();
                let ended = Fact::ForeignEnded { id: known.id, at: now, outcome, covered };
                self.lane.apply(ended, &mut work.changes);
            }
        }
        for theirs in &observation.builds {
            let known = self.lane.foreign.iter().find(|foreign| foreign.backend_id == theirs.id).cloned();
            let fresh = known.is_none();
            let started = !matches!(theirs.state, BackendBuildState::Waiting | BackendBuildState::Unknown);
            let changed = known.as_ref().is_some_and(|known| known.started != started || known.commit != theirs.commit);
            let may_be_ours = fresh && self.may_be_of_a_call_under_way(theirs);
            if theirs.state.is_final() || self.lane.owns(&theirs.id) || may_be_ours || !(fresh || changed) {
                continue;
            }
            if fresh && (self.lane.foreign.len() >= FOREIGN_MAX || is_long_over(theirs, &self.policy, now)) {
                continue;
            }
            let id = known.as_ref().map_or_else(
                || {
                    newest_build.0 += 1;
                    *newest_build
                },
                |known| known.id,
            );
            let seen_at = known.map_or(now, |known| known.seen_at);
            let foreign = Foreign {
                id,
                backend_id: theirs.id.clone(),
                started,
                label: theirs.label.clone(),
                commit: theirs.commit.clone(),
                seen_at,
                started_at: theirs.started_at,
                log_url: theirs.log_url.clone(),
            };
            self.lane.apply(Fact::ForeignSeen(foreign), &mut work.changes);
        }
    }

    /// The keys whose open events a foreign build's commit proves to be in it: the label must be the key's.
    fn covered_by_foreign(&self, theirs: &BackendBuild) -> Vec<(GitRef, Seq)> {
        let Some(commit) = &theirs.commit else { return Vec::new() };
        let keys = self.lane.keys.iter().filter(|(git_ref, _)| {
            let expected = self.policy.labels_of(git_ref);
            !expected.is_empty() && fits_label(theirs, Some(git_ref), &self.policy)
        });
        keys.filter_map(|(git_ref, key)| {
            let groups: Vec<_> = key.open.as_ref()?.groups().iter().collect();
            let named =
                groups.iter().rposition(|group| group.commit.as_ref().is_some_and(|named| named.same_as(commit)))?;
            let through = contained_through(&groups[..=named], Seq(0), commit);
            (through > Seq(0)).then(|| (git_ref.clone(), through))
        })
        .collect()
    }

    /// While a trigger call is under way, or waits for its first theirs, a fresh theirs may turn out to be ours.
    fn may_be_of_a_call_under_way(&self, theirs: &BackendBuild) -> bool {
        self.lane
            .queued
            .as_ref()
            .is_some_and(|queued| queued.live.record.backend_ids.is_empty() && fits(theirs, &queued.live, &self.policy))
    }

    fn unreadable(&mut self, error: &ObserveError, now: Timestamp, work: &mut Work) {
        self.give_up_if_uncertain_for_long(now, work);
        match error {
            ObserveError::Throttled { retry_after: Some(wait) } => self.watch.wait = *wait,
            ObserveError::Forbidden { detail } if self.watch.wait <= self.policy.observe_every => {
                self.notify(Notice::Unreadable { detail: detail.clone() }, work);
            }
            _ => {}
        }
    }

    /// A trigger whose build nobody could look for, for too long, is open again: one build too many is cheaper
    /// than one too few.
    fn give_up_if_uncertain_for_long(&mut self, now: Timestamp, work: &mut Work) {
        let Some(queued) = &self.lane.queued else { return };
        let unseen = queued.live.record.backend_ids.is_empty()
            && matches!(queued.phase, Phase::Uncertain { .. } | Phase::Accepted);
        let called_at = queued.live.record.triggered_at.unwrap_or(now);
        if unseen && called_at.max(self.since).plus(self.policy.uncertain_limit) <= now {
            self.give_up_uncertain(now, work);
        }
    }

    pub(super) fn give_up_uncertain(&mut self, now: Timestamp, work: &mut Work) {
        let build = self.lane.queued.as_ref().expect("looked up by the caller").live.record.id;
        let note = "unverified: nobody could say whether it started, so its events are open again".to_owned();
        self.notify(Notice::Unverified { build }, work);
        self.never_started(Outcome::NotStarted, note, None, now, work);
    }

    /// R11: only after the back-end was asked, and not because the first question after a start fails, is a build given
    /// up.
    fn give_up_overdue(&mut self, now: Timestamp, work: &mut Work) {
        let deadline = self.policy.build_deadline;
        let overdue = self.lane.lives().filter(|live| {
            let since = live.record.started_at.or(live.record.triggered_at);
            since.is_some_and(|since| since.plus(deadline) <= now)
        });
        let overdue: Vec<BuildId> = overdue.map(|live| live.record.id).collect();
        for build in overdue {
            let note = format!("given up: no end was seen within {}", humantime::format_duration(deadline));
            self.lose(build, note, now, work);
        }
    }

    fn lose(&mut self, build: BuildId, note: String, now: Timestamp, work: &mut Work) {
        self.notify(Notice::Lost { build, detail: note.clone() }, work);
        let started = self.lane.live(build).expect("it is lost because it lived").record.started_at.is_some();
        if started {
            self.end(build, Outcome::Lost, now, None, Some(note), work);
        } else {
            self.never_started(Outcome::NotStarted, note, Some(0), now, work);
        }
    }

    /// The build in the waiting place ends without having begun. `jitter`: wait before the next try.
    fn never_started(&mut self, outcome: Outcome, note: String, jitter: Option<u64>, now: Timestamp, work: &mut Work) {
        let live = &self.lane.queued.as_ref().expect("a build that never started is in the waiting place").live;
        let build = live.record.id;
        let cancelled_by = live.cancelled_by.clone().filter(|_| outcome == Outcome::Cancelled);
        let times = self.lane.refusal.as_ref().map_or(0, |refusal| refusal.times);
        let again_at = jitter.map(|jitter| now.plus(back_off(times, jitter)));
        self.lane
            .apply(Fact::NeverStarted { build, at: now, outcome, note, cancelled_by, again_at }, &mut work.changes);
        self.notice_long_refusal(now, work);
    }

    /// R8: a started build ends. A failure is tried again only as often as the policy says; a loss once.
    pub(super) fn end(
        &mut self,
        build: BuildId,
        outcome: Outcome,
        at: Timestamp,
        log_url: Option<String>,
        note: Option<String>,
        work: &mut Work,
    ) {
        let live = self.lane.live(build).expect("it ends because it lived");
        let key = live.record.git_ref.as_ref().and_then(|git_ref| self.lane.keys.get(git_ref));
        let reopened = key.is_some_and(|key| match outcome {
            Outcome::Failure => key.retries < self.policy.retry_failed,
            Outcome::Lost => live.carries.as_ref().is_some_and(|carries| carries.last() > key.lost_through),
            Outcome::Success | Outcome::Cancelled | Outcome::NotStarted => false,
        });
        let red_before = self.lane.last_build.as_ref().is_some_and(|last| last.outcome == Some(Outcome::Failure));
        match outcome {
            Outcome::Failure if !reopened => self.notify(Notice::Failed { build }, work),
            Outcome::Success if red_before => self.notify(Notice::Recovered { build }, work),
            _ => {}
        }
        self.lane.apply(Fact::Finished { build, at, outcome, log_url, note, reopened }, &mut work.changes);
    }

    /// When to ask next: soon after a change, then ever more seldom, up to a limit.
    fn schedule_next(&mut self, changed: bool, now: Timestamp) {
        let every = self.policy.observe_every;
        let wait = if changed { every } else { self.watch.wait.max(every) };
        self.watch.next_at = Some(now.plus(wait));
        let longer = wait + wait / 4;
        self.watch.wait = longer.min(every * OBSERVE_GROWTH_MAX).max(every);
    }
}

/// What the builds of one build say together: one trigger may have made several, one for each build rule.
enum Sight {
    /// None of them is shown.
    Absent,
    /// Shown, in words that we don't know: in flight until the deadline.
    Unclear,
    /// None has begun.
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
        /// Some theirs began before it ended.
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

/// One that is being cancelled, or was, has begun only if it says when.
fn has_begun(theirs: &BackendBuild) -> bool {
    match theirs.state {
        BackendBuildState::Stopping | BackendBuildState::Finished(Outcome::Cancelled) => theirs.started_at.is_some(),
        BackendBuildState::Running | BackendBuildState::Finished(_) => true,
        BackendBuildState::Waiting | BackendBuildState::Unknown => false,
    }
}

impl Lane {
    /// Whether a theirs belongs to a build of ours, alive or ended.
    fn owns(&self, theirs: &BackendBuildId) -> bool {
        self.claimed.contains(theirs) || self.lives().any(|live| live.record.backend_ids.contains(theirs))
    }
}

/// The newest of the carried events that were surely accepted before `theirs` was made, by clocks that are known to
/// [`CLOCK_TOLERANCE`]. A call of unknown outcome may have had no effect, and the theirs may be somebody else's of
/// just before; what it can't contain must stay open.
fn accepted_surely_before(live: &Live, theirs: &BackendBuild) -> Seq {
    let Some(made_at) = theirs.created_at else { return Seq(0) };
    let groups = live.carries.iter().flat_map(super::super::open::Open::groups);
    let before = groups.take_while(|group| group.last_at.plus(CLOCK_TOLERANCE) <= made_at);
    before.last().map_or(Seq(0), |group| group.last)
}

/// The unclaimed builds that fit a build without builds, or further ones of the same trigger.
fn matching_builds<'a>(
    lane: &Lane,
    live: &Live,
    policy: &Policy,
    observation: &'a Observation,
) -> Vec<&'a BackendBuild> {
    let foreign = |theirs: &BackendBuild| lane.foreign.iter().any(|foreign| foreign.backend_id == theirs.id);
    let candidates: Vec<&BackendBuild> = observation
        .builds
        .iter()
        .filter(|theirs| !lane.owns(&theirs.id) && !foreign(theirs) && fits(theirs, live, policy))
        .collect();
    let attached: Vec<&BackendBuild> =
        observation.builds.iter().filter(|theirs| live.record.backend_ids.contains(&theirs.id)).collect();
    if attached.is_empty() && !live.record.backend_ids.is_empty() {
        return Vec::new();
    }
    // Among builds made at about the time of the call the newest: if it isn't ours, it holds all that ours would.
    let about_the_call = |theirs: &&&BackendBuild| theirs.created_at.is_some_and(|at| is_about_the_call(at, live));
    let ours = candidates.iter().rfind(about_the_call).or(candidates.first()).copied();
    let Some(first) = attached.first().copied().or(ours) else { return Vec::new() };
    let mut found: Vec<&BackendBuild> = if attached.is_empty() { vec![first] } else { Vec::new() };
    for theirs in candidates {
        let of_other_rule =
            theirs.label.is_some() && attached.iter().chain(&found).all(|known| known.label != theirs.label);
        let together = match (theirs.created_at, first.created_at) {
            (Some(a), Some(b)) => a.since(b).max(b.since(a)) <= SIBLINGS_WITHIN,
            _ => false,
        };
        // One that turns up late beside one that was made a moment before the call may be the one that is ours, unless
        // the answer to the call named the first.
        let made_after = theirs.created_at > first.created_at;
        let turned_up = made_after && !live.named && theirs.created_at.is_some_and(|at| is_about_the_call(at, live));
        if theirs.id != first.id && ((of_other_rule && together) || turned_up) {
            found.push(theirs);
        }
    }
    found
}

/// Whether a theirs was made before the call was over, as far as clocks tell.
fn is_about_the_call(at: Timestamp, live: &Live) -> bool {
    let over = live.answered_at.or(live.record.triggered_at);
    over.is_some_and(|over| at <= over.plus(CLOCK_TOLERANCE))
}

/// Whether a theirs can be of this build: made after the call, and called what builds of its ref are called.
fn fits(theirs: &BackendBuild, live: &Live, policy: &Policy) -> bool {
    let Some(called_at) = live.record.triggered_at else { return false };
    let made_after = match theirs.created_at {
        Some(created_at) => created_at >= called_at.minus(CLOCK_TOLERANCE),
        None => !theirs.state.is_final(),
    };
    made_after && fits_label(theirs, live.record.git_ref.as_ref(), policy)
}

fn fits_label(theirs: &BackendBuild, git_ref: Option<&GitRef>, policy: &Policy) -> bool {
    let expected = git_ref.map(|git_ref| policy.labels_of(git_ref)).unwrap_or_default();
    match &theirs.label {
        Some(label) if !expected.is_empty() => {
            label.split(',').any(|part| expected.iter().any(|wanted| wanted == part.trim()))
        }
        _ => true,
    }
}

/// A theirs without an end from before anybody could still wait for it.
fn is_long_over(theirs: &BackendBuild, policy: &Policy, now: Timestamp) -> bool {
    theirs.created_at.is_some_and(|created_at| created_at.plus(policy.build_deadline) <= now)
}

fn live_called_at(lane: &Lane, build: BuildId) -> Timestamp {
    let called_at = lane.live(build).and_then(|live| live.record.triggered_at);
    called_at.unwrap_or(Timestamp::from_millis(0))
}
