//! A scheduler on the journal's twin in virtual time, and a small language to converse with it.
//!
//! A scenario is blocks of commands, each followed by `----` and everything that was decided in answer. Moments
//! are given as the time since the start. The commands:
//!
//! ```text
//! image NAME [quiet=30s] [max_wait=10m] [prequeue=no] [observes=no] [source=start|trigger|unknown]
//!            [retry_failed=1] [labels=master:latest,v*:{tag}] [account=yes]
//!            [reconcile=15m] [remote=NAME] [rules=WORD] …   (before anything else, or before configure or a crash)
//! remove IMAGE                                 it is not configured any more, from then on
//! configure                                    hands over what `image`, `remove` and `account` changed
//! account N                                    the account's limit, for images with account=yes
//! push IMAGE REF [COMMIT [BEFORE]] [id=ID]     REF is a branch, or tag:NAME
//! tap IMAGE REF [by=BUTTON]                    call IMAGE REF [now] [ensure]
//! skip IMAGE REF [COMMIT [BEFORE]]             delete IMAGE REF
//! push … outside=PATHS, skip … outside=PATHS   every file of it is outside of the paths of that name
//! answer IMAGE accepted [ROW] | pending | uncertain | later [AFTER] | refused
//! show IMAGE ROW… | nothing                    ROW is id:state[:label[:commit]][@created]; answers the question
//! heads IMAGE [REF=COMMIT[^TAG]…] [& IMAGE …]  answers the question to the remote; or: heads IMAGE unreadable
//! unreadable IMAGE                             hint IMAGE
//! pause IMAGE|all [for=2h]   resume IMAGE|all  start IMAGE   drop IMAGE   cancel IMAGE
//! advance SPAN                                 crash [back=SPAN]   the wall clock is set back meanwhile
//! jump SPAN                                    the wall clock is set forward, or the machine slept
//! back SPAN                                    the wall clock is set back while the scheduler runs
//! why IMAGE REF                                tell NUMBER   what became of event NUMBER
//! ```

mod tell;
mod words;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use coalesced::build::{Observation, ObserveError, SourceTaken};
use coalesced::command::{Command, Scope, Verb};
use coalesced::event::{Cause, CauseKind, Delivery, Disposition, End, Fingerprint, NewEvent, Touches};
use coalesced::journal::{Fate, MemoryJournal};
use coalesced::model::{BuildId, ImageName, Seq, Timestamp};
use coalesced::reason::SkipEvidence;
use coalesced::remote::RemoteHead;
use coalesced::scheduler::policy::{AccountName, LabelRule, Policy, Reconcile};
use coalesced::scheduler::wait::standing;
use coalesced::scheduler::{Decision, Effect, Input, Scheduler, Settings, Step, Ticket};
use coalesced::simulate::VirtualDriver;
use coalesced::status::sentences::notices;
use coalesced::status::{self, Picture};

use self::tell::{short, tell_fact, tell_verdict};
use self::words::{commit, git_ref, row, span, trigger_answer};

/// Virtual time begins here: 2026-11-23T10:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_795_428_000_000);

pub(crate) struct World {
    /// None before the first image is asked for anything: until then, images are still being named.
    driver: Option<VirtualDriver>,
    settings: Settings,
    pub now: Timestamp,
    questions: BTreeMap<ImageName, u64>,
    heads_questions: BTreeMap<Arc<str>, u64>,
    triggers: BTreeMap<ImageName, BuildId>,
    tickets: u64,
    told: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut settings = Settings::new([], 1);
        settings.account_limits.insert("test".into(), 5);
        Self {
            driver: None,
            settings,
            now: START,
            questions: BTreeMap::new(),
            heads_questions: BTreeMap::new(),
            triggers: BTreeMap::new(),
            tickets: 0,
            told: String::new(),
        }
    }

    /// Carries out one command and answers with all that was decided.
    pub(crate) fn execute(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (command, rest) = words.split_first().expect("a command");
        let image = |index: usize| rest.get(index).expect("an image").parse::<ImageName>().expect("an image");
        match *command {
            "image" => self.write_rules(rest),
            "remove" => drop(self.settings.policies.remove(&image(0)).expect("a configured image")),
            "configure" => self.handle(vec![Input::Configured(self.settings.clone())]),
            "account" => drop(self.settings.account_limits.insert("test".into(), rest[0].parse().expect("a limit"))),
            "push" | "tap" | "call" | "skip" | "delete" => self.deliver(command, rest),
            "answer" => {
                let build = self.triggers.remove(&image(0)).expect("no trigger call is under way");
                let answer = trigger_answer(&rest[1..]);
                self.handle(vec![Input::Answered { image: image(0), build, answer }]);
            }
            "show" | "unreadable" => {
                let question = self.questions.remove(&image(0)).expect("no question was asked");
                let answer = if *command == "show" {
                    // "complete@40s": what was made before may be missing.
                    let complete = |word: &&str| word.strip_prefix("complete@").map(|at| START.plus(span(at)));
                    let rows = rest[1..].iter().filter(|word| complete(word).is_none());
                    Ok(Observation {
                        builds: rows.filter_map(|text| row(self.now, text)).collect(),
                        complete_since: rest[1..].iter().find_map(complete),
                        ..Observation::default()
                    })
                } else {
                    Err(ObserveError::Unavailable { detail: "out of order".to_owned() })
                };
                self.handle(vec![Input::Observed { image: image(0), question, answer }]);
            }
            "heads" => self.heads(rest),
            "hint" => self.handle(vec![Input::Hinted { image: image(0) }]),
            "pause" | "resume" | "start" | "drop" | "cancel" => self.command(command, rest),
            "advance" => self.advance(span(rest[0])),
            "jump" => {
                self.scheduler();
                self.now = self.now.plus(span(rest[0]));
                self.handle(Vec::new());
            }
            "back" => {
                self.scheduler();
                self.now = self.now.minus(span(rest[0]));
                self.handle(Vec::new());
            }
            "crash" => {
                let back = rest.first().and_then(|word| word.strip_prefix("back=")).map(span);
                self.now = self.now.minus(back.unwrap_or_default());
                self.crash();
            }
            "why" => {
                let (image, git_ref, now) = (image(0), git_ref(rest[1]), self.now);
                let scheduler = self.scheduler();
                let state = scheduler.lane(&image).expect("a configured image");
                let policy = scheduler.policy(&image).expect("a configured image");
                let standing = state.keys.get(&git_ref).map(|key| {
                    let told = standing(state, &git_ref, key, policy, scheduler.hold(), now);
                    format!("{told:?}")
                });
                let standing = standing.unwrap_or_else(|| "AtRest".to_owned());
                let standing = standing.replace("2026-11-23T", "");
                self.tell(&standing);
            }
            "tell" => {
                let told = self.receipt(Seq(rest[0].parse().expect("a number")));
                self.tell(&told);
            }
            other => panic!("no command '{other}'"),
        }
        std::mem::take(&mut self.told)
    }

    pub(crate) fn scheduler(&mut self) -> &Scheduler {
        self.driver().scheduler()
    }

    fn driver(&mut self) -> &mut VirtualDriver {
        if self.driver.is_none() {
            let (driver, step) = VirtualDriver::start(self.settings.clone(), MemoryJournal::default(), self.now)
                .expect("an empty journal can be read");
            self.driver = Some(driver);
            self.conclude(step);
        }
        self.driver.as_mut().expect("just started")
    }

    /// Lets the process die and start again from what is on disk.
    pub(crate) fn crash(&mut self) {
        self.questions.clear();
        self.heads_questions.clear();
        self.triggers.clear();
        let (settings, now) = (self.settings.clone(), self.now);
        let step = self.driver().restart(settings, now).expect("the twin reads back what it wrote");
        self.conclude(step);
    }

    fn write_rules(&mut self, words: &[&str]) {
        let mut policy = Policy::DEFAULT.clone();
        policy.capabilities.longest_build = Some(Duration::from_hours(4));
        let (mut remote, mut rules) = (words[0], "");
        for (name, value) in words[1..].iter().map(|word| word.split_once('=').expect("key=value")) {
            match name {
                "quiet" => policy.quiet = span(value),
                "max_wait" => policy.max_wait = span(value),
                "prequeue" => policy.prequeue = value == "yes",
                "observes" if value != "yes" => policy.capabilities = policy.capabilities.blind(),
                "observes" => {}
                "expected" => policy.expected_build_time = span(value),
                "retry_failed" => policy.retry_failed = value.parse().expect("a number"),
                "account" => policy.account = (value == "yes").then_some(AccountName::from("test")),
                "source" => {
                    policy.capabilities.source_taken = match value {
                        "start" => SourceTaken::AtStart,
                        "trigger" => SourceTaken::AtCall,
                        _ => SourceTaken::Unknown,
                    }
                }
                "labels" => {
                    let rules = value.split(',').map(|rule| rule.split_once(':').expect("glob:label"));
                    let rule = |(refs, label): (&str, &str)| LabelRule {
                        refs: globset::Glob::new(refs).expect("a glob").compile_matcher(),
                        label: label.to_owned(),
                    };
                    policy.labels = rules.map(rule).collect();
                }
                "reconcile" => {
                    policy.reconcile = Some(Reconcile { remote: "".into(), every: span(value), rules: "".into() });
                }
                "remote" => remote = value,
                "rules" => rules = value,
                other => panic!("no policy key '{other}'"),
            }
        }
        if let Some(reconcile) = &mut policy.reconcile {
            (reconcile.remote, reconcile.rules) = (remote.into(), rules.into());
        }
        self.settings.policies.insert(words[0].parse().expect("an image"), policy.into());
    }

    /// A remote shows where its refs are, or doesn't.
    fn heads(&mut self, words: &[&str]) {
        // The first question is asked at the start.
        self.scheduler();
        let image: ImageName = words[0].parse().expect("an image");
        let remote = self.settings.policies[&image].reconcile.as_ref().expect("a remote").remote.clone();
        let question = self.heads_questions.remove(&remote).expect("the remote was not asked");
        let images = words.split(|word| *word == "&").map(|part| {
            let head = |text: &&str| {
                let (name, head) = text.split_once('=').expect("ref=commit");
                let (at, tag) = head.split_once('^').map_or((head, None), |(at, tag)| (at, Some(tag)));
                (git_ref(name), RemoteHead { commit: commit(at), tag_object: tag.map(commit) })
            };
            (part[0].parse().expect("an image"), part[1..].iter().map(head).collect())
        });
        let unreadable = words.get(1) == Some(&"unreadable");
        let answer = if unreadable { Err("it is out of order".to_owned()) } else { Ok(images.collect()) };
        self.handle(vec![Input::Heads { remote, question, answer }]);
    }

    fn deliver(&mut self, kind: &str, words: &[&str]) {
        let option = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let plain: Vec<&&str> = words[2..].iter().filter(|word| !word.contains('=')).collect();
        let git_ref = git_ref(words[1]);
        let is_tag = git_ref.as_str().starts_with("refs/tags/");
        let (cause_kind, source) = match kind {
            "tap" => (CauseKind::Button, option("by").unwrap_or("phone")),
            "call" => (CauseKind::Api, "ci"),
            _ => (CauseKind::Push, "github"),
        };
        let says = |word: &str| plain.iter().any(|plain| **plain == word);
        let outside = option("outside");
        let disposition = match kind {
            "tap" => Disposition::TAP,
            "call" => Disposition::Build { immediate: says("now") || is_tag, manual: true, ensure: says("ensure") },
            "skip" => Disposition::Skip {
                evidence: SkipEvidence::EveryCommitMarked { marker: Some("[skip ci]".to_owned()) },
                touches: outside.map_or(Touches::Inside, |paths| Touches::Outside { paths: paths.into() }),
            },
            "delete" => Disposition::DeleteRef,
            "push" if outside.is_some() => Disposition::Outside {
                evidence: SkipEvidence::OutsidePaths { file: "drafts/a.md".to_owned(), more: 0 },
                paths: outside.unwrap_or_default().into(),
            },
            _ => Disposition::Build { immediate: is_tag, manual: false, ensure: false },
        };
        let commit =
            |index: usize| matches!(kind, "push" | "skip").then(|| plain.get(index).map(|text| commit(text))).flatten();
        let image = words[0].parse().expect("an image");
        let new_event = NewEvent { commit: commit(0), before: commit(1), ..NewEvent::new(image, git_ref, disposition) };
        let fingerprints = option("id").map(|id| {
            let mut bytes = [0; 16];
            bytes[..id.len().min(16)].copy_from_slice(&id.as_bytes()[..id.len().min(16)]);
            Fingerprint(bytes)
        });
        let delivery = Delivery {
            fingerprints: fingerprints.into_iter().collect(),
            ..Delivery::new(Cause::new(cause_kind, source), new_event)
        };
        let ticket = self.ticket();
        self.handle(vec![Input::Arrived { delivery, ticket }]);
    }

    fn command(&mut self, verb: &str, words: &[&str]) {
        let length = words.iter().find_map(|word| word.strip_prefix("for=")).map(span);
        let verb = match verb {
            "pause" => Verb::Pause { length },
            "resume" => Verb::Resume,
            "start" => Verb::Start,
            "drop" => Verb::Drop,
            _ => Verb::Cancel,
        };
        let scope = if words[0] == "all" { Scope::All } else { Scope::Image(words[0].parse().expect("an image")) };
        let command = Command { verb, scope, actor: "ada".to_owned(), reason: None };
        let ticket = self.ticket();
        self.handle(vec![Input::Commanded { command, ticket }]);
    }

    fn advance(&mut self, span: Duration) {
        let end = self.now.plus(span);
        while let Some(due) = self.scheduler().deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.handle(Vec::new());
        }
        self.now = end;
        self.handle(Vec::new());
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(crate) fn handle(&mut self, inputs: Vec<Input>) {
        let now = self.now;
        let step = self.driver().decide(now, inputs);
        self.conclude(step);
    }

    fn conclude(&mut self, step: Step) {
        for event in step.changes().events.iter().filter(|event| event.cause.kind == CauseKind::Recovered) {
            let git_ref = event.git_ref.as_ref().expect("a ref");
            self.tell(&format!("event {} recovers {git_ref} at {}", event.seq.0, short(event)));
        }
        for record in &step.changes().records.clone() {
            if let Some(told) = tell_fact(&record.fact) {
                self.tell(&format!("{}: {told}", record.image));
            }
        }
        let proof = self.driver().commit(&step);
        for effect in step.release(proof) {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { decision: Decision::Recorded { events }, .. } => {
                for event in events {
                    let told = tell_verdict(&event);
                    self.tell(&told);
                }
            }
            Effect::Answer { decision: Decision::Repeated { first, count }, .. } => {
                self.tell(&format!("repeated: {count} from event {} on", first.0));
            }
            Effect::Answer { decision: Decision::Executed { .. }, .. } => {}
            Effect::Answer { decision: Decision::UnknownImage(image), .. } => {
                self.tell(&format!("no image {image}"));
            }
            Effect::Trigger(request) => {
                let commit = request.commit.map(|commit| format!(" wanting {commit}")).unwrap_or_default();
                self.tell(&format!("> trigger {} {}{commit}", request.image, request.git_ref));
                self.triggers.insert(request.image, request.build);
            }
            Effect::Observe { image, question } => {
                self.tell(&format!("> ask {image}"));
                self.questions.insert(image, question);
            }
            Effect::AskHeads { remote, question } => {
                self.tell(&format!("> look at {remote}"));
                self.heads_questions.insert(remote, question);
            }
            Effect::Cancel { image, backend_id, .. } => self.tell(&format!("> cancel {image} {}", backend_id.0)),
            Effect::Deliver { notice, .. } => {
                let image = notice.image.as_ref().map(ToString::to_string).unwrap_or_default();
                self.tell(&format!("> notify {image}: {}", notices::notice(&notice.kind)));
                self.handle(vec![Input::Delivered { id: notice.id, result: Ok(()) }]);
            }
        }
    }

    fn receipt(&mut self, seq: Seq) -> String {
        let now = self.now;
        let picture = Picture::of(self.scheduler());
        let reader = self.driver().store().reader();
        let event = reader.event(seq).expect("readable").expect("an event");
        let fate = match (&event.image, &event.git_ref) {
            (Some(image), Some(git_ref)) => reader.fate(image, git_ref, seq).expect("readable"),
            _ => Fate::Open,
        };
        let closure = if let Fate::Ended(closure) = fate { Some(closure) } else { None };
        let build = match closure.as_ref().map(|closure| &closure.end) {
            Some(End::BuiltBy(id) | End::Cancelled { build: id, .. }) => reader.build(*id).expect("readable"),
            _ => None,
        };
        let receipt = status::receipt(&event, closure.as_ref(), build.as_ref(), &picture, "", now);
        format!("event {} is {:?}: {}", seq.0, receipt.state, receipt.why)
    }

    fn tell(&mut self, what: &str) {
        let since = humantime::format_duration(Duration::from_secs(self.now.since(START).as_secs()));
        writeln!(self.told, "+{since} {what}").expect("a String takes all");
    }
}
