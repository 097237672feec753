//! One history: the real scheduler on the journal's twin against the model of Docker Hub, in virtual time.
//!
//! There are two clocks: the world's, by which the Hub lives, and the daemon's, which may be set otherwise. Whatever
//! passes between the two takes its time and may be lost, late or in another order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coalesced::build::{
    BackendBuild, BackendBuildId, BackendBuildState, BuildRequest, CancelAnswer, Capabilities, Observation,
    ObserveError, Outcome, TriggerAnswer,
};
use coalesced::command::{Command, Scope, Verb};
use coalesced::emulator::{Fault, Hub, Reply, TrueBuild, Wanted};
use coalesced::event::{Cause, CauseKind, Delivery, Disposition, End, Event, Fingerprint, NewEvent, Touches, Verdict};
use coalesced::journal::{Fate, MemoryJournal, encode};
use coalesced::model::{BuildId, CommitId, GitRef, ImageName, Seq, Timestamp};
use coalesced::scheduler::lane::{Lane, Live};
use coalesced::scheduler::policy::{AccountName, LabelRule, Policy};
use coalesced::scheduler::record::Fact;
use coalesced::scheduler::{Decision, Effect, Input, Scheduler, Settings, Step, Ticket};

use super::Sums;
use super::filters::{Content, OUTSIDE, PassedOver, Push, left_behind};
use super::marks::Marks;
use super::plan::{CallFate, IMAGES, Op, QuestionFate, REFS, Setting, Word};
use super::scenario::Script;

pub(crate) const START: Timestamp = Timestamp::from_millis(1_795_428_000_000);
/// A row of the journal stays below this.
const ROW_BYTES_MAX: usize = 8 * 1024;
/// The most that one lane may wake by itself within a minute.
const WAKES_A_MINUTE_MAX: u32 = 60;
/// All must have come to rest this long after the last operation.
const REST_LIMIT_MS: i64 = 14 * 24 * 3_600_000;
/// A trigger call is given up after this; the back-end room's limit.
const CALL_LIMIT_MS: i64 = 30_000;
/// A call that was given up has its effect at most this much later.
const LATE_EFFECT_MS: i64 = 20_000;
/// Known gap: somebody else's build of this long before our call can be taken for ours: the tolerance of the core, and
/// the most by which `clock_error_ms` is wrong.
const NEAR_MS: i64 = 6_000;
/// An answer to a question comes this late where it comes too late.
const TOO_LATE_MS: i64 = 150_000;
/// Ids of deliveries that came before under another, and marks of their bodies, begin here.
const OTHER_IDS: u64 = 1 << 40;
const BODIES: u64 = 1 << 48;
/// Calls and questions that take this long on either way are told as a trouble.
const SLOW_MS: i64 = 14_000;

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
    scheduler: Scheduler,
    journal: MemoryJournal,
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
    /// The call of which nobody could know whether it had its effect.
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
    /// Builds whose events were opened again because nobody saw them begin.
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
        let settings = Settings {
            policies: images.iter().map(|image| (image.clone(), policy(setting))).collect(),
            account_limits: setting.account_limit.map(|limit| ("test".into(), limit)).into_iter().collect(),
            button_fold: Settings::BUTTON_FOLD,
            seed: setting.seed,
        };
        let journal = MemoryJournal::default();
        let snapshot = journal.snapshot().expect("nothing yet");
        let (scheduler, step) = Scheduler::recover(settings.clone(), snapshot, START);
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
            scheduler,
            journal,
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

    /// Plays it to its end and says what was broken.
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
            self.check_passed_over();
        }
        self.tell_troubles();
        self.broken.take().map_or(Ok(()), Err)
    }

    /// What the Hub made difficult.
    fn tell_troubles(&mut self) {
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

    fn carry_out(&mut self, op: &Op) {
        match op {
            Op::Push { image, git_ref, delay_ms, again_ms, forced, content } => {
                let is_tag = *git_ref == 2;
                // Of a tag, and of a forced push, no source says that nothing is to be built.
                let content = if is_tag || forced.is_some() { Content::Inside } else { *content };
                let (commit, before) = self.push(*image, *git_ref, *forced, content);
                let known = self.setting.commits;
                let disposition = content.disposition(is_tag);
                let new_event =
                    self.new_event(*image, *git_ref, known.then_some(commit), before.filter(|_| known), disposition);
                let delivery = self.delivery(CauseKind::Push, "github", new_event);
                if let Some(again) = again_ms {
                    let mut repeated = delivery.clone();
                    self.marks.hit("fault: a delivery is repeated");
                    if self.deliveries.is_multiple_of(2) {
                        // Sent again by hand: another id, and the body that was signed.
                        repeated.fingerprints[0] = Fingerprint(u128::from(self.deliveries + OTHER_IDS).to_be_bytes());
                        self.marks.hit("fault: a delivery is repeated under another id");
                    }
                    self.later(*delay_ms + *again, Pending::Arrive(repeated));
                }
                self.later(*delay_ms, Pending::Arrive(delivery));
            }
            Op::Tap { image, git_ref } => {
                let disposition = Disposition::Build { immediate: true, manual: true, ensure: false };
                self.deliver(CauseKind::Button, "phone", *image, *git_ref, disposition);
            }
            Op::Call { image, git_ref, now, ensure } => {
                let disposition = Disposition::Build { immediate: *now, manual: true, ensure: *ensure };
                self.deliver(CauseKind::Api, "ci", *image, *git_ref, disposition);
            }
            Op::Skip { image, git_ref } => {
                let skip = Disposition::Skip { rule: "skip".to_owned(), touches: Touches::Inside };
                self.deliver(CauseKind::Push, "github", *image, *git_ref, skip);
            }
            Op::Delete { image, git_ref } => {
                self.deliver(CauseKind::Push, "github", *image, *git_ref, Disposition::DeleteRef);
            }
            Op::Advance { ms } => self.run_until(self.at + ms),
            Op::Plan(fault) => {
                self.marks.fault(*fault);
                self.hub.plan(*fault);
            }
            Op::Delays { before_ms, after_ms } => {
                if (*before_ms).max(*after_ms) >= SLOW_MS {
                    self.marks.hit("fault: calls and questions take long");
                }
                self.delays = (*before_ms, *after_ms);
            }
            Op::Call1(fate) => self.call_fate = Some(*fate),
            Op::Question(fate) => self.question_fate = Some(*fate),
            Op::Crash { after, again, down_ms, clock_ms, calls_survive } => {
                self.crash = Some((*after, *down_ms, *clock_ms, *calls_survive));
                self.crash_again = *again;
            }
            Op::Jump { ms } => {
                self.wall += ms;
                // The daemon's own clock goes on where the wall clock has gone back.
                if self.wall > self.ahead {
                    self.ahead = self.wall;
                    self.clock_changed();
                }
                let back = *ms < 0;
                self.marks.hit(if back {
                    "clock: set back while running"
                } else {
                    "clock: jumped ahead while running"
                });
            }
            Op::Foreign { image, git_ref } => {
                let (image, git_ref) = (self.images[*image].clone(), self.refs[*git_ref].clone());
                self.hub.foreign_build(world(self.at), &image, &git_ref);
                // While a call has not been seen to have its effect, this one may be taken for it.
                let unseen =
                    |lane: &Lane| lane.queued.as_ref().is_some_and(|queued| queued.live.record.backend_ids.is_empty());
                self.marks.hit("fault: a build of somebody else");
                if self.scheduler.lane(&image).is_some_and(unseen) {
                    self.excuse(&image, "not judged: I3, a foreign build beside an unseen one");
                }
                self.foreign_at.push((image, self.at));
            }
            Op::Order { image, verb, for_ms } => self.order(*image, *verb, *for_ms),
            Op::Hint { image } => {
                let image = self.images[*image].clone();
                self.step(vec![Input::Hinted { image }]);
            }
        }
    }

    fn order(&mut self, image: Option<usize>, word: Word, for_ms: Option<i64>) {
        if !self.ending {
            self.marks.verb(word);
        }
        let length = for_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        let verb = match word {
            Word::Pause => Verb::Pause { length },
            Word::Resume => Verb::Resume,
            Word::Start => Verb::Start,
            Word::Drop => Verb::Drop,
            Word::Cancel => Verb::Cancel,
        };
        let scope = image.map_or(Scope::All, |image| Scope::Image(self.images[image].clone()));
        let command = Command { verb, scope, actor: "ada".to_owned(), reason: None };
        let ticket = self.ticket();
        self.step(vec![Input::Commanded { command, ticket }]);
    }

    /// Somebody pushes; the Hub sees it at once.
    fn push(
        &mut self,
        image: usize,
        git_ref: usize,
        forced: Option<usize>,
        content: Content,
    ) -> (CommitId, Option<CommitId>) {
        let place = (self.images[image].clone(), self.refs[git_ref].clone());
        let earlier = self.pushes.entry(place.clone()).or_default();
        let before = earlier.last().map(|push| push.commit.clone());
        let back = forced.and_then(|back| earlier.get(earlier.len().checked_sub(2 + back)?));
        let commit = back.map_or_else(
            || {
                self.commits += 1;
                super::scenario::commit(self.commits)
            },
            |push| push.commit.clone(),
        );
        if back.is_some() {
            self.marks.hit("push: forced back to an older commit");
        }
        earlier.push(Push { commit: commit.clone(), inside: content.is_inside() });
        self.hub.push(world(self.at), &place.0, &place.1, commit.clone());
        (commit, before)
    }

    fn deliver(&mut self, kind: CauseKind, source: &str, image: usize, git_ref: usize, disposition: Disposition) {
        let new_event = self.new_event(image, git_ref, None, None, disposition);
        let delivery = self.delivery(kind, source, new_event);
        self.later(0, Pending::Arrive(delivery));
    }

    fn new_event(
        &self,
        image: usize,
        git_ref: usize,
        commit: Option<CommitId>,
        before: Option<CommitId>,
        disposition: Disposition,
    ) -> NewEvent {
        let (image, git_ref) = (self.images[image].clone(), self.refs[git_ref].clone());
        NewEvent { image: Some(image), git_ref: Some(git_ref), commit, before, disposition }
    }

    fn delivery(&mut self, kind: CauseKind, source: &str, new_event: NewEvent) -> Delivery {
        self.deliveries += 1;
        let fingerprint = Fingerprint(u128::from(self.deliveries).to_be_bytes());
        let body = Fingerprint(u128::from(self.deliveries + BODIES).to_be_bytes());
        Delivery { cause: Cause::new(kind, source), fingerprints: vec![fingerprint, body], new_events: vec![new_event] }
    }

    /// Lets the world go on to a moment.
    fn run_until(&mut self, end: i64) {
        while self.broken.is_none() {
            let due = self.scheduler.deadline().map(|at| (at.as_millis() - START.as_millis()) - self.ahead);
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

    /// Carries out what is due outside, and answers with what comes in.
    fn take_due(&mut self) -> Vec<Input> {
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
                Pending::CancelAnswer(image, build, answer) => {
                    inputs.push(Input::CancelAnswered { image, build, answer });
                }
            }
        }
        inputs
    }

    /// Tells where a delivery of a push came in after one of a later push.
    fn note_order(&mut self, delivery: &Delivery) {
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

    fn call_hub(&mut self, request: BuildRequest, fate: CallFateNow) {
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

    fn look(&mut self, image: ImageName, question: u64, fate: Option<QuestionFate>) {
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

    fn observation(&self, builds: &[TrueBuild]) -> Observation {
        let rows: Vec<BackendBuild> = builds.iter().take(self.setting.list_max).map(|build| self.row(build)).collect();
        let complete_since = if builds.len() > rows.len() { rows.last().and_then(|row| row.created_at) } else { None };
        Observation { builds: rows, complete_since, clock_ahead_ms: 0 }
    }

    /// What comes in is dated by the wall clock, as far as that is known; the driver moves it to its own.
    fn by_our_clock(&self, mut seen: Observation) -> Observation {
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
    fn row(&self, build: &TrueBuild) -> BackendBuild {
        let state = match (build.outcome, build.is_cancelling(), build.runs()) {
            (Some(outcome), ..) => BackendBuildState::Finished(outcome),
            (None, true, _) => BackendBuildState::Stopping,
            (None, false, true) => BackendBuildState::Running,
            (None, false, false) => BackendBuildState::Waiting,
        };
        let ours = |at: Timestamp| Timestamp::from_millis(at.as_millis().div_euclid(1000) * 1000);
        let shows_commit = !self.setting.hub.withholds_commits && build.started_at.is_some();
        BackendBuild {
            id: row_id(build.number),
            state,
            label: Some(build.tag.clone()),
            commit: build.commit.clone().filter(|_| shows_commit),
            created_at: Some(ours(build.created_at)),
            started_at: build.started_at.map(ours).filter(|_| !self.setting.hub.withholds_starts),
            finished_at: build.finished_at.map(ours),
            log_url: None,
        }
    }

    /// One turn of the driver: decide, write, only then act. It may die between any two of these.
    fn step(&mut self, inputs: Vec<Input>) {
        if self.crashed.is_some() {
            // What has come in is gone with the process; senders see a broken connection.
            self.restart();
            return;
        }
        self.steps += 1;
        let now = self.now();
        if let Some(script) = &mut self.script {
            script.take_in(now, &inputs);
        }
        let is_tap = |input: &Input| matches!(input, Input::Arrived { delivery, .. } if delivery.cause.kind == CauseKind::Button);
        let dues = if inputs.iter().any(is_tap) { self.dues() } else { BTreeMap::new() };
        let step = self.scheduler.handle(now, inputs);
        self.check_dues(&dues, &step);
        self.conclude(step);
        if self.crashed.is_some() {
            self.restart();
        }
    }

    fn conclude(&mut self, step: Step) {
        self.check_state();
        if self.dies("before the commit") {
            return;
        }
        let puts = encode(step.changes(), &self.scheduler);
        if let Some(put) = puts.iter().find(|put| put.value.as_ref().is_some_and(|value| value.len() > ROW_BYTES_MAX)) {
            self.fail(format!("a row of the journal is too large: {}", String::from_utf8_lossy(&put.key)));
        }
        self.note(&step);
        let proof = self.journal.commit(puts);
        self.trust_again();
        if self.dies("before the effects") {
            return;
        }
        for effect in step.release(proof) {
            self.start(effect);
            if self.dies("among the effects") {
                return;
            }
        }
    }

    fn start(&mut self, effect: Effect) {
        let before = self.delays.0;
        match effect {
            Effect::Answer { ticket, decision } => self.answered(ticket, &decision),
            Effect::Trigger(request) => self.trigger(request),
            Effect::Observe { image, question } => {
                let fate = self.question_fate.take().filter(|_| !self.ending);
                if let Some(fate) = fate {
                    self.marks.question(fate);
                }
                self.later(before, Pending::Look(image, question, fate));
            }
            Effect::Cancel { image, build, backend_id } => {
                self.later(before, Pending::CancelEffect(image, build, backend_id));
            }
            Effect::Notify { notice, .. } => self.marks.notice(&notice),
            Effect::AskHeads { .. } => unreachable!("no image of a history has a remote"),
        }
    }

    /// Somebody else's build of so shortly before the call was decided, or since, can be taken for ours.
    fn is_near_a_foreign_build(&self, image: &ImageName, build: BuildId) -> bool {
        let decided = self.decided[&build];
        self.foreign_at.iter().any(|(of, at)| of == image && decided - at <= NEAR_MS)
    }

    /// Where an event is in none of the rows that were taken for its build: why nobody could know better.
    fn known_gap(&self, build: BuildId, rows: &[usize]) -> Option<&'static str> {
        if !self.setting.observes && rows.is_empty() {
            return Some("known gap: I2, blind, and the call had no effect");
        }
        let decided = *self.decided.get(&build)?;
        let taken = || rows.iter().filter_map(|number| self.hub.build(*number));
        if self.astray.contains(&build) && taken().any(|row| row.created_at < world(decided)) {
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

    fn trigger(&mut self, request: BuildRequest) {
        let lane = self.scheduler.lane(&request.image).expect("configured");
        let carried = lane
            .live(request.build)
            .and_then(|live| live.carries.as_ref())
            .map_or(0, coalesced::scheduler::open::Open::count);
        if carried == 0 {
            self.fail(format!("I4: build {} is triggered for no open event", request.build));
        }
        let before = self.delays.0;
        let detail = "as planned".to_owned();
        match self.call_fate.take().filter(|_| !self.ending) {
            None => self.later(before, Pending::CallEffect(request, CallFateNow::Plain)),
            Some(CallFate::NoConnection) => {
                self.marks.hit("fault: no connection for a call");
                self.triggers += 1;
                let answer = TriggerAnswer::RefusedForNow { retry_after: None, detail };
                self.later(before, Pending::CallAnswer(request.image, request.build, answer));
            }
            Some(CallFate::RetryAfter(seconds)) => {
                self.marks.hit("fault: a call is asked to wait");
                self.triggers += 1;
                let answer = TriggerAnswer::RefusedForNow { retry_after: Some(Duration::from_secs(seconds)), detail };
                self.later(before, Pending::CallAnswer(request.image, request.build, answer));
            }
            Some(CallFate::LateEffect) => {
                self.marks.hit("fault: a call is given up and has its effect later");
                if self.is_near_a_foreign_build(&request.image, request.build) {
                    self.excuse(&request.image, "not judged: I3, a foreign build just before the call");
                }
                let answer = TriggerAnswer::Uncertain { detail };
                let (image, build) = (request.image.clone(), request.build);
                self.later(CALL_LIMIT_MS, Pending::CallAnswer(image, build, answer));
                self.later(CALL_LIMIT_MS + LATE_EFFECT_MS, Pending::CallEffect(request, CallFateNow::GivenUp));
            }
        }
    }

    fn answered(&mut self, ticket: Ticket, decision: &Decision) {
        let receipt = match decision {
            Decision::Recorded { events } => (events[0].seq, u32::try_from(events.len()).expect("few")),
            Decision::Repeated { first, count } => {
                self.marks.hit("decision: repeated");
                (*first, *count)
            }
            _ => return,
        };
        let Some(fingerprint) = self.receipts.remove(&ticket) else { return };
        let first = *self.first_receipts.entry(fingerprint).or_insert(receipt);
        if first != receipt {
            self.fail(format!("I7: the receipt {receipt:?} is not the first one {first:?}"));
        }
        if !self.wanting.contains_key(&receipt.0) {
            self.fail(format!("I1: event {} was answered and is not on disk", receipt.0.0));
        }
    }

    /// Notes what a step that is being committed says.
    fn note(&mut self, step: &Step) {
        for record in &step.changes().records {
            if gives_up(&record.fact) {
                self.excuse(&record.image, "not judged: I3, a build that was given up may go on");
            }
            match &record.fact {
                Fact::NeverStarted { build, note, .. } if note.starts_with("given up") => {
                    self.overdue.insert(*build);
                    self.given_up.insert(*build);
                }
                Fact::BecameUncertain { build, .. } => {
                    self.uncertain += 1;
                    self.unclear_calls.insert(*build);
                }
                Fact::NeverStarted { build, outcome: Outcome::NotStarted, note, .. } => {
                    self.given_up.insert(*build);
                    // Lists that are cut off before it, or can't be read, until its time is up.
                    if note.starts_with("unverified") && self.unclear_calls.insert(*build) {
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
            if let (Verdict::Skipped { rule }, Some(image), Some(git_ref), Some(commit)) =
                (&event.verdict, &event.image, &event.git_ref, &event.commit)
                && rule == OUTSIDE
            {
                let (image, git_ref, commit) = (image.clone(), git_ref.clone(), commit.clone());
                self.passed_over.push(PassedOver { image, git_ref, commit, at: world(self.at) });
            }
            let wanting = Wanting { event: event.clone(), needs: needs.unwrap_or(0), accepted: self.at };
            self.wanting.insert(event.seq, wanting);
        }
        self.marks.lanes(&self.scheduler);
    }

    /// One more point at which the process may die; true where it does.
    fn dies(&mut self, where_: &'static str) -> bool {
        let Some((after, down, clock, survive)) = self.crash else { return false };
        if after > 0 {
            self.crash = Some((after - 1, down, clock, survive));
            return false;
        }
        self.marks.crash(if self.recovering { "while it recovers" } else { where_ });
        self.crash = None;
        self.crashed = Some((down, clock, survive));
        true
    }

    /// What was in memory is gone. What is on its way to the Hub may still have its effect; nobody hears of it.
    fn restart(&mut self) {
        let (down, clock, survive) = self.crashed.take().expect("it died");
        let mut left = BTreeMap::new();
        for (at, pending) in std::mem::take(&mut self.queue) {
            match pending {
                // A request made while nobody listens is lost: its sender saw no answer.
                Pending::Arrive(_) if at.0 > self.at + down => drop(left.insert(at, pending)),
                Pending::Arrive(_) => self.marks.hit("fault: a delivery is lost with the process"),
                Pending::CallEffect(request, _) if survive => {
                    left.insert(at, Pending::CallEffect(request, CallFateNow::GivenUp));
                }
                Pending::CancelEffect(..) if survive => drop(left.insert(at, pending)),
                _ => {}
            }
        }
        // Calls that survive have their effect while the process is down.
        self.queue = left.extract_if(.., |_, pending| !matches!(pending, Pending::Arrive(_))).collect();
        let back_at = self.at + down;
        while let Some(((at, _), _)) = self.queue.first_key_value() {
            self.at = self.at.max(*at);
            // Nobody is there to take in what comes back.
            drop(self.take_due());
            self.queue.retain(|_, pending| matches!(pending, Pending::CallEffect(..) | Pending::CancelEffect(..)));
        }
        self.at = self.at.max(back_at);
        if clock != 0 {
            self.marks.hit(if clock < 0 { "clock: back at a restart" } else { "clock: ahead at a restart" });
        }
        self.wall += clock;
        let clock = self.wall - self.ahead;
        self.ahead = self.wall;
        self.crash = self.crash_again.take().map(|after| (after, down, 0, survive));
        self.queue.append(&mut left);
        let snapshot = self.journal.snapshot().expect("the twin reads back what it wrote");
        let now = self.now();
        if let Some(script) = &mut self.script {
            script.crash(now);
        }
        let (scheduler, step) = Scheduler::recover(self.settings.clone(), snapshot, now);
        self.scheduler = scheduler;
        if clock != 0 {
            self.clock_changed();
        }
        self.recovering = true;
        self.conclude(step);
        self.recovering = false;
        if self.crashed.is_some() {
            self.restart();
        }
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
        while self.broken.is_none() && (self.scheduler.deadline().is_some() || !self.queue.is_empty()) {
            let due = self.scheduler.deadline().map(|at| (at.as_millis() - START.as_millis()) - self.ahead);
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let next = due.into_iter().chain(queued).min().expect("one of the two");
            if next > limit {
                let lanes: Vec<&Lane> = self.scheduler.lanes().collect();
                self.fail(format!("it never comes to rest: {lanes:?}"));
                return;
            }
            self.run_until(next.max(self.at) + self.setting.wakes_late_ms);
        }
        if self.broken.is_none() {
            self.check_twin();
        }
    }

    fn check_state(&mut self) {
        let now = self.now();
        if self.scheduler.deadline().is_some_and(|due| due <= now) {
            let due = self.scheduler.deadline();
            self.fail(format!("a deadline in the past: {due:?} at {now:?}"));
        }
        let mut overdue = None;
        for image in &self.images {
            let policy = self.scheduler.policy(image).expect("configured");
            let lane = self.scheduler.lane(image).expect("configured");
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
    fn check_places(&mut self, image: &ImageName, git_ref: &GitRef) {
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
        let overlaps = self.scheduler.lane(image).is_some_and(|lane| lane.overlaps);
        if overlaps && ours.iter().any(|build| build.runs() && build.git_ref != *git_ref) {
            self.fail(format!("I3: {git_ref} is called for beside another ref, where two run at once: {ours:?}"));
        }
    }

    /// The places of this image can't be judged by the truth from now on, until it is next at rest.
    fn excuse(&mut self, image: &ImageName, why: &'static str) {
        self.excused.insert(image.clone());
        self.unsure.entry(image.clone()).or_insert(why);
    }

    /// Whose builds have all ended, by the truth and by what we believe, is judged again.
    fn trust_again(&mut self) {
        if self.unsure.is_empty() || self.crashed.is_some() {
            return;
        }
        let mut sure = Vec::new();
        for image in self.unsure.keys() {
            let lane = self.scheduler.lane(image).expect("configured");
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

    /// When each open key is due.
    fn dues(&self) -> BTreeMap<(ImageName, GitRef), (Timestamp, Timestamp)> {
        let mut dues = BTreeMap::new();
        for image in &self.images {
            let policy = self.scheduler.policy(image).expect("configured");
            let lane = self.scheduler.lane(image).expect("configured");
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
    fn check_dues(&mut self, before: &BTreeMap<(ImageName, GitRef), (Timestamp, Timestamp)>, step: &Step) {
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

    fn count_wake(&mut self) {
        let (since, count) = self.wakes;
        self.wakes = if self.at - since < 60_000 { (since, count + 1) } else { (self.at, 1) };
        if self.wakes.1 > WAKES_A_MINUTE_MAX * u32::try_from(self.setting.images).unwrap_or(1) {
            self.fail(format!("a busy loop: {} wakes within a minute", self.wakes.1));
        }
    }

    /// The journal holds the state that memory holds.
    fn check_twin(&mut self) {
        let snapshot = self.journal.snapshot().expect("the twin reads back what it wrote");
        let stored: BTreeMap<ImageName, Lane> =
            snapshot.lanes.into_iter().map(|lane| (lane.image.clone(), lane)).collect();
        for image in self.images.clone() {
            let lane = self.scheduler.lane(&image).expect("configured");
            let same = stored.get(&image).map_or(*lane == Lane::new(image.clone()), |stored| stored == lane);
            if !same {
                self.fail(format!("the journal's lane differs: {:?} {lane:?}", stored.get(&image)));
            }
        }
        if (snapshot.newest, snapshot.newest_build) != self.scheduler.counters() {
            self.fail("the journal's counters differ".to_owned());
        }
    }

    /// I2 by the truth of the Hub: what was in the source when it was taken.
    fn check_coverage(&mut self) {
        // What goes on unseen ends, too.
        while let Some(next) = self.hub.next_event() {
            self.hub.advance(next);
        }
        let reader = self.journal.reader();
        let mut broken = None;
        for (seq, wanting) in &self.wanting {
            let event = &wanting.event;
            let (Some(image), Some(git_ref)) = (&event.image, &event.git_ref) else { continue };
            if event.verdict != Verdict::Opened {
                continue;
            }
            let Fate::Ended(closure) = reader.fate(image, git_ref, *seq).expect("readable") else {
                broken = Some(format!("I2: event {} is still open at rest", seq.0));
                break;
            };
            let End::BuiltBy(id) = closure.end else { continue };
            let row = reader.build(id).expect("readable").expect("kept");
            let numbers: Vec<usize> = if self.setting.observes {
                row.backend_ids.iter().filter_map(number_of).collect()
            } else {
                self.made.get(&id).cloned().unwrap_or_default()
            };
            let pushes = &self.pushes[&(image.clone(), git_ref.clone())];
            let holds = |number: &usize| {
                let Some(build) = self.hub.build(*number) else { return false };
                // Thrown away, and shown as failed: red, and told so.
                let shown_failed = build.outcome == Some(Outcome::Failure) && build.started_at.is_none();
                let content =
                    build.commit.as_ref().and_then(|commit| pushes.iter().rposition(|push| push.commit == *commit));
                // Blind, nobody sees that a person's wish to cancel was granted; and a row that was cancelled while it
                // waited, beside one of somebody else's that had started, was ended by the same wish.
                let unseen = !self.setting.observes
                    || (self.cancel_asked.contains(&id) && build.started_at.is_none() && !build.foreign);
                let cancelled = unseen && build.outcome == Some(Outcome::Cancelled);
                build.git_ref == *git_ref
                    && (shown_failed || cancelled || content.is_some_and(|index| index >= wanting.needs))
            };
            if numbers.iter().any(holds) {
                self.marks.hit("judged: I2");
            } else if let Some(gap) = self.known_gap(id, &numbers) {
                self.marks.hit(gap);
            } else {
                let truth: Vec<_> = numbers.iter().map(|number| self.hub.build(*number)).collect();
                let needs = &pushes[wanting.needs].commit;
                broken = Some(format!(
                    "I2: event {} of {image} {git_ref} is said to be in build {id}, which lacks {needs}: {truth:?}",
                    seq.0
                ));
                break;
            }
        }
        if let Some(broken) = broken {
            self.fail(broken);
        }
        self.check_superfluous();
        if self.triggers > self.opened + self.unclear {
            self.fail(format!("I4: {} triggers for {} events", self.triggers, self.opened));
        }
        if self.setting.calm {
            self.check_waiting();
        }
    }

    /// R10 by the truth of the Hub: what was passed over for its files left nothing behind.
    fn check_passed_over(&mut self) {
        let mut broken = None;
        for passed in &self.passed_over {
            if self.excused.contains(&passed.image) || !self.setting.observes || !self.clock_changes.is_empty() {
                continue;
            }
            self.marks.hit("passed over: judged by the truth");
            let pushes = &self.pushes[&(passed.image.clone(), passed.git_ref.clone())];
            let builds = self.hub.true_builds(&passed.image);
            if let Some(left) = left_behind(passed, pushes, &builds) {
                // Told only later, when the ref seemed to be where it had gone unheard: then it opens its key itself.
                let told_later = |wanting: &Wanting| {
                    let event = &wanting.event;
                    let same =
                        event.image.as_ref() == Some(&passed.image) && event.git_ref.as_ref() == Some(&passed.git_ref);
                    same && event.commit.as_ref() == Some(&left.commit)
                        && event.verdict == Verdict::Opened
                        && world(wanting.accepted) >= passed.at
                };
                if self.wanting.values().any(told_later) {
                    self.marks.hit("passed over: what lacks is told later");
                    continue;
                }
                let PassedOver { image, git_ref, commit, .. } = passed;
                broken = Some(format!(
                    "I2: {commit} of {image} {git_ref} was passed over, and {} is in no build",
                    left.commit
                ));
                break;
            }
        }
        if let Some(broken) = broken {
            self.fail(broken);
        }
    }

    /// I8: a build too many comes of a call of which nobody could know whether it had its effect, and of no other.
    fn check_superfluous(&mut self) {
        let mut broken = None;
        for build in &self.given_up {
            let made = self.made.get(build).into_iter().flatten().filter_map(|number| self.hub.build(*number));
            let ran: Vec<&TrueBuild> = made.filter(|build| build.started_at.is_some()).collect();
            let Some(first) = ran.first() else { continue };
            if self.unclear_calls.contains(build) && ran.len() == 1 {
                self.marks.hit("judged: I8");
            } else if first.has_vanished() || self.vanished_as(*build) {
                self.marks.hit("not judged: I8, the build vanished");
            } else if self.overdue.contains(build) {
                self.marks.hit("not judged: I8, still queued at the deadline");
            } else if self.astray.contains(build) {
                self.marks.hit("not judged: I8, the clock was set before the build was seen");
            } else {
                broken = Some(format!("I8: build {build} was given up and ran: {ran:?}"));
            }
        }
        if let Some(broken) = broken {
            self.fail(broken);
        }
    }

    /// Whether a row that was taken for this build has vanished, be it somebody else's.
    fn vanished_as(&self, build: BuildId) -> bool {
        let row = self.journal.reader().build(build).expect("readable");
        let rows = row.iter().flat_map(|row| &row.backend_ids);
        rows.filter_map(|row| self.hub.build(number_of(row)?)).any(TrueBuild::has_vanished)
    }

    /// I5: where nothing goes wrong, an image is there in bounded time.
    fn check_waiting(&mut self) {
        let policy = Policy::DEFAULT;
        let keys = i64::try_from(self.setting.refs).unwrap_or(1);
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        // To each build comes the time until its end is seen.
        let unseen = ms(policy.observe_every * 4 + self.setting.hub.visible_after) + 2_000;
        let all_images = i64::try_from(self.setting.images).unwrap_or(1);
        // Where the service itself builds too few at once, builds of other images come first.
        let share = if self.setting.hub.concurrent_builds >= 5 { 1 } else { 2 * all_images };
        let build = (ms(self.setting.hub.build_time) + unseen) * share;
        let most = ms(policy.max_wait) + (keys + 1) * build + build;
        let reader = self.journal.reader();
        for (seq, wanting) in &self.wanting {
            let (Some(image), Some(git_ref)) = (&wanting.event.image, &wanting.event.git_ref) else { continue };
            if wanting.event.verdict != Verdict::Opened {
                continue;
            }
            let Fate::Ended(closure) = reader.fate(image, git_ref, *seq).expect("readable") else { continue };
            let End::BuiltBy(id) = closure.end else { continue };
            let row = reader.build(id).expect("readable").expect("kept");
            let ends = row.backend_ids.iter().filter_map(|row| self.hub.build(number_of(row)?)?.finished_at);
            let Some(end) = ends.min() else { continue };
            let took = (end.as_millis() - START.as_millis()) - wanting.accepted;
            self.marks.hit("calm: a wait within its bound");
            if took > most {
                self.broken = Some(format!("I5: event {} waited {took} ms of at most {most} ms", seq.0));
                return;
            }
        }
    }

    /// Rows are dated by a clock that was set otherwise since the call: those of before may seem to be of after.
    fn clock_changed(&mut self) {
        self.clock_changes.push(self.at);
        let mut images = Vec::new();
        for lane in self.scheduler.lanes() {
            // One whose row the answer named has not been seen, either, until a list shows it.
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

/// A build that nobody could see any more is given up, and may go on.
fn gives_up(fact: &Fact) -> bool {
    match fact {
        Fact::NeverStarted { outcome: Outcome::NotStarted, note, .. } => {
            !note.contains("shows no build of this trigger")
        }
        Fact::Finished { outcome: Outcome::Lost, note, .. } => {
            !note.as_ref().is_some_and(|note| note.contains("own time limit"))
        }
        _ => false,
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

fn row_id(number: usize) -> BackendBuildId {
    BackendBuildId(format!("r{number}"))
}

fn number_of(row: &BackendBuildId) -> Option<usize> {
    row.0.strip_prefix('r')?.parse().ok()
}
