//! What is noted of each step for the judges, and what can't be judged: the documented limits of what can be known.

use std::time::Duration;

use coalesced::build::Outcome;
use coalesced::emulator::TrueBuild;
use coalesced::event::Verdict;
use coalesced::model::{BuildId, ImageName};
use coalesced::reason::{EndReason, SkipEvidence};
use coalesced::scheduler::Step;
use coalesced::scheduler::lane::Live;
use coalesced::scheduler::record::Fact;

use super::super::Sums;
use super::super::filters::PassedOver;
use super::{History, Pending, Wanting, world};

/// Known gap: somebody else's build of this long before our call can be taken for ours: the tolerance of the core, and
/// the most by which `clock_error_ms` is wrong.
const NEAR_MS: i64 = 6_000;

impl History<'_> {
    /// Notes what a step that is being committed says.
    pub(super) fn note(&mut self, step: &Step) {
        for record in &step.changes().records {
            if gives_up(&record.fact) {
                self.excuse(&record.image, "not judged: I3, a build that was given up may go on");
            }
            match &record.fact {
                Fact::NeverStarted { build, reason: EndReason::Overdue { .. }, .. } => {
                    self.overdue.insert(*build);
                    self.given_up.insert(*build);
                }
                Fact::BecameUncertain { build, .. } => {
                    self.uncertain += 1;
                    self.unclear_calls.insert(*build);
                }
                Fact::NeverStarted { build, outcome: Outcome::NotStarted, reason, .. } => {
                    self.given_up.insert(*build);
                    // Lists that are cut off before it, or can't be read, until its time is up.
                    if *reason == EndReason::Unverified && self.unclear_calls.insert(*build) {
                        self.uncertain += 1;
                    }
                }
                Fact::Refused { build, .. } => {
                    self.given_up.insert(*build);
                }
                Fact::CancelAsked { build, .. } => {
                    self.cancel_asked.insert(*build);
                }
                _ => {}
            }
            match &record.fact {
                Fact::Opened { .. } => self.opened += 1,
                Fact::Intended { build, .. } => drop(self.decided.insert(*build, self.at)),
                Fact::BecameUncertain { .. }
                | Fact::Refused { .. }
                | Fact::NeverStarted { .. }
                | Fact::Finished { reopened: true, .. } => self.unclear += 1,
                Fact::Started { cover, .. } | Fact::CoverChanged { cover, .. } if cover.contradicted => {
                    self.unclear += 1;
                }
                _ => {}
            }
            self.marks.fact(&record.fact);
            if let Some(script) = &mut self.script {
                script.fact(&record.image, &record.fact);
            }
        }
        for (id, notice) in &step.changes().notices {
            if notice.is_some() {
                self.undelivered.insert(*id);
            } else if self.undelivered.contains(id) {
                self.fail(format!("notice {id} is forgotten, and nobody has received it"));
            }
        }
        for event in &step.changes().events {
            let place = event.image.clone().zip(event.git_ref.clone());
            let needs = place.and_then(|place| {
                let pushes = self.pushes.get(&place)?;
                let named = event.commit.as_ref().and_then(|commit| {
                    // A commit that was pushed more than once: the oldest of these is surely in the build.
                    pushes.iter().position(|push| push.commit == *commit)
                });
                Some(named.unwrap_or(pushes.len() - 1))
            });
            self.marks.verdict(&event.verdict);
            if let (Verdict::Skipped { evidence }, Some(image), Some(git_ref), Some(commit)) =
                (&event.verdict, &event.image, &event.git_ref, &event.commit)
                && matches!(evidence, SkipEvidence::OutsidePaths { .. })
            {
                let (image, git_ref, commit) = (image.clone(), git_ref.clone(), commit.clone());
                self.passed_over.push(PassedOver { image, git_ref, commit, at: world(self.at) });
            }
            let wanting = Wanting { event: event.clone(), needs: needs.unwrap_or(0), accepted: self.at };
            self.wanting.insert(event.seq, wanting);
        }
        self.marks.lanes(self.driver.scheduler());
    }

    /// The places of this image can't be judged by the truth from now on, until it is next at rest.
    pub(super) fn excuse(&mut self, image: &ImageName, why: &'static str) {
        self.excused.insert(image.clone());
        self.unsure.entry(image.clone()).or_insert(why);
    }

    /// Whose builds have all ended, by the truth and by what we believe, is judged again.
    pub(super) fn trust_again(&mut self) {
        if self.unsure.is_empty() || self.crashed.is_some() {
            return;
        }
        let mut sure = Vec::new();
        for image in self.unsure.keys() {
            let lane = self.driver.scheduler().lane(image).expect("configured");
            let made = self.made.values().flatten().filter_map(|number| self.hub.build(*number));
            let going_on = made.into_iter().any(|build| build.image == *image && !build.is_over());
            let of_image =
                |pending: &Pending| matches!(pending, Pending::CallEffect(request, _) if request.image == *image);
            let under_way = self.queue.values().any(of_image);
            if lane.lives().all(|live| !self.called.contains(&live.record.id)) && !going_on && !under_way {
                sure.push(image.clone());
            }
        }
        for image in sure {
            self.unsure.remove(&image);
            self.marks.hit("judged: I3 again, after a rest");
        }
    }

    /// Somebody else's build of so shortly before the call was decided, or since, can be taken for ours.
    pub(super) fn is_near_a_foreign_build(&self, image: &ImageName, build: BuildId) -> bool {
        let decided = self.decided[&build];
        self.foreign_at.iter().any(|(of, at)| of == image && decided - at <= NEAR_MS)
    }

    /// If an event is in none of the builds that were taken for its build: why that could not be known.
    pub(super) fn known_gap(&self, build: BuildId, rows: &[usize]) -> Option<&'static str> {
        if !self.setting.observes && rows.is_empty() {
            return Some("known gap: I2, blind, and the call had no effect");
        }
        let decided = *self.decided.get(&build)?;
        let taken = || rows.iter().filter_map(|number| self.hub.build(*number));
        // Its own call was astray, or it got the build of one that was: that had another build taken for it before.
        let is_of_astray = |number: &usize| {
            self.astray.iter().any(|astray| self.made.get(astray).is_some_and(|made| made.contains(number)))
        };
        let astray = self.astray.contains(&build) || rows.iter().any(is_of_astray);
        if astray && taken().any(|row| row.created_at < world(decided)) {
            return Some(
                "known gap: I2, the clock was set before the build was seen, and another one was taken for it",
            );
        }
        let ours = self.made.get(&build).into_iter().flatten().any(|number| rows.contains(number));
        let near = world(decided - NEAR_MS)..=world(decided);
        if !ours && taken().any(|row| row.foreign && near.contains(&row.created_at)) {
            return Some(
                "known gap: I2, a foreign build of just before a call was taken for the one that it did not make",
            );
        }
        None
    }

    /// The clock that dates builds was changed since the call: earlier builds may seem later.
    pub(super) fn clock_changed(&mut self) {
        self.clock_changes.push(self.at);
        let mut images = Vec::new();
        for lane in self.driver.scheduler().lanes() {
            // One whose build the answer named has not been seen, either, until a list shows it.
            let unseen = |live: &Live| live.record.backend_ids.is_empty() || live.named;
            if let Some(queued) = lane.queued.as_ref().filter(|queued| unseen(&queued.live)) {
                self.astray.insert(queued.live.record.id);
                images.push(lane.image.clone());
            }
        }
        for image in images {
            self.excuse(&image, "not judged: I3, the clock was set before a build was seen");
        }
    }

    /// What the Hub made difficult.
    pub(super) fn tell_troubles(&mut self) {
        let hub = &self.setting.hub;
        let counters = self.hub.counters();
        let builds: Vec<TrueBuild> = self.images.iter().flat_map(|image| self.hub.true_builds(image)).collect();
        let pushed_cancelled = |build: &TrueBuild| build.outcome == Some(Outcome::Cancelled) && build.pushed;
        let any = !builds.is_empty();
        let troubles = [
            (any && hub.visible_after > Duration::ZERO, "fault: a build is shown late"),
            (any && hub.withholds_starts, "fault: starts are not shown"),
            (any && hub.withholds_commits, "fault: commits are not shown"),
            (builds.len() > self.setting.list_max, "fault: a list is cut off"),
            (counters.ignored > 0, "fault: a call is ignored"),
            (hub.pending_max == 1 && counters.discarded > 0, "fault: a call too many is thrown away"),
            (builds.iter().any(pushed_cancelled), "fault: a build is cancelled and pushes all the same"),
        ];
        for (_, mark) in troubles.iter().filter(|(happened, _)| *happened) {
            self.marks.hit(mark);
        }
    }

    /// What it came to, by the truth of the Hub.
    pub(crate) fn sums(&self) -> Sums {
        let builds = || self.images.iter().flat_map(|image| self.hub.true_builds(image));
        let ran = |build: &BuildId| {
            let numbers = self.made.get(build).into_iter().flatten();
            numbers.filter_map(|number| self.hub.build(*number)).any(|build| build.started_at.is_some())
        };
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Sums {
            steps: self.steps,
            hours: self.at.unsigned_abs() / 3_600_000,
            events: count(self.wanting.len()),
            opened: self.opened,
            calls: self.triggers,
            builds: count(builds().filter(|build| !build.foreign).count()),
            uncertain: self.uncertain,
            superfluous: count(self.given_up.iter().filter(|build| ran(build)).count()),
        }
    }
}

/// A build that can no longer be seen is given up, and may go on.
pub(super) fn gives_up(fact: &Fact) -> bool {
    match fact {
        Fact::NeverStarted { outcome: Outcome::NotStarted, reason, .. } => *reason != EndReason::NotShown,
        Fact::Finished { outcome: Outcome::Lost, reason, .. } => *reason != Some(EndReason::BackendTimeLimit),
        _ => false,
    }
}
