//! One history: the real scheduler on the journal's twin against the model of Docker Hub, in virtual time.
//!
//! There are two clocks: the world's, by which the Hub lives, and the daemon's, which may be set otherwise. Whatever
//! passes between the two takes its time and may be lost, late or in another order.
//!
//! Where to look:
//!
//! - here: all that a history keeps, and how it goes from its first operation to its rest
//! - `operations`: what people and their machines do, one operation at a time
//! - `turn`: the driver's turn, what its effects set off, and the process that dies and starts again
//! - `disk`: the journal
//! - `hub`: what reaches the Hub, what it answers, and what comes in
//! - `ledger`: what is noted of each step, and why a promise can't be judged for a while
//! - `judge_steps`, `judge_end`: the promises, at each step and when all is over
//!
//! What is drawn for it is in `plan`, what was reached by it in `marks`, and its story in `scenario`.

mod disk;
mod hub;
mod judge_end;
mod judge_steps;
mod ledger;
mod operations;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coalesced::build::{
    BackendBuildId, BuildRequest, CancelAnswer, Capabilities, Observation, ObserveError, TriggerAnswer,
};
use coalesced::emulator::Hub;
use coalesced::event::{Delivery, Event, Fingerprint};
use coalesced::model::{BuildId, GitRef, ImageName, Seq, Timestamp};
use coalesced::notice::NoticeId;
use coalesced::scheduler::lane::Lane;
use coalesced::scheduler::policy::{AccountName, LabelRule, Policy};
use coalesced::scheduler::{Settings, Ticket};
use coalesced::simulate::VirtualDriver;

use self::disk::Disk;
use super::filters::{Content, PassedOver, Push};
use super::marks::Marks;
use super::plan::{CallFate, IMAGES, Op, QuestionFate, REFS, Setting, Word};
use super::scenario::Script;

/// All must have come to rest this long after the last operation.
const REST_LIMIT_MS: i64 = 14 * 24 * 3_600_000;
pub(crate) const START: Timestamp = Timestamp::from_millis(1_795_428_000_000);

/// What is on its way.
#[derive(Debug)]
enum Pending {
    Arrive(Delivery),
    CallEffect(BuildRequest, CallFateNow),
    CallAnswer(ImageName, BuildId, TriggerAnswer),
    Look(ImageName, u64, Option<QuestionFate>),
    Seen(ImageName, u64, Result<Observation, ObserveError>),
    CancelEffect(ImageName, BuildId, BackendBuildId),
    CancelAnswer(ImageName, BuildId, CancelAnswer),
    Told(NoticeId, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallFateNow {
    Plain,
    GivenUp,
}

/// An accepted event and which push of its ref it must see built.
struct Wanting {
    event: Arc<Event>,
    needs: usize,
    accepted: i64,
}

pub(crate) struct History<'a> {
    setting: &'a Setting,
    settings: Settings,
    images: Vec<ImageName>,
    refs: Vec<GitRef>,
    driver: VirtualDriver<Disk>,
    hub: Hub,
    /// The world's time, in milliseconds since the start.
    at: i64,
    /// How far the daemon's clock is ahead of the world's. It never goes back while the daemon runs.
    ahead: i64,
    /// How far the wall clock of the daemon's machine is.
    wall: i64,
    queue: BTreeMap<(i64, u64), Pending>,
    serial: u64,
    pushes: BTreeMap<(ImageName, GitRef), Vec<Push>>,
    commits: u64,
    wanting: BTreeMap<Seq, Wanting>,
    passed_over: Vec<PassedOver>,
    /// The notices that the operator has not received yet.
    undelivered: BTreeSet<NoticeId>,
    receipts: BTreeMap<Ticket, Fingerprint>,
    first_receipts: BTreeMap<Fingerprint, (Seq, u32)>,
    deliveries: u64,
    /// The newest delivery of a push of each ref that has come in.
    newest_delivery: BTreeMap<(ImageName, GitRef), u64>,
    /// Which true builds each of our trigger calls made.
    made: BTreeMap<BuildId, Vec<usize>>,
    /// When each trigger was decided.
    decided: BTreeMap<BuildId, i64>,
    /// Builds that were still queued at the deadline.
    overdue: BTreeSet<BuildId>,
    /// Builds whose call has been made.
    called: BTreeSet<BuildId>,
    /// The call whose effect could not be known.
    unclear_calls: BTreeSet<BuildId>,
    clock_changes: Vec<i64>,
    /// Builds that a person asked to cancel.
    cancel_asked: BTreeSet<BuildId>,
    /// Builds that had not been seen yet when the clock was set otherwise: see `docs/proof.md`.
    astray: BTreeSet<BuildId>,
    foreign_at: Vec<(ImageName, i64)>,
    tickets: u64,
    delays: (i64, i64),
    call_fate: Option<CallFate>,
    question_fate: Option<QuestionFate>,
    crash: Option<(u32, i64, i64, bool)>,
    crash_again: Option<u32>,
    recovering: bool,
    crashed: Option<(i64, i64, bool)>,
    /// Images whose places can't be judged by the truth any more: the documented limits of what can be known.
    excused: BTreeSet<ImageName>,
    /// … and those of which this is so now, until they are next at rest, and why.
    unsure: BTreeMap<ImageName, &'static str>,
    ending: bool,
    wakes: (i64, u32),
    triggers: u64,
    opened: u64,
    unclear: u64,
    steps: u64,
    uncertain: u64,
    /// Builds whose events were reopened because their start was never seen.
    given_up: BTreeSet<BuildId>,
    broken: Option<String>,
    pub(crate) marks: Marks,
    pub(crate) script: Option<Script>,
}

impl<'a> History<'a> {
    pub(crate) fn new(setting: &'a Setting, script: bool) -> Self {
        let images: Vec<ImageName> =
            IMAGES[..setting.images].iter().map(|name| name.parse().expect("an image")).collect();
        let refs: Vec<GitRef> = REFS[..setting.refs].iter().map(|name| name.parse().expect("a ref")).collect();
        let policies = images.iter().map(|image| (image.clone(), policy(setting)));
        let mut settings = Settings::new(policies, setting.seed);
        settings.account_limits.extend(setting.account_limit.map(|limit| ("test".into(), limit)));
        let (driver, step) = VirtualDriver::start(settings.clone(), Disk::default(), START).expect("nothing yet");
        drop(step);
        let mut hub = Hub::new(setting.hub.clone());
        for image in &images {
            hub.register(image.clone());
        }
        let script = script.then(|| Script::new(setting, &settings));
        let mut history = Self {
            setting,
            settings,
            images,
            refs,
            driver,
            hub,
            at: 0,
            ahead: 0,
            wall: 0,
            queue: BTreeMap::new(),
            serial: 0,
            pushes: BTreeMap::new(),
            commits: 0,
            wanting: BTreeMap::new(),
            passed_over: Vec::new(),
            undelivered: BTreeSet::new(),
            receipts: BTreeMap::new(),
            first_receipts: BTreeMap::new(),
            deliveries: 0,
            newest_delivery: BTreeMap::new(),
            made: BTreeMap::new(),
            decided: BTreeMap::new(),
            overdue: BTreeSet::new(),
            called: BTreeSet::new(),
            unclear_calls: BTreeSet::new(),
            cancel_asked: BTreeSet::new(),
            clock_changes: Vec::new(),
            astray: BTreeSet::new(),
            foreign_at: Vec::new(),
            tickets: 0,
            delays: (0, 0),
            call_fate: None,
            question_fate: None,
            crash: None,
            crash_again: None,
            recovering: false,
            crashed: None,
            excused: BTreeSet::new(),
            unsure: BTreeMap::new(),
            ending: false,
            wakes: (0, 0),
            triggers: 0,
            opened: 0,
            unclear: 0,
            steps: 0,
            uncertain: 0,
            given_up: BTreeSet::new(),
            broken: None,
            marks: Marks::default(),
            script,
        };
        for image in 0..setting.images {
            for git_ref in 0..setting.refs {
                history.push(image, git_ref, None, Content::Inside);
            }
        }
        history
    }

    /// Plays it to its end and returns what was broken.
    pub(crate) fn play(&mut self, ops: &[Op]) -> Result<(), String> {
        for op in ops {
            self.carry_out(op);
            self.run_until(self.at);
            if self.broken.is_some() {
                break;
            }
        }
        if self.broken.is_none() {
            self.come_to_rest();
        }
        if self.broken.is_none() {
            self.check_coverage();
        }
        if self.broken.is_none() {
            self.check_notices();
        }
        if self.broken.is_none() {
            self.check_passed_over();
        }
        self.tell_troubles();
        self.broken.take().map_or(Ok(()), Err)
    }

    /// Advances the world to a moment.
    fn run_until(&mut self, end: i64) {
        while self.broken.is_none() {
            let due = self.driver.deadline().map(|at| (at.as_millis() - START.as_millis()) - self.ahead);
            let due = due.map(|due| due.max(self.at) + self.setting.wakes_late_ms);
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let next = due.into_iter().chain(queued).min().filter(|next| *next <= end);
            let Some(next) = next else { break };
            self.at = self.at.max(next);
            let inputs = self.take_due();
            if inputs.is_empty() && queued != Some(next) {
                self.count_wake();
            }
            self.step(inputs);
        }
        self.at = self.at.max(end);
    }

    /// Nothing new goes wrong from here on, and everything must end.
    fn come_to_rest(&mut self) {
        self.ending = true;
        self.crash = None;
        self.crash_again = None;
        self.crashed = None;
        self.order(None, Word::Resume, None);
        for image in 0..self.setting.images {
            self.order(Some(image), Word::Resume, None);
        }
        let limit = self.at + REST_LIMIT_MS;
        while self.broken.is_none() && (self.driver.deadline().is_some() || !self.queue.is_empty()) {
            let due = self.driver.deadline().map(|at| (at.as_millis() - START.as_millis()) - self.ahead);
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let next = due.into_iter().chain(queued).min().expect("one of the two");
            if next > limit {
                let lanes: Vec<&Lane> = self.driver.scheduler().lanes().collect();
                self.fail(format!("it never comes to rest: {lanes:?}"));
                return;
            }
            self.run_until(next.max(self.at) + self.setting.wakes_late_ms);
        }
        if self.broken.is_none() {
            self.check_twin();
        }
    }

    fn later(&mut self, after: i64, pending: Pending) {
        self.serial += 1;
        self.queue.insert((self.at + after.max(0), self.serial), pending);
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// The daemon's clock.
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START.as_millis() + self.at + self.ahead)
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers make the text for it")]
    fn fail(&mut self, why: String) {
        if self.broken.is_none() {
            self.broken = Some(format!("at {} ms: {why}", self.at));
        }
    }
}

/// The world's clock.
fn world(at: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + at)
}

fn policy(setting: &Setting) -> Policy {
    let rule = |refs: &str, label: &str| LabelRule {
        refs: globset::Glob::new(refs).expect("a glob").compile_matcher(),
        label: label.to_owned(),
    };
    let capabilities = Capabilities {
        source_taken: setting.source_taken,
        longest_build: Some(Duration::from_hours(4)),
        ..Capabilities::DEFAULT
    };
    let labels = vec![rule("master", "latest"), rule("dev", "{branch}"), rule("v*", "{tag}")];
    Policy {
        prequeue: setting.prequeue,
        capabilities: if setting.observes { capabilities } else { capabilities.blind() },
        retry_failed: setting.retry_failed,
        labels: if setting.labels { labels } else { Vec::new() },
        account: setting.account_limit.map(|_| AccountName::from("test")),
        ..Policy::DEFAULT.clone()
    }
}
