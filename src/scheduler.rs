//! PURE: decides when each image is built. Owns all scheduling state and does no IO.
//!
//! It has no clock, spawns no task and takes no lock: time and answers come in as arguments, effects go out as
//! values. A test can therefore replay any history faster than it happened. docs/semantics.md states what it
//! promises; the rule's number is given next to the code that keeps it.

mod account;
mod configure;
mod controller;
mod coverage;
pub mod deliveries;
pub mod heads;
mod ingest;
pub mod lane;
pub mod lookback;
pub mod open;
pub mod outbox;
pub mod policy;
mod question;
pub mod record;
mod step;
mod turn;
pub mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::account::Account;
use self::controller::ImageController;
use self::deliveries::Deliveries;
use self::heads::Remote;
use self::lane::{Lane, Phase};
use self::outbox::Outbox;
use self::policy::{AccountName, Policy};
pub use self::question::{Question, Watch};
use self::record::Fact;
pub use self::step::{Decision, Effect, Input, Settings, Snapshot, Step, Ticket};
use self::turn::{Ids, Turn};
use self::wait::{Rank, pause_over};
use crate::build::{BuildRequest, CancelAnswer};
use crate::command::{Command, Hold, Scope, Verb};
use crate::model::{BuildId, GitRef, ImageName, Seq, Timestamp};
use crate::notice::{Notice, NoticeId, NoticeKind};

/// A step later than its deadline by this much means a gap: the machine slept, or its clock was set forward.
const AWAY_AFTER: Duration = Duration::from_secs(30);

/// Decides when each image is built.
#[derive(Clone, Debug)]
pub struct Scheduler {
    images: BTreeMap<ImageName, ImageController>,
    /// The lanes of images that are not configured, as stored. They stay unchanged.
    aside: BTreeMap<ImageName, Lane>,
    /// Each account's limit on concurrent builds, and how many it has now.
    accounts: BTreeMap<AccountName, Account>,
    /// The hold of all images.
    hold: Option<Hold>,
    /// The newest numbers, between steps.
    ids: Ids,
    deliveries: Deliveries,
    outbox: Outbox,
    /// When each lane must be looked at next if there is no input.
    timers: BTreeSet<(Timestamp, ImageName)>,
    /// Lanes held back only by their account's limit.
    starved: BTreeSet<ImageName>,
    /// The remotes whose heads are compared with the commits that events asked for.
    remotes: BTreeMap<Arc<str>, Remote>,
    button_fold: Duration,
    seed: u64,
    now: Timestamp,
}

impl Scheduler {
    /// Resumes where the journal ends. Lanes of images that are not configured are set aside, as stored.
    ///
    /// A trigger in flight when the process died is neither assumed nor forgotten: it is *uncertain*,
    /// and its lane asks the back-end before it does anything else (R11).
    pub fn recover(settings: Settings, snapshot: Snapshot, now: Timestamp) -> (Self, Step) {
        let mut scheduler = Self {
            images: BTreeMap::new(),
            aside: snapshot.lanes.into_iter().map(|lane| (lane.image.clone(), Lane::restore(lane))).collect(),
            accounts: BTreeMap::new(),
            hold: snapshot.hold,
            ids: Ids {
                event: snapshot.newest,
                build: snapshot.newest_build,
                notice: snapshot.outbox.newest,
                question: 0,
            },
            deliveries: Deliveries::recover(snapshot.deliveries),
            outbox: Outbox::recover(snapshot.outbox.pending, now),
            timers: BTreeSet::new(),
            starved: BTreeSet::new(),
            remotes: BTreeMap::new(),
            button_fold: settings.button_fold,
            seed: settings.seed,
            now,
        };
        let mut turn = scheduler.begin();
        scheduler.configure(settings, &mut turn);
        let step = scheduler.conclude(turn);
        (scheduler, step)
    }

    /// Handles everything that happened up to `now` and returns one [`Step`]. No input means that only time has
    /// passed. A `now` earlier than the last call's counts as the last call's.
    pub fn handle(&mut self, now: Timestamp, inputs: impl IntoIterator<Item = Input>) -> Step {
        let now = self.now.max(now);
        self.now = now;
        if self.deadline().is_some_and(|due| due.plus(AWAY_AFTER) <= now) {
            self.images.values_mut().for_each(|controller| controller.since = now);
        }
        let mut turn = self.begin();
        for input in inputs {
            self.take(input, &mut turn);
        }
        self.conclude(turn)
    }

    /// When [`handle`](Self::handle) is due next without input; None while every lane is at rest,
    /// no remote is due to be asked, and no notice is pending.
    pub fn deadline(&self) -> Option<Timestamp> {
        let lanes = self.timers.first().map(|(at, _)| *at);
        [lanes, pause_over(self.hold.as_ref()), self.next_heads(), self.outbox.deadline()].into_iter().flatten().min()
    }

    /// Every lane, in the order of image names.
    pub fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.images.values().map(|controller| &controller.lane)
    }

    pub fn lane(&self, image: &ImageName) -> Option<&Lane> {
        self.images.get(image).map(|controller| &controller.lane)
    }

    /// The lane of an image, configured or not, as it must be stored.
    pub fn stored_lane(&self, image: &ImageName) -> Option<&Lane> {
        self.lane(image).or_else(|| self.aside.get(image))
    }

    /// The rules of every image.
    pub fn policies(&self) -> impl Iterator<Item = (&ImageName, &Arc<Policy>)> {
        self.images.iter().map(|(image, controller)| (image, &controller.policy))
    }

    pub fn policy(&self, image: &ImageName) -> Option<&Policy> {
        self.images.get(image).map(|controller| &*controller.policy)
    }

    /// The questions about an image. Together with its lane, they are all that its decisions depend on.
    pub fn watch(&self, image: &ImageName) -> Option<&Watch> {
        self.images.get(image).map(|controller| &controller.watch)
    }

    /// The hold of all images.
    pub fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// The lanes held back only by their account's limit.
    pub fn starved(&self) -> &BTreeSet<ImageName> {
        &self.starved
    }

    /// The notices not yet delivered, oldest first.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.outbox.pending()
    }

    /// The newest notice's number.
    pub fn newest_notice(&self) -> NoticeId {
        self.ids.notice
    }

    /// Whether a trigger call is in flight.
    pub fn is_triggering(&self) -> bool {
        let triggering = |lane: &Lane| lane.queued.as_ref().is_some_and(|queued| queued.phase == Phase::Triggering);
        self.lanes().any(triggering)
    }

    /// The newest event's and the newest build's number.
    pub fn counters(&self) -> (Seq, BuildId) {
        (self.ids.event, self.ids.build)
    }

    fn begin(&self) -> Turn {
        Turn::new(self.now, self.ids, self.seed)
    }

    fn take(&mut self, input: Input, turn: &mut Turn) {
        match input {
            Input::Arrived { delivery, ticket } => self.arrive(delivery, ticket, turn),
            Input::Commanded { command, ticket } => self.command(&command, ticket, turn),
            Input::Answered { image, build, answer } => {
                if let Some(controller) = self.images.get_mut(&image) {
                    controller.answered(build, answer, turn);
                    turn.touched.insert(image);
                }
            }
            Input::Observed { image, question, answer } => {
                if let Some(controller) = self.images.get_mut(&image) {
                    controller.observed(question, answer, turn);
                    turn.touched.insert(image);
                }
            }
            Input::CancelAnswered { image, build, answer } => {
                let detail = match answer {
                    CancelAnswer::Requested => return,
                    CancelAnswer::Unsupported => None,
                    CancelAnswer::Failed { detail } => Some(detail),
                };
                turn.notify(Some(&image), NoticeKind::NotCancelled { build, detail });
            }
            Input::Heads { remote, question, answer } => self.heads_answered(&remote, question, answer, turn),
            Input::Configured(settings) => self.configure(settings, turn),
            Input::Delivered { id, result } => {
                self.outbox.delivered(id, result.is_ok(), turn.now, &mut turn.changes);
            }
            Input::Hinted { image } => {
                if let Some(controller) = self.images.get_mut(&image) {
                    controller.hinted(turn);
                    turn.touched.insert(image);
                }
            }
        }
    }

    fn command(&mut self, command: &Command, ticket: Ticket, turn: &mut Turn) {
        let hold = match command.verb {
            Verb::Pause { length } => {
                let until = length.map(|length| turn.now.plus(length));
                Some(Hold { actor: command.actor.clone(), reason: command.reason.clone(), since: turn.now, until })
            }
            _ => None,
        };
        let images: Vec<ImageName> = match &command.scope {
            Scope::Image(image) if !self.images.contains_key(image) => {
                let decision = Decision::UnknownImage(image.clone());
                turn.effects.push(Effect::Answer { ticket, decision });
                return;
            }
            Scope::Image(image) => vec![image.clone()],
            Scope::All => self.images.keys().cloned().collect(),
        };
        if command.scope == Scope::All && matches!(command.verb, Verb::Pause { .. } | Verb::Resume) {
            self.hold = hold;
            turn.changes.meta = true;
        } else {
            for image in &images {
                let controller = self.images.get_mut(image).expect("just looked up");
                controller.execute(command, hold.clone(), turn);
            }
        }
        turn.touched.extend(images.iter().cloned());
        turn.effects.push(Effect::Answer { ticket, decision: Decision::Executed { images } });
    }

    /// Lets time pass, hands out builds, asks questions, and sets the timers of every touched lane.
    fn conclude(&mut self, mut turn: Turn) -> Step {
        if pause_over(self.hold.as_ref()).is_some_and(|until| until <= turn.now) {
            self.hold = None;
            turn.changes.meta = true;
            turn.touched.extend(self.images.keys().cloned());
        }
        while let Some((at, image)) = self.timers.first().filter(|(at, _)| *at <= turn.now).cloned() {
            self.timers.remove(&(at, image.clone()));
            self.images.get_mut(&image).expect("timers are of lanes").timer = None;
            turn.touched.insert(image);
        }
        self.deliveries.forget(turn.now);
        let mut touched = std::mem::take(&mut turn.touched);
        for image in &touched {
            let controller = self.images.get_mut(image).expect("a touched image is configured");
            controller.pass_time(&mut turn);
            controller.count_places(&mut self.accounts);
        }
        touched.append(&mut self.starved);
        self.hand_out(&touched, &mut turn);
        for image in &touched {
            let controller = self.images.get_mut(image).expect("a touched image is configured");
            if controller.is_due_to_ask(turn.now) {
                let question = turn.next_question();
                controller.watch.asked = Some(Question { id: question, at: turn.now, through: turn.ids.event });
                turn.effects.push(Effect::Observe { image: image.clone(), question });
            }
            let may_trigger = self.hold.is_none() && !self.starved.contains(image);
            controller.set_timer(may_trigger, &mut self.timers);
        }
        self.ask_heads(&mut turn);
        self.deliver(&mut turn);
        self.ids = turn.ids;
        turn.into_step()
    }

    /// Puts new notices into the outbox, and sends those that are due.
    fn deliver(&mut self, turn: &mut Turn) {
        for notice in std::mem::take(&mut turn.notices) {
            self.outbox.add(notice, &mut turn.changes);
        }
        let begun = self.outbox.begin_due(turn.now).into_iter();
        turn.effects.extend(begun.map(|(notice, attempt)| Effect::Deliver { notice, attempt }));
    }

    /// R3: hands out a build for every lane that may have one, by rank if accounts are short of places.
    fn hand_out(&mut self, touched: &BTreeSet<ImageName>, turn: &mut Turn) {
        let mut candidates: Vec<(Rank, ImageName, GitRef)> = Vec::new();
        for image in touched {
            if let Some((rank, git_ref)) = self.images[image].ready_key(self.hold.as_ref(), turn.now) {
                candidates.push((rank, image.clone(), git_ref));
            }
        }
        candidates.sort();
        for (_, image, git_ref) in candidates {
            let controller = self.images.get_mut(&image).expect("a candidate is a lane");
            if controller.policy.account.as_ref().is_some_and(|account| self.accounts[account].is_full()) {
                self.starved.insert(image);
                continue;
            }
            let (build, through) = (turn.next_build(), turn.ids.event);
            controller
                .lane
                .apply(Fact::Intended { build, git_ref: git_ref.clone(), through, at: turn.now }, &mut turn.changes);
            let live = controller.lane.live(build).expect("just handed out");
            let commit = live.carries.as_ref().and_then(|open| open.commit().cloned());
            turn.effects.push(Effect::Trigger(BuildRequest { build, image, git_ref, commit }));
            controller.count_places(&mut self.accounts);
        }
    }
}
