//! PURE: a model of Docker Hub's automated builds, as unhelpful as the service itself.
//!
//! No clock, no IO: the caller says what moment it is. The same model stands behind HTTP for tests and the demo,
//! and in simulations in virtual time. What it does is what is documented or was reported: the classic service
//! keeps one build running and one queued for an image and *ignores* every further trigger while still answering
//! OK; the current one keeps all, up to 30 pending, and then throws triggers away in silence. No answer to a
//! trigger names the build.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::build::Outcome;
use crate::model::{CommitId, GitRef, ImageName, RefKind, Timestamp};

/// How this Docker Hub behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSettings {
    pub mode: Mode,
    pub build_time: Duration,
    /// How many builds run at once, over all images: 5 or 15 by plan.
    pub concurrent_builds: usize,
    pub takes_tip: TakesTip,
    /// How long after a trigger its build appears in the list.
    pub visible_after: Duration,
    /// Rows don't say when they started.
    pub withholds_starts: bool,
    /// Rows don't say what they built.
    pub withholds_commits: bool,
    /// Current mode: further triggers are thrown away.
    pub pending_max: usize,
    /// … and appear as failed builds at once, as was seen in 2018, instead of not at all.
    pub discards_show_as_failed: bool,
    /// How long a cancelled build stays "Canceling", holding its place.
    pub cancel_sticks_for: Duration,
    /// A build that is cancelled while it runs pushes its image all the same.
    pub cancelled_builds_push: bool,
    /// The service ends a build by itself, and calls it cancelled.
    pub time_limit: Duration,
    /// Entries that are no builds stand in the list between the builds.
    pub lists_other_actions: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One running and one queued an image; the rest is ignored, and answered OK.
    Classic,
    /// No folding; builds of one image tag run one by one.
    Current,
}

/// When a build takes the tip of its branch. Docker never said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesTip {
    WhenTriggered,
    WhenStarted,
    AfterStart(Duration),
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Classic,
            build_time: Duration::from_mins(5),
            concurrent_builds: 5,
            takes_tip: TakesTip::WhenStarted,
            visible_after: Duration::ZERO,
            withholds_starts: false,
            withholds_commits: false,
            pending_max: 30,
            discards_show_as_failed: false,
            cancel_sticks_for: Duration::ZERO,
            cancelled_builds_push: true,
            time_limit: Duration::from_hours(4),
            lists_other_actions: true,
        }
    }
}

impl HubSettings {
    /// The same service with every span of time divided by `speed`.
    #[must_use]
    pub fn faster(&self, speed: f64) -> Self {
        let faster = |span: Duration| span.div_f64(speed.max(f64::MIN_POSITIVE));
        let takes_tip = match self.takes_tip {
            TakesTip::AfterStart(span) => TakesTip::AfterStart(faster(span)),
            other => other,
        };
        Self {
            build_time: faster(self.build_time),
            visible_after: faster(self.visible_after),
            cancel_sticks_for: faster(self.cancel_sticks_for),
            time_limit: faster(self.time_limit),
            takes_tip,
            ..self.clone()
        }
    }
}

/// One thing that goes wrong, once. Those for triggers wait for the next trigger, those for lists for the next list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The trigger has its effect; the connection breaks instead of an answer.
    LoseAnswer,
    /// The connection breaks and nothing has happened.
    LoseTrigger,
    /// 500, and the trigger has its effect all the same.
    ErrorAfterEffect,
    /// 500, and nothing has happened.
    ErrorWithoutEffect,
    /// 429 with `X-Retry-After`, a moment one second ahead.
    Throttle,
    /// 404: no such trigger any more.
    TriggerGone,
    /// The trigger is accepted and thrown away.
    Discard,
    /// The next build that starts never ends by itself.
    Stick,
    /// The next build that starts fails.
    Fail,
    /// The next build that starts vanishes from the list.
    Vanish,
    /// The next list is answered with 500.
    ListError,
    /// The next list is answered with 401.
    ListUnauthorized,
}

impl Fault {
    fn is_of_trigger(self) -> bool {
        use Fault::{Discard, ErrorAfterEffect, ErrorWithoutEffect, LoseAnswer, LoseTrigger, Throttle, TriggerGone};
        matches!(
            self,
            LoseAnswer | LoseTrigger | ErrorAfterEffect | ErrorWithoutEffect | Throttle | TriggerGone | Discard
        )
    }

    fn is_of_start(self) -> bool {
        matches!(self, Self::Stick | Self::Fail | Self::Vanish)
    }
}

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

/// What the sender of a trigger gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Accepted, whatever became of it.
    Ok,
    /// The connection breaks.
    NoAnswer,
    Error,
    Throttled,
    Gone,
}

/// One build as it truly was, whoever sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrueBuild {
    pub number: usize,
    pub image: ImageName,
    pub git_ref: GitRef,
    /// The image tag that it makes.
    pub tag: String,
    /// Nobody's trigger: the web page's button, or Docker Hub's own hook.
    pub foreign: bool,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    /// What was in the source when it was taken.
    pub commit: Option<CommitId>,
    pub pushed: bool,
    cancel_asked_at: Option<Timestamp>,
    tip_due: Option<Timestamp>,
    sticks: bool,
    fails: bool,
    vanished: bool,
}

impl TrueBuild {
    pub fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }

    pub fn runs(&self) -> bool {
        self.started_at.is_some() && !self.is_over()
    }

    pub fn waits(&self) -> bool {
        self.started_at.is_none() && !self.is_over()
    }

    /// The list shows it no more, and it goes on.
    pub fn has_vanished(&self) -> bool {
        self.vanished
    }

    pub fn is_cancelling(&self) -> bool {
        self.cancel_asked_at.is_some() && !self.is_over()
    }
}

/// What happened to triggers, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    pub triggers: u64,
    /// Classic: one running and one queued already.
    pub ignored: u64,
    /// Current: too many pending.
    pub discarded: u64,
    pub lists: u64,
    pub logins: u64,
    /// The most builds of one image, not of others, that were queued at once, and that ran at once.
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

    /// Knows the repository from now on. Its build rules make `latest` of `master` and `main`, and of every other
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

    /// Somebody pushed: the ref's tip is this commit.
    pub fn push(&mut self, now: Timestamp, image: &ImageName, git_ref: &GitRef, commit: CommitId) {
        self.advance(now);
        self.tips.insert((image.clone(), git_ref.clone()), commit);
    }

    /// The next thing of its kind goes wrong so.
    pub fn plan(&mut self, fault: Fault) {
        self.faults.push_back(fault);
    }

    /// Somebody calls a trigger.
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

    /// A build that nobody's trigger asked for.
    pub fn foreign_build(&mut self, now: Timestamp, image: &ImageName, git_ref: &GitRef) {
        self.advance(now);
        self.enqueue(image, git_ref, true);
        self.advance(now);
    }

    /// Somebody asks to cancel; false where it can't be cancelled any more.
    pub fn cancel(&mut self, now: Timestamp, number: usize) -> bool {
        self.advance(now);
        let Some(build) = self.builds.get_mut(number).filter(|build| !build.is_over()) else { return false };
        build.cancel_asked_at.get_or_insert(now);
        self.advance(now);
        true
    }

    /// The builds of an image as the list shows them now, newest first; None where the list fails.
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

    /// Lets everything happen that is due by `now`, in its order.
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

    /// When something happens by itself next.
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
            // A build that ends before its tip was taken took it at the end.
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

/// The image tag that the build rules make of a ref.
fn image_tag(git_ref: &GitRef) -> String {
    match (git_ref.kind(), git_ref.short()) {
        (RefKind::Branch, "master" | "main") => "latest".to_owned(),
        // A slash may not stand in an image tag.
        (_, short) => short.replace('/', "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageName {
        "acme/web".parse().expect("an image")
    }

    fn master() -> GitRef {
        GitRef::branch("master").expect("a branch")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn commit(digit: char) -> CommitId {
        digit.to_string().repeat(40).parse().expect("a commit")
    }

    fn hub(settings: HubSettings) -> Hub {
        let mut hub = Hub::new(settings);
        hub.register(image());
        hub.push(at(0), &image(), &master(), commit('1'));
        hub
    }

    fn trigger(hub: &mut Hub, seconds: i64) -> Reply {
        hub.trigger(at(seconds), &image(), &Wanted::Ref(master()))
    }

    #[test]
    fn classic_ignores_the_third_trigger_and_answers_ok_all_the_same() {
        let mut hub = hub(HubSettings::default());
        for second in 1..=5 {
            assert_eq!(trigger(&mut hub, second), Reply::Ok);
        }
        assert_eq!((hub.counters().triggers, hub.counters().ignored), (5, 3));
        hub.advance(at(10_000));
        assert_eq!(hub.true_builds(&image()).len(), 2);
    }

    #[test]
    fn current_keeps_thirty_and_throws_the_next_away() {
        let mut hub = hub(HubSettings { mode: Mode::Current, ..HubSettings::default() });
        for second in 1..=32 {
            assert_eq!(trigger(&mut hub, second), Reply::Ok);
        }
        // One runs, thirty wait.
        assert_eq!((hub.true_builds(&image()).len(), hub.counters().discarded), (31, 1));
    }

    #[test]
    fn the_tip_is_taken_at_the_moment_that_is_set() {
        let takes = [
            (TakesTip::WhenTriggered, '1'),
            (TakesTip::WhenStarted, '2'),
            (TakesTip::AfterStart(Duration::from_mins(1)), '3'),
        ];
        for (takes_tip, expected) in takes {
            let mut hub = hub(HubSettings { takes_tip, ..HubSettings::default() });
            trigger(&mut hub, 0);
            trigger(&mut hub, 1);
            hub.push(at(100), &image(), &master(), commit('2'));
            hub.push(at(310), &image(), &master(), commit('3'));
            hub.advance(at(1_000));
            assert_eq!(hub.true_builds(&image())[1].commit, Some(commit(expected)), "{takes_tip:?}");
        }
    }

    #[test]
    fn a_row_is_seen_late_and_a_vanished_one_never_again() {
        let mut hub = hub(HubSettings { visible_after: Duration::from_mins(1), ..HubSettings::default() });
        trigger(&mut hub, 0);
        assert_eq!(hub.list(at(59), &image()).map(|rows| rows.len()), Ok(0));
        assert_eq!(hub.list(at(60), &image()).map(|rows| rows.len()), Ok(1));
        hub.plan(Fault::Vanish);
        trigger(&mut hub, 100);
        assert_eq!(hub.list(at(400), &image()).map(|rows| rows.len()), Ok(1));
    }

    #[test]
    fn a_cancelled_build_holds_its_place_as_long_as_it_sticks_and_may_push() {
        let mut hub = hub(HubSettings { cancel_sticks_for: Duration::from_secs(100), ..HubSettings::default() });
        trigger(&mut hub, 0);
        trigger(&mut hub, 1);
        assert!(hub.cancel(at(10), 0));
        hub.advance(at(109));
        assert!(hub.true_builds(&image())[0].is_cancelling());
        assert!(hub.true_builds(&image())[1].waits());
        hub.advance(at(110));
        let builds = hub.true_builds(&image());
        assert_eq!((builds[0].outcome, builds[0].pushed), (Some(Outcome::Cancelled), true));
        assert!(builds[1].runs());
    }

    #[test]
    fn a_stuck_build_is_ended_by_the_service_after_four_hours_and_called_cancelled() {
        let mut hub = hub(HubSettings::default());
        hub.plan(Fault::Stick);
        trigger(&mut hub, 0);
        hub.advance(at(4 * 3600 - 1));
        assert!(hub.true_builds(&image())[0].runs());
        hub.advance(at(4 * 3600));
        assert_eq!(hub.true_builds(&image())[0].outcome, Some(Outcome::Cancelled));
    }

    #[test]
    fn a_lost_answer_may_have_had_its_effect_or_not() {
        let mut hub = hub(HubSettings::default());
        hub.plan(Fault::LoseAnswer);
        hub.plan(Fault::LoseTrigger);
        assert_eq!(trigger(&mut hub, 0), Reply::NoAnswer);
        assert_eq!(hub.true_builds(&image()).len(), 1);
        assert_eq!(trigger(&mut hub, 1), Reply::NoAnswer);
        assert_eq!(hub.true_builds(&image()).len(), 1);
    }
}
