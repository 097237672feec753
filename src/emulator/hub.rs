//! PURE: a model of Docker Hub's automated builds, as unhelpful as the service itself.
//!
//! No clock, no IO: the caller passes the time. The same model serves tests and the demo over HTTP, and simulations in
//! virtual time. It does what is documented or was reported: the classic service keeps one build running and one queued
//! per image and *ignores* every further trigger while still answering OK; the current one keeps all, up to 30 pending,
//! and then silently discards triggers. No answer to a trigger names the build.

mod fault;
mod settings;
mod true_build;

use std::collections::{BTreeMap, VecDeque};

use crate::build::Outcome;
use crate::model::{CommitId, GitRef, ImageName, RefKind, Timestamp};

pub use self::fault::Fault;
pub use self::settings::{HubSettings, Mode, TakesTip};
pub use self::true_build::TrueBuild;

/// What a trigger asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// No body, or `{"build": true}`: every rule.
    Everything,
    /// The rule that makes this image tag.
    ImageTag(String),
    /// As if this ref had been pushed.
    Ref(GitRef),
}

/// What the sender of a trigger sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Accepted, whatever becomes of it.
    Ok,
    /// The connection breaks.
    NoAnswer,
    Error,
    Throttled,
    Gone,
}

/// What happened to triggers, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    pub triggers: u64,
    /// Classic: one is already running and one queued.
    pub ignored: u64,
    /// Current: too many pending.
    pub discarded: u64,
    pub lists: u64,
    pub logins: u64,
    /// The most builds of a single image that were queued at once, and that ran at once.
    pub most_queued: usize,
    pub most_running: usize,
}

/// A Docker Hub.
#[derive(Clone, Debug)]
pub struct Hub {
    settings: HubSettings,
    tips: BTreeMap<(ImageName, GitRef), CommitId>,
    images: Vec<ImageName>,
    builds: Vec<TrueBuild>,
    faults: VecDeque<Fault>,
    pub(super) counters: Counters,
    now: Timestamp,
}

impl Hub {
    pub fn new(settings: HubSettings) -> Self {
        Self {
            settings,
            tips: BTreeMap::new(),
            images: Vec::new(),
            builds: Vec::new(),
            faults: VecDeque::new(),
            counters: Counters::default(),
            now: Timestamp::from_millis(0),
        }
    }

    pub fn settings(&self) -> &HubSettings {
        &self.settings
    }

    /// Knows the repository from now on. Its build rules make `latest` from `master` and `main`, and from every other
    /// branch or tag an image tag of that name.
    pub fn register(&mut self, image: ImageName) {
        if !self.images.contains(&image) {
            self.images.push(image);
        }
    }

    pub fn images(&self) -> &[ImageName] {
        &self.images
    }

    pub fn knows(&self, image: &ImageName) -> bool {
        self.images.contains(image)
    }

    /// A push: the ref's tip is now this commit.
    pub fn push(&mut self, now: Timestamp, image: &ImageName, git_ref: &GitRef, commit: CommitId) {
        self.advance(now);
        self.tips.insert((image.clone(), git_ref.clone()), commit);
    }

    /// Injects a fault into the next operation of its kind.
    pub fn plan(&mut self, fault: Fault) {
        self.faults.push_back(fault);
    }

    /// A call of a trigger.
    pub fn trigger(&mut self, now: Timestamp, image: &ImageName, wanted: &Wanted) -> Reply {
        self.advance(now);
        self.counters.triggers += 1;
        let fault = self.take_fault(Fault::is_of_trigger);
        let (reply, has_effect) = match fault {
            None => (Reply::Ok, true),
            Some(Fault::LoseAnswer) => (Reply::NoAnswer, true),
            Some(Fault::LoseTrigger) => (Reply::NoAnswer, false),
            Some(Fault::ErrorAfterEffect) => (Reply::Error, true),
            Some(Fault::ErrorWithoutEffect) => (Reply::Error, false),
            Some(Fault::Throttle) => (Reply::Throttled, false),
            Some(Fault::TriggerGone) => (Reply::Gone, false),
            Some(_) => (Reply::Ok, false),
        };
        if has_effect {
            for git_ref in self.refs_wanted(image, wanted) {
                self.enqueue(image, &git_ref, false);
            }
            self.advance(now);
        } else if fault == Some(Fault::Discard) {
            self.counters.discarded += 1;
        }
        reply
    }

    /// A build without one of our triggers.
    pub fn foreign_build(&mut self, now: Timestamp, image: &ImageName, git_ref: &GitRef) {
        self.advance(now);
        self.enqueue(image, git_ref, true);
        self.advance(now);
    }

    /// A request to cancel; false if it is too late.
    pub fn cancel(&mut self, now: Timestamp, number: usize) -> bool {
        self.advance(now);
        let Some(build) = self.builds.get_mut(number).filter(|build| !build.is_over()) else { return false };
        build.cancel_asked_at.get_or_insert(now);
        self.advance(now);
        true
    }

    /// The builds of an image as the list shows them now, newest first, or the fault that makes the list fail.
    pub fn list(&mut self, now: Timestamp, image: &ImageName) -> Result<Vec<TrueBuild>, Fault> {
        self.advance(now);
        self.counters.lists += 1;
        if let Some(fault) = self.take_fault(|fault| matches!(fault, Fault::ListError | Fault::ListUnauthorized)) {
            return Err(fault);
        }
        let late = self.settings.visible_after;
        let seen = self
            .builds
            .iter()
            .filter(|build| build.image == *image && !build.vanished && build.created_at.plus(late) <= now);
        Ok(seen.rev().cloned().collect())
    }

    /// Runs everything that is due by `now`, in order.
    pub fn advance(&mut self, now: Timestamp) {
        loop {
            self.start_what_may_start();
            let Some(next) = self.next_event().filter(|next| *next <= now) else { break };
            self.now = self.now.max(next);
            self.end_what_is_due();
        }
        self.now = self.now.max(now);
        self.start_what_may_start();
        self.count_most();
    }

    /// When something next happens by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        let tips = self.builds.iter().filter_map(|build| build.tip_due);
        let ends = self.builds.iter().filter_map(|build| self.end_due(build));
        tips.chain(ends).min()
    }

    /// The truth about every build of an image, oldest first.
    pub fn true_builds(&self, image: &ImageName) -> Vec<TrueBuild> {
        self.builds.iter().filter(|build| build.image == *image).cloned().collect()
    }

    pub fn build(&self, number: usize) -> Option<&TrueBuild> {
        self.builds.get(number)
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The commit that a ref points to.
    pub fn tip(&self, image: &ImageName, git_ref: &GitRef) -> Option<&CommitId> {
        self.tips.get(&(image.clone(), git_ref.clone()))
    }

    fn refs_wanted(&self, image: &ImageName, wanted: &Wanted) -> Vec<GitRef> {
        let known = self.tips.keys().filter(|(of, _)| of == image).map(|(_, git_ref)| git_ref.clone());
        match wanted {
            Wanted::Ref(git_ref) => vec![git_ref.clone()],
            Wanted::Everything => known.filter(|git_ref| git_ref.kind() == RefKind::Branch).collect(),
            Wanted::ImageTag(tag) => known.filter(|git_ref| image_tag(git_ref) == *tag).collect(),
        }
    }

    fn enqueue(&mut self, image: &ImageName, git_ref: &GitRef, foreign: bool) {
        let of_image = |build: &&TrueBuild| build.image == *image && !build.is_over();
        let waiting = self.builds.iter().filter(of_image).filter(|build| build.waits()).count();
        if self.settings.mode == Mode::Classic && waiting >= 1 {
            self.counters.ignored += 1;
            return;
        }
        let too_many = self.settings.mode == Mode::Current && waiting >= self.settings.pending_max;
        if too_many {
            self.counters.discarded += 1;
            if !self.settings.discards_show_as_failed {
                return;
            }
        }
        let commit = self.tip(image, git_ref).cloned();
        let taken = self.settings.takes_tip == TakesTip::WhenTriggered;
        self.builds.push(TrueBuild {
            number: self.builds.len(),
            image: image.clone(),
            git_ref: git_ref.clone(),
            tag: image_tag(git_ref),
            foreign,
            created_at: self.now,
            started_at: None,
            finished_at: too_many.then_some(self.now),
            outcome: too_many.then_some(Outcome::Failure),
            commit: commit.filter(|_| taken),
            pushed: false,
            cancel_asked_at: None,
            tip_due: None,
            sticks: false,
            fails: false,
            vanished: false,
        });
    }

    fn start_what_may_start(&mut self) {
        while let Some(index) = (0..self.builds.len()).find(|index| self.may_start(&self.builds[*index])) {
            let fault = self.take_fault(Fault::is_of_start);
            let (now, takes_tip) = (self.now, self.settings.takes_tip);
            let tip = self.tip(&self.builds[index].image, &self.builds[index].git_ref).cloned();
            let build = &mut self.builds[index];
            build.started_at = Some(now);
            match takes_tip {
                TakesTip::WhenTriggered => {}
                TakesTip::WhenStarted => build.commit = tip,
                TakesTip::AfterStart(span) => build.tip_due = Some(now.plus(span)),
            }
            build.sticks = fault == Some(Fault::Stick);
            build.fails = fault == Some(Fault::Fail);
            build.vanished = fault == Some(Fault::Vanish);
        }
    }

    fn may_start(&self, build: &TrueBuild) -> bool {
        if !build.waits() || build.cancel_asked_at.is_some() {
            return false;
        }
        let running = || self.builds.iter().filter(|other| other.runs());
        let beside = running().filter(|other| other.image == build.image);
        let free = match self.settings.mode {
            Mode::Classic => beside.count() == 0,
            Mode::Current => beside.filter(|other| other.tag == build.tag).count() == 0,
        };
        free && running().count() < self.settings.concurrent_builds
    }

    fn end_due(&self, build: &TrueBuild) -> Option<Timestamp> {
        if build.is_over() {
            return None;
        }
        let sticks = self.settings.cancel_sticks_for;
        let cancelled = build.cancel_asked_at.map(|at| at.plus(sticks));
        let span = if build.sticks { self.settings.time_limit } else { self.settings.build_time };
        let ended = build.started_at.map(|at| at.plus(span.min(self.settings.time_limit)));
        match (cancelled, ended) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    fn end_what_is_due(&mut self) {
        let now = self.now;
        for index in 0..self.builds.len() {
            let due = self.end_due(&self.builds[index]).is_some_and(|at| at <= now);
            let tip = self.tip(&self.builds[index].image, &self.builds[index].git_ref).cloned();
            let (limit, pushes) = (self.settings.time_limit, self.settings.cancelled_builds_push);
            let build = &mut self.builds[index];
            if build.tip_due.is_some_and(|at| at <= now) {
                build.tip_due = None;
                build.commit = tip.clone();
            }
            if !due {
                continue;
            }
            // A build that ends before it took its tip takes it at the end.
            if build.tip_due.take().is_some() {
                build.commit = tip;
            }
            let ran_out = build.started_at.is_some_and(|at| now.since(at) >= limit);
            let outcome = match () {
                () if build.cancel_asked_at.is_some() || ran_out => Outcome::Cancelled,
                () if build.fails => Outcome::Failure,
                () => Outcome::Success,
            };
            build.finished_at = Some(now);
            build.outcome = Some(outcome);
            build.pushed = match outcome {
                Outcome::Success => true,
                Outcome::Cancelled => build.started_at.is_some() && pushes && !ran_out,
                Outcome::Failure | Outcome::Lost | Outcome::NotStarted => false,
            };
        }
    }

    fn count_most(&mut self) {
        for image in &self.images {
            let ours = || self.builds.iter().filter(|build| build.image == *image && !build.foreign);
            self.counters.most_queued = self.counters.most_queued.max(ours().filter(|build| build.waits()).count());
            self.counters.most_running = self.counters.most_running.max(ours().filter(|build| build.runs()).count());
        }
    }

    fn take_fault(&mut self, of_this_kind: impl Fn(Fault) -> bool) -> Option<Fault> {
        let index = self.faults.iter().position(|fault| of_this_kind(*fault))?;
        self.faults.remove(index)
    }
}

/// The image tag that the build rules make from a ref.
fn image_tag(git_ref: &GitRef) -> String {
    match (git_ref.kind(), git_ref.short()) {
        (RefKind::Branch, "master" | "main") => "latest".to_owned(),
        // An image tag can't contain a slash.
        (_, short) => short.replace('/', "-"),
    }
}

#[cfg(test)]
mod tests;
