//! The promises that hold at every step. Judges read; they change nothing but what they have to say.

use std::collections::{BTreeMap, BTreeSet};

use coalesced::emulator::TrueBuild;
use coalesced::event::CauseKind;
use coalesced::model::{GitRef, ImageName, Timestamp};
use coalesced::notice::Notice;
use coalesced::scheduler::Step;
use coalesced::scheduler::lane::LaneState;
use coalesced::scheduler::outbox::StoredOutbox;
use coalesced::simulate::Store;

use super::History;

/// The most that one lane may wake by itself within a minute.
const WAKES_A_MINUTE_MAX: u32 = 60;

impl History<'_> {
    pub(super) fn check_state(&mut self) {
        let now = self.now();
        if self.driver.deadline().is_some_and(|due| due <= now) {
            let due = self.driver.deadline();
            self.fail(format!("a deadline in the past: {due:?} at {now:?}"));
        }
        let mut overdue = None;
        for image in &self.images {
            let policy = self.driver.scheduler().policy(image).expect("configured");
            let lane = self.driver.scheduler().lane(image).expect("configured");
            for open in lane.keys.values().filter_map(|key| key.open.as_ref()) {
                if open.due(policy.quiet, policy.max_wait) > open.first_at().plus(policy.max_wait) {
                    overdue = Some(format!("I6: {open:?}"));
                }
            }
        }
        if let Some(overdue) = overdue {
            self.fail(overdue);
        }
    }

    /// I3 by the truth of the Hub, at a call for this ref.
    pub(super) fn check_places(&mut self, image: &ImageName, git_ref: &GitRef) {
        let builds = self.hub.true_builds(image);
        if builds.iter().any(|build| build.has_vanished() && !build.is_over()) {
            self.excuse(image, "not judged: I3, a build has vanished and goes on");
        }
        let unsure = if self.setting.observes { self.unsure.get(image) } else { Some(&"not judged: I3, blind") };
        if let Some(why) = unsure {
            self.marks.hit(why);
            return;
        }
        self.marks.hit("judged: I3");
        let made: BTreeSet<usize> = self.made.values().flatten().copied().collect();
        let ours = builds.into_iter().filter(|build| !build.is_over() && made.contains(&build.number));
        let ours: Vec<TrueBuild> = ours.collect();
        let queued = ours.iter().filter(|build| build.waits()).count();
        if ours.len() > 2 || queued > 1 {
            self.fail(format!("I3: {} of ours at once, {queued} queued: {ours:?}", ours.len()));
        }
        if !self.setting.prequeue && ours.len() > 1 {
            self.fail(format!("I3 without prequeue: {ours:?}"));
        }
        let overlaps = self.driver.scheduler().lane(image).is_some_and(|lane| lane.overlaps);
        if overlaps && ours.iter().any(|build| build.runs() && build.git_ref != *git_ref) {
            self.fail(format!("I3: {git_ref} is called for beside another ref, where two run at once: {ours:?}"));
        }
    }

    /// When each open key is due.
    pub(super) fn dues(&self) -> BTreeMap<(ImageName, GitRef), (Timestamp, Timestamp)> {
        let mut dues = BTreeMap::new();
        for image in &self.images {
            let policy = self.driver.scheduler().policy(image).expect("configured");
            let lane = self.driver.scheduler().lane(image).expect("configured");
            for (git_ref, key) in &lane.keys {
                if let Some(open) = &key.open {
                    let due = open.due(policy.quiet, policy.max_wait);
                    dues.insert((image.clone(), git_ref.clone()), (open.first_at(), due));
                }
            }
        }
        dues
    }

    /// I6: what a person asks for moves a due time only ever earlier.
    pub(super) fn check_dues(&mut self, before: &BTreeMap<(ImageName, GitRef), (Timestamp, Timestamp)>, step: &Step) {
        if before.is_empty() {
            return;
        }
        let mut moved = None;
        let after = self.dues();
        for (place, (first_at, due)) in before {
            let Some((_, later)) = after.get(place).filter(|(first, _)| first == first_at) else { continue };
            let events = &step.changes().events;
            let mut of_key = events.iter().filter(|event| event.image.as_ref() == Some(&place.0)).peekable();
            let persons = of_key.peek().is_some() && of_key.all(|event| event.cause.kind == CauseKind::Button);
            // What was due already stays so.
            if persons && later > due && *later > self.now() {
                moved = Some(format!("I6: a tap moved {place:?} from {due:?} to {later:?}"));
            }
        }
        if let Some(moved) = moved {
            self.fail(moved);
        }
    }

    pub(super) fn count_wake(&mut self) {
        let (since, count) = self.wakes;
        self.wakes = if self.at - since < 60_000 { (since, count + 1) } else { (self.at, 1) };
        if self.wakes.1 > WAKES_A_MINUTE_MAX * u32::try_from(self.setting.images).unwrap_or(1) {
            self.fail(format!("a busy loop: {} wakes within a minute", self.wakes.1));
        }
    }

    /// The journal holds the state that memory holds.
    pub(super) fn check_twin(&mut self) {
        let snapshot = self.driver.store().snapshot().expect("the twin reads back what it wrote");
        let stored: BTreeMap<ImageName, LaneState> =
            snapshot.lanes.into_iter().map(|lane| (lane.image.clone(), lane)).collect();
        for image in self.images.clone() {
            let lane = self.driver.scheduler().lane(&image).expect("configured");
            let same = stored.get(&image).map_or(**lane == LaneState::new(image.clone()), |stored| *stored == **lane);
            if !same {
                self.fail(format!("the journal's lane differs: {:?} {lane:?}", stored.get(&image)));
            }
        }
        let notices: Vec<Notice> = self.driver.scheduler().notices().cloned().collect();
        if snapshot.outbox != (StoredOutbox { newest: self.driver.scheduler().newest_notice(), pending: notices }) {
            self.fail(format!("the journal's notices differ: {:?}", snapshot.outbox));
        }
        if (snapshot.newest, snapshot.newest_build) != self.driver.scheduler().counters() {
            self.fail("the journal's counters differ".to_owned());
        }
    }
}
