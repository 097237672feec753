//! The loop that owns the scheduler. It takes in what happened, decides, writes, and only then acts.
//!
//! Everything that waits is taken in together, as one step with one flush: group commit is the performance design.
//! Effects run as tasks with time limits, and their results come back as inputs. Only this module reads the clock; only
//! `handle.rs` lets others in.

mod configuration;
mod counters;
mod effects;
mod gauges;
mod handle;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use self::configuration::Backends;
pub use self::configuration::Configuration;
use self::counters::Counters;
pub use self::handle::{Acceptance, CommandError, Handle, Unavailable};
use crate::clock::{Clock, Stopwatch};
use crate::command::Command;
use crate::config::Rules;
use crate::event::Delivery;
use crate::journal::{JournalError, Reader, Retention, Storage, Vitals, encode};
use crate::model::{BuildId, ImageName, Seq, Timestamp};
use crate::scheduler::{Decision, Effect, Input, Scheduler, Snapshot, Step, Ticket};
use crate::status::Picture;

/// Requests on their way to the driver. Beyond this limit they are refused with 503 at once.
const INBOX_MAX: usize = 4_096;
/// The most requests that one step takes.
const STEP_MAX: usize = 1_024;
/// The most turns of the runtime during which requests are gathered for one step.
const GATHER_TURNS_MAX: usize = 4;
/// Enough requests for one flush: while it goes to disk, the next ones are read.
const GATHER_ENOUGH: usize = 96;
/// The oldest open event is looked up once in this many steps.
const LOOK_FOR_OPEN_EVERY: u64 = 16;
/// How long shutdown waits for trigger calls in flight, so that their outcome is known rather than uncertain.
const ENDING_LIMIT: Duration = Duration::from_secs(10);

/// The one owner of the scheduler.
pub struct Driver<J> {
    scheduler: Scheduler,
    journal: J,
    vitals: Arc<Vitals>,
    backends: Arc<Backends>,
    /// The rules in force, published to all readers.
    rules: watch::Sender<Arc<Rules>>,
    /// The configuration that the next step puts in force, and the caller waiting for it.
    next: Option<Configuration>,
    configurers: Vec<oneshot::Sender<()>>,
    inbox: mpsc::Receiver<Message>,
    picture: watch::Sender<Picture>,
    counters: Counters,
    clock: Clock,
    /// Calls in flight; each ends within its time limit.
    calls: JoinSet<Input>,
    /// Results of calls that no step has taken in yet.
    answers: VecDeque<Input>,
    waiting: BTreeMap<Ticket, oneshot::Sender<Decision>>,
    newest_ticket: u64,
    history: HistoryLimit,
    steps: u64,
    /// Nothing from this number on may be forgotten. Looked up only now and then: no older event opens in the meantime.
    keep_from: Seq,
    watchdog: Option<Duration>,
    fed_at: Timestamp,
}

/// What the driver is made of.
pub struct Parts<J> {
    pub journal: J,
    pub reader: Reader,
    pub snapshot: Snapshot,
    pub configuration: Configuration,
    pub history: HistoryLimit,
    /// Where receipts can be read: the URL of `/v1/events`.
    pub receipts_url: String,
    /// How often the service manager expects a sign of life.
    pub watchdog: Option<Duration>,
}

/// How much history is kept: events and builds that ended, oldest forgotten first.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimit {
    /// How long.
    pub age: Duration,
    /// How many events, and how many builds.
    pub events: u64,
}

/// A request to the driver, and where its answer goes.
enum Message {
    Deliver(Delivery, oneshot::Sender<Decision>),
    Command(Command, oneshot::Sender<Decision>),
    Configure(Box<Configuration>, oneshot::Sender<()>),
    Hint(ImageName),
}

/// What one wait brought.
enum Waited {
    Inputs(Vec<Input>),
    Ending,
}

impl<J: Storage> Driver<J> {
    /// Resumes where the journal ends. Nothing runs yet; [`drive`](Self::drive) writes the first step.
    pub fn new(parts: Parts<J>) -> (Self, Handle, Step) {
        let mut clock = Clock::new();
        let Configuration { rules, settings, backends } = parts.configuration;
        let (scheduler, first_step) = Scheduler::recover(settings, parts.snapshot, clock.now());
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let (picture, picture_seen) = watch::channel(Picture::of(&scheduler));
        let (rules, rules_seen) = watch::channel(rules);
        let vitals = parts.journal.vitals();
        let journal = (parts.reader, vitals.clone());
        let mut metrics = Registry::default();
        let counters = Counters::registered(&mut metrics);
        gauges::register(&mut metrics, picture_seen.clone(), vitals.clone());
        let handle = Handle::new(sender, rules_seen, picture_seen, metrics, journal, parts.receipts_url);
        let driver = Self {
            scheduler,
            journal: parts.journal,
            vitals,
            backends,
            rules,
            next: None,
            configurers: Vec::new(),
            inbox,
            picture,
            counters,
            clock,
            calls: JoinSet::new(),
            answers: VecDeque::new(),
            waiting: BTreeMap::new(),
            newest_ticket: 0,
            history: parts.history,
            steps: 0,
            keep_from: Seq(0),
            watchdog: parts.watchdog,
            fed_at: Timestamp::from_millis(0),
        };
        (driver, handle, first_step)
    }

    /// Drives until `ending` resolves, then takes in the remaining input and closes the journal.
    ///
    /// # Errors
    ///
    /// If a step can't be written. The process must then exit: memory has run ahead of the disk.
    pub async fn drive(mut self, first_step: Step, ending: impl Future<Output = ()>) -> Result<(), JournalError> {
        let mut ending = std::pin::pin!(ending);
        self.conclude(first_step).await?;
        while let Waited::Inputs(inputs) = self.wait(ending.as_mut()).await {
            self.step(inputs).await?;
        }
        self.end().await
    }

    async fn step(&mut self, inputs: Vec<Input>) -> Result<(), JournalError> {
        let now = self.clock.now();
        let step = self.scheduler.handle(now, inputs);
        self.conclude(step).await
    }

    /// Writes what a step decided, shows it, and only then acts.
    async fn conclude(&mut self, step: Step) -> Result<(), JournalError> {
        let changes = step.changes();
        effects::log(changes);
        let puts = encode(changes, &self.scheduler);
        let retention = self.retention();
        self.steps += 1;
        let began = (!puts.is_empty()).then(Stopwatch::start);
        let proof = self.journal.commit(puts, retention).await?;
        let took = began.map(Stopwatch::elapsed);
        self.install();
        self.picture.send_modify(|picture| picture.update(&self.scheduler, changes));
        if self.steps % LOOK_FOR_OPEN_EVERY == 1 {
            self.keep_from = self.picture.borrow().oldest_open().unwrap_or(self.scheduler.counters().0.next());
        }
        self.counters.count(changes, took);
        for effect in step.release(proof) {
            self.start(effect);
        }
        Ok(())
    }

    /// Publishes the configuration that the scheduler uses from this step on. Images are published first, so that a
    /// request that finds its image in the rules also finds its lane.
    fn install(&mut self) {
        if let Some(Configuration { rules, backends, .. }) = self.next.take() {
            self.picture.send_modify(|picture| picture.configure(&self.scheduler));
            self.backends = backends;
            self.rules.send_replace(rules);
        }
        for answer in self.configurers.drain(..) {
            // The caller may have stopped waiting; the rules are in force all the same.
            let _ = answer.send(());
        }
    }

    /// What may be forgotten now.
    fn retention(&mut self) -> Retention {
        let (newest, newest_build) = self.scheduler.counters();
        Retention {
            before: self.clock.now().minus(self.history.age),
            below: Seq(newest.0.saturating_sub(self.history.events)),
            builds_below: BuildId(newest_build.0.saturating_sub(self.history.events)),
            keep_from: self.keep_from,
        }
    }

    /// Waits until there is something to do. The arms only receive, so an arm that loses the race loses no message.
    async fn wait(&mut self, mut ending: std::pin::Pin<&mut impl Future<Output = ()>>) -> Waited {
        loop {
            if !self.answers.is_empty() {
                return Waited::Inputs(self.take_in(None));
            }
            let now = self.clock.now();
            let due = self.scheduler.deadline().map(|at| at.since(now));
            let message = tokio::select! {
                biased;
                () = ending.as_mut() => return Waited::Ending,
                Some(answer) = self.calls.join_next() => {
                    self.answers.extend(effects::outcome(answer, self.clock.ahead()));
                    None
                }
                message = self.inbox.recv() => match message {
                    Some(message) => Some(message),
                    None => return Waited::Ending,
                },
                () = pause(due) => None,
                () = pause(self.watchdog) => {
                    self.feed_watchdog();
                    continue;
                }
            };
            self.feed_watchdog();
            if message.is_some() {
                self.gather().await;
            }
            return Waited::Inputs(self.take_in(message));
        }
    }

    /// Gives requests that are being read time to arrive, as long as each turn of the runtime brings more. Under load
    /// one flush serves many; without load nothing waits.
    async fn gather(&self) {
        let mut waiting = self.inbox.len();
        for _ in 0..GATHER_TURNS_MAX {
            tokio::task::yield_now().await;
            let now_waiting = self.inbox.len();
            if now_waiting == waiting || now_waiting >= GATHER_ENOUGH {
                break;
            }
            waiting = now_waiting;
        }
    }

    /// Tells the service manager, as often as it asks, that the loop and the journal work.
    fn feed_watchdog(&mut self) {
        let now = self.clock.now();
        let is_well = self.vitals.is_well();
        if is_well && self.watchdog.is_some_and(|period| now.since(self.fed_at) >= period / 2) {
            self.fed_at = now;
            crate::telemetry::alive();
        }
    }

    /// Everything that waits, up to a limit.
    fn take_in(&mut self, first: Option<Message>) -> Vec<Input> {
        let mut inputs = Vec::new();
        while let Some(answer) = self.calls.try_join_next() {
            self.answers.extend(effects::outcome(answer, self.clock.ahead()));
        }
        inputs.extend(self.answers.drain(..));
        let mut next = first;
        while let Some(message) = next {
            inputs.push(self.input(message));
            next = if inputs.len() < STEP_MAX { self.inbox.try_recv().ok() } else { None };
        }
        inputs
    }

    fn input(&mut self, message: Message) -> Input {
        match message {
            Message::Deliver(delivery, answer) => Input::Arrived { delivery, ticket: self.ticket(answer) },
            Message::Command(command, answer) => Input::Commanded { command, ticket: self.ticket(answer) },
            Message::Configure(configuration, answer) => {
                let settings = configuration.settings.clone();
                self.next = Some(*configuration);
                self.configurers.push(answer);
                Input::Configured(settings)
            }
            Message::Hint(image) => Input::Hinted { image },
        }
    }

    fn ticket(&mut self, answer: oneshot::Sender<Decision>) -> Ticket {
        self.newest_ticket += 1;
        let ticket = Ticket(self.newest_ticket);
        self.waiting.insert(ticket, answer);
        ticket
    }

    /// Starts one effect. Its result comes back as an input.
    fn start(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { ticket, decision } => {
                if let Some(answer) = self.waiting.remove(&ticket) {
                    // The client may be gone; the event is on disk all the same.
                    let _ = answer.send(decision);
                }
            }
            Effect::Deliver { notice, .. } => self.answers.push_back(effects::deliver(&notice)),
            Effect::Trigger(request) => {
                let (backends, counters) = (self.backends.clone(), self.counters.clone());
                self.calls.spawn(effects::trigger(backends, request, counters));
            }
            Effect::Observe { image, question } => {
                self.calls.spawn(effects::observe(self.backends.clone(), image, question));
            }
            Effect::AskHeads { remote, question } => {
                self.calls.spawn(effects::heads(self.rules.borrow().clone(), remote, question));
            }
            Effect::Cancel { image, build, backend_id } => {
                self.calls.spawn(effects::cancel(self.backends.clone(), image, build, backend_id));
            }
        }
    }

    /// Accepts nothing more, but finishes what was accepted: requests in the inbox are written, and trigger calls in
    /// flight get a moment to finish.
    async fn end(mut self) -> Result<(), JournalError> {
        self.inbox.close();
        let limit = tokio::time::sleep(ENDING_LIMIT);
        let mut limit = std::pin::pin!(limit);
        loop {
            let first = self.inbox.try_recv().ok();
            let inputs = self.take_in(first);
            if !inputs.is_empty() {
                self.step(inputs).await?;
                continue;
            }
            let triggering = self.scheduler.is_triggering();
            if !triggering || self.calls.is_empty() {
                break;
            }
            tokio::select! {
                Some(answer) = self.calls.join_next() => self.answers.extend(effects::outcome(answer, self.clock.ahead())),
                () = limit.as_mut() => break,
            }
        }
        self.calls.shutdown().await;
        self.journal.close();
        Ok(())
    }
}

/// Sleeps for `span`, or for ever if there is nothing to wait for.
async fn pause(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}
