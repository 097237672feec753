//! The law of missed pushes over invented histories: lost and late webhooks, slow and stale answers of the remote,
//! crashes, in virtual time. In the end what was built last of every ref is where the ref points, but for pushes that
//! touched nothing that is built.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coalesced::build::Capabilities;
use coalesced::build::TriggerAnswer;
use coalesced::event::{Cause, CauseKind, Delivery, Disposition, NewEvent};
use coalesced::journal::MemoryJournal;
use coalesced::model::{BuildId, CommitId, GitRef, ImageName, RefKind, Timestamp};
use coalesced::reason::SkipEvidence;
use coalesced::remote::RemoteHead;
use coalesced::scheduler::heads::RECOVERED_PER_ANSWER;
use coalesced::scheduler::lane::HEADS_MAX;
use coalesced::scheduler::policy::{Policy, Reconcile};
use coalesced::scheduler::{Effect, Input, Settings, Step, Ticket};
use coalesced::simulate::VirtualDriver;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::START;

#[derive(Clone, Debug)]
enum Op {
    Push {
        git_ref: u8,
        webhook: Webhook,
        /// To the commit before the newest.
        back: bool,
        /// It touches nothing that is built, as far as its sender shows.
        outside: bool,
    },
    Tap {
        git_ref: u8,
    },
    Advance {
        millis: u32,
    },
    /// How the next questions to the remote are answered.
    Remote {
        after: u32,
        read_early: bool,
        fails: bool,
    },
    Crash,
}

#[derive(Clone, Copy, Debug)]
enum Webhook {
    InTime,
    Late { millis: u32 },
    Lost,
}

fn op() -> impl Strategy<Value = Op> {
    let webhook = prop_oneof![
        2 => Just(Webhook::InTime),
        1 => (1..2_000_000u32).prop_map(|millis| Webhook::Late { millis }),
        2 => Just(Webhook::Lost),
    ];
    prop_oneof![
        6 => (0..4u8, webhook, proptest::bool::weighted(0.3), proptest::bool::weighted(0.3))
            .prop_map(|(git_ref, webhook, back, outside)| Op::Push { git_ref, webhook, back, outside }),
        1 => (0..4u8).prop_map(|git_ref| Op::Tap { git_ref }),
        6 => (1..1_200_000u32).prop_map(|millis| Op::Advance { millis }),
        2 => (0..100_000u32, any::<bool>(), any::<bool>())
            .prop_map(|(after, read_early, fails)| Op::Remote { after, read_early, fails }),
        1 => Just(Op::Crash),
    ]
}

/// A question to the remote in flight.
struct Question {
    remote: Arc<str>,
    id: u64,
    answered_at: Timestamp,
    /// What the remote showed, if it was read when asked; None: it is read when it answers.
    read: Option<BTreeMap<GitRef, CommitId>>,
    fails: bool,
}

struct History {
    image: ImageName,
    settings: Settings,
    driver: VirtualDriver,
    now: Timestamp,
    /// Where the refs actually point.
    remote: BTreeMap<GitRef, CommitId>,
    /// Where they were before their newest push.
    before: BTreeMap<GitRef, CommitId>,
    commits: u32,
    /// The commits at which a build of each ref lacks nothing: its newest push that touched something, and all since.
    good: BTreeMap<GitRef, BTreeSet<CommitId>>,
    late: Vec<(Timestamp, NewEvent)>,
    questions: Vec<Question>,
    triggered: Vec<BuildId>,
    /// A ref's newest commit when its last build was requested.
    built: BTreeMap<GitRef, CommitId>,
    /// Refs that are back, unheard, where they are known to be. A build in between may be of another commit: a known
    /// gap, until the next build.
    went_and_came: BTreeSet<GitRef>,
    manner: (u32, bool, bool),
    unannounced: u64,
    recovered: u64,
}

impl History {
    fn new() -> Self {
        let image: ImageName = "acme/web".parse().expect("an image");
        let reconcile = Reconcile { remote: "git".into(), every: Duration::from_mins(15), rules: "rules".into() };
        let policy =
            Policy { capabilities: Capabilities::DEFAULT.blind(), reconcile: Some(reconcile), ..Policy::DEFAULT };
        let settings = Settings::new([(image.clone(), policy)], 3);
        let (driver, step) =
            VirtualDriver::start(settings.clone(), MemoryJournal::default(), START).expect("nothing yet");
        let mut history = Self {
            image,
            settings,
            driver,
            now: START,
            remote: BTreeMap::from([(name(0), commit(0)), (name(3), commit(0))]),
            before: BTreeMap::new(),
            commits: 0,
            good: BTreeMap::from([(name(0), BTreeSet::from([commit(0)])), (name(3), BTreeSet::from([commit(0)]))]),
            late: Vec::new(),
            questions: Vec::new(),
            triggered: Vec::new(),
            built: BTreeMap::from([(name(0), commit(0)), (name(3), commit(0))]),
            went_and_came: BTreeSet::new(),
            manner: (0, true, false),
            unannounced: 0,
            recovered: 0,
        };
        history.conclude(step);
        // The first look, with which everything starts.
        history.advance(Duration::from_secs(1));
        assert!(history.triggered.is_empty() && history.recovered == 0, "the first look builds nothing");
        history
    }

    fn carry_out(&mut self, op: &Op) {
        match op {
            Op::Push { git_ref, webhook, back, outside } => self.push(&name(*git_ref), *webhook, *back, *outside),
            Op::Tap { git_ref } => {
                let new_event = self.new_event(&name(*git_ref), Disposition::TAP);
                self.deliver(CauseKind::Button, new_event);
            }
            Op::Advance { millis } => self.advance(Duration::from_millis((*millis).into())),
            Op::Remote { after, read_early, fails } => self.manner = (*after, *read_early, *fails),
            Op::Crash => {
                self.questions.clear();
                let step = self.driver.restart(self.settings.clone(), self.now).expect("readable");
                self.conclude(step);
            }
        }
    }

    fn push(&mut self, git_ref: &GitRef, webhook: Webhook, back: bool, outside: bool) {
        self.commits += 1;
        let after = self.before.get(git_ref).filter(|_| back).cloned().unwrap_or_else(|| commit(self.commits));
        let before = self.remote.insert(git_ref.clone(), after.clone());
        // No source reports it for a forced push, a new ref or a tag.
        let outside = outside && !back && before.is_some() && git_ref.kind() == RefKind::Branch;
        let good = self.good.entry(git_ref.clone()).or_default();
        if !outside {
            good.clear();
        }
        good.insert(after.clone());
        self.before.extend(before.clone().map(|before| (git_ref.clone(), before)));
        let disposition = if outside {
            Disposition::Outside {
                evidence: SkipEvidence::OutsidePaths { file: "a".to_owned(), more: 0 },
                paths: "paths".into(),
            }
        } else {
            Disposition::PUSH
        };
        let new_event = NewEvent { commit: Some(after), before, ..self.new_event(git_ref, disposition) };
        match webhook {
            Webhook::InTime => self.deliver(CauseKind::Push, new_event),
            // A look may find the push first, and what comes late may be older than what is known by then.
            Webhook::Late { millis } => {
                self.unannounced += 2;
                self.late.push((self.now.plus(Duration::from_millis(millis.into())), new_event));
            }
            Webhook::Lost => {
                self.unannounced += 1;
                let lane = self.driver.scheduler().lane(&self.image).expect("configured");
                if lane.known_head(git_ref) == self.remote.get(git_ref) {
                    self.went_and_came.insert(git_ref.clone());
                }
            }
        }
    }

    fn new_event(&self, git_ref: &GitRef, disposition: Disposition) -> NewEvent {
        NewEvent::new(self.image.clone(), git_ref.clone(), disposition)
    }

    fn deliver(&mut self, kind: CauseKind, new_event: NewEvent) {
        let delivery = Delivery::new(Cause::new(kind, "source"), new_event);
        self.handle(vec![Input::Arrived { delivery, ticket: Ticket(1) }]);
    }

    fn advance(&mut self, span: Duration) {
        let end = self.now.plus(span);
        loop {
            let late = self.late.iter().map(|(at, _)| *at);
            let answers = self.questions.iter().map(|question| question.answered_at);
            let next = self.driver.deadline().into_iter().chain(late).chain(answers).min();
            let next = next.filter(|next| *next <= end);
            self.now = next.unwrap_or(end).max(self.now);
            self.let_happen();
            if next.is_none() {
                break;
            }
        }
    }

    /// What comes at this moment.
    fn let_happen(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = self.late.drain(..).partition(|(at, _)| *at <= now);
        self.late = later;
        for (_, new_event) in due {
            self.deliver(CauseKind::Push, new_event);
        }
        let (due, later): (Vec<_>, Vec<_>) = self.questions.drain(..).partition(|asked| asked.answered_at <= now);
        self.questions = later;
        for Question { remote, id, read, fails, .. } in due {
            let heads = read.unwrap_or_else(|| self.remote.clone()).into_iter();
            let heads = heads.map(|(git_ref, commit)| (git_ref, RemoteHead { commit, tag_object: None })).collect();
            let shown = BTreeMap::from([(self.image.clone(), heads)]);
            let answer = if fails { Err("it is out of order".to_owned()) } else { Ok(shown) };
            self.handle(vec![Input::Heads { remote, question: id, answer }]);
        }
        self.handle(Vec::new());
    }

    fn handle(&mut self, inputs: Vec<Input>) {
        let step = self.driver.decide(self.now, inputs);
        self.conclude(step);
        while let Some(build) = self.triggered.pop() {
            let answer = TriggerAnswer::Accepted { backend_id: None };
            let image = self.image.clone();
            let step = self.driver.decide(self.now, vec![Input::Answered { image, build, answer }]);
            self.conclude(step);
        }
    }

    fn conclude(&mut self, step: Step) {
        let events = step.changes().events.iter();
        self.recovered += events.filter(|event| event.cause.kind == CauseKind::Recovered).count() as u64;
        let proof = self.driver.commit(&step);
        for effect in step.release(proof) {
            match effect {
                Effect::AskHeads { remote, question } => {
                    assert!(self.questions.is_empty(), "one question a remote at a time");
                    let (after, read_early, fails) = self.manner;
                    let read = read_early.then(|| self.remote.clone());
                    let answered_at = self.now.plus(Duration::from_millis(after.into()));
                    self.questions.push(Question { remote, id: question, answered_at, read, fails });
                }
                Effect::Trigger(request) => {
                    let head = self.remote.get(&request.git_ref).cloned();
                    self.went_and_came.remove(&request.git_ref);
                    self.built.extend(head.map(|head| (request.git_ref, head)));
                    self.triggered.push(request.build);
                }
                Effect::Deliver { notice, .. } => self.handle(vec![Input::Delivered { id: notice.id, result: Ok(()) }]),
                Effect::Answer { .. } | Effect::Observe { .. } | Effect::Cancel { .. } => {}
            }
        }
    }

    /// How many refs are remembered without a key of their own.
    fn remembered(&self) -> usize {
        self.driver.scheduler().lane(&self.image).expect("configured").heads.len()
    }

    fn come_to_rest(&mut self) {
        self.manner = (0, true, false);
        self.advance(Duration::from_hours(3));
        for (git_ref, good) in self.good.iter().filter(|(git_ref, _)| !self.went_and_came.contains(*git_ref)) {
            let built = self.built.get(git_ref);
            assert!(
                built.is_some_and(|built| good.contains(built)),
                "{git_ref} is built at {built:?}, not at {good:?}"
            );
        }
        assert!(self.recovered <= self.unannounced, "{} events for {} pushes", self.recovered, self.unannounced);
        let before = self.recovered;
        self.carry_out(&Op::Crash);
        self.advance(Duration::from_hours(1));
        assert_eq!(self.recovered, before, "no look makes an event twice, nor does a start");
    }
}

#[test]
fn many_new_tags_come_in_portions_and_none_is_forgotten() {
    let mut history = History::new();
    let tags = RECOVERED_PER_ANSWER + 44;
    history.remote.extend((0..tags).map(|number| (tag(number), commit(7))));
    history.advance(Duration::from_mins(15));
    assert_eq!(history.recovered, RECOVERED_PER_ANSWER as u64);
    history.advance(Duration::from_mins(15));
    assert_eq!(history.recovered, tags as u64);
    history.advance(Duration::from_hours(1));
    assert_eq!(history.recovered, tags as u64);
}

#[test]
fn beyond_the_limit_no_ref_counts_as_new_and_what_is_known_is_compared_all_the_same() {
    let mut history = History::new();
    let refs = |from: usize, count: usize| (from..from + count).map(|number| (tag(number), commit(7)));
    history.remote.extend(refs(0, HEADS_MAX));
    history.advance(Duration::from_mins(15));
    assert_eq!(history.recovered, 0, "too many to be new");
    assert_eq!(history.remembered(), HEADS_MAX);
    history.remote.insert(name(0), commit(9));
    history.advance(Duration::from_mins(15));
    assert_eq!(history.recovered, 1, "a branch that is known has moved");
    // Half of them go, others come: few enough to be known whole, and the next one is new.
    history.remote.retain(|git_ref, _| git_ref.as_str() < "refs/tags/many-05");
    history.remote.extend(refs(HEADS_MAX, HEADS_MAX / 4));
    history.advance(Duration::from_mins(15));
    assert_eq!(history.recovered, 1, "this look only learns");
    assert!(history.remembered() <= HEADS_MAX);
    history.carry_out(&Op::Crash);
    history.advance(Duration::from_secs(1));
    history.remote.insert(tag(1_000_000), commit(7));
    history.advance(Duration::from_mins(15));
    assert_eq!(history.recovered, 2);
}

fn tag(number: usize) -> GitRef {
    GitRef::tag(&format!("many-{number:05}")).expect("a tag")
}

fn name(number: u8) -> GitRef {
    match number {
        0 => GitRef::branch("master"),
        1 => GitRef::branch("dev"),
        2 => GitRef::tag("v1"),
        _ => GitRef::tag("v2"),
    }
    .expect("a ref")
}

fn commit(number: u32) -> CommitId {
    format!("{number:040x}").parse().expect("a commit")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, rng_seed: crate::seeds::histories_seed(), ..ProptestConfig::default() })]

    /// R11: no push is lost because its webhook was lost, and none is built for ever.
    #[test]
    fn every_ref_is_built_where_it_points(ops in vec(op(), 1..50)) {
        let mut history = History::new();
        for op in &ops {
            history.carry_out(op);
        }
        history.come_to_rest();
    }
}
