//! What one exploration is bounded by, and the wrong designs that it must find.

use std::time::Duration;

use coalesced::build::{Capabilities, SourceTaken};
use coalesced::model::{CommitId, GitRef, ImageName, Timestamp};
use coalesced::scheduler::Settings;
use coalesced::scheduler::policy::{LabelRule, Policy};

/// Moments are given as milliseconds since this one.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_795_428_000_000);
/// The world's moments are multiples of this; more than the tolerance for clocks, so that "at the same moment" and
/// "surely before" are both met.
pub(crate) const STEP_MS: i64 = 10_000;
/// How long each thing may take at most; then time waits for it.
pub(crate) const CALL_MS: i64 = 20_000;
pub(crate) const QUESTION_MS: i64 = 20_000;
pub(crate) const LATE_MS: i64 = 40_000;
pub(crate) const LINGER_MS: i64 = 20_000;
pub(crate) const BUILD_MS: i64 = 20_000;
/// How long after its call a late build stays hidden.
pub(crate) const HIDDEN_MS: i64 = 20_000;
/// No event waits so long: what is ranked by its age is not explored.
pub(crate) const MAX_WAIT: Duration = Duration::from_mins(10);
/// How long the back-end may be unreadable until a call is given up.
pub(crate) const UNCERTAIN_MS: i64 = 60_000;

/// The two refs.
pub(crate) const REFS: usize = 2;
/// No ref sees more commits than this, the one that it begins with among them.
const COMMITS: usize = 8;

/// How much of each kind may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub pushes: u8,
    pub taps: u8,
    /// Pushes whose delivery takes its time, so that others overtake it and builds know it first.
    pub late: u8,
    /// Pushes that are delivered again.
    pub again: u8,
    pub crashes: u8,
    /// Calls whose answer is lost, that are lost themselves, are refused for now, thrown away, or show late.
    pub calls: u8,
    /// Questions that get no readable answer.
    pub unreadable: u8,
    /// Answers that are out of date when they come.
    pub stale: u8,
    /// Builds that fail or vanish.
    pub bad: u8,
    /// Steps of time in which nothing is due.
    pub waits: u8,
}

/// One world to be explored whole.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub name: &'static str,
    pub budget: Budget,
    /// Whether the back-end takes its source at the start, or at the trigger.
    pub at_start: bool,
    /// What the daemon assumes about that.
    pub source_taken: SourceTaken,
    /// Builds say which commit was built.
    pub commits: bool,
    pub prequeue: bool,
    /// Builds are told apart by labels.
    pub labels: bool,
    pub wrong: Option<Wrong>,
    pub names: Names,
}

/// Names, made once.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub image: ImageName,
    pub refs: [GitRef; REFS],
    commits: Vec<CommitId>,
}

/// A design that is known to be wrong, put around the scheduler: it must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Requests are answered before the commit.
    AnswersBeforeTheCommit,
    /// Triggers are called before the commit.
    CallsBeforeTheCommit,
    /// A lost answer counts as a refusal.
    LostMeansRefused,
    /// Repeated deliveries are not recognised.
    EveryDeliveryIsNew,
    /// Entries of keys are not written.
    KeysAreNotWritten,
}

pub(crate) const WRONGS: [Wrong; 5] = [
    Wrong::AnswersBeforeTheCommit,
    Wrong::CallsBeforeTheCommit,
    Wrong::LostMeansRefused,
    Wrong::EveryDeliveryIsNew,
    Wrong::KeysAreNotWritten,
];

impl Scope {
    pub(crate) fn settings(&self) -> Settings {
        let every = globset::Glob::new("*").expect("a glob").compile_matcher();
        let rule = LabelRule { refs: every, label: "{branch}".to_owned() };
        let policy = Policy {
            quiet: Duration::from_secs(30),
            max_wait: MAX_WAIT,
            prequeue: self.prequeue,
            capabilities: Capabilities { source_taken: self.source_taken, ..Capabilities::DEFAULT },
            observe_after: Duration::from_secs(10),
            observe_every: Duration::from_secs(10),
            uncertain_grace: Duration::from_secs(40),
            uncertain_limit: Duration::from_millis(UNCERTAIN_MS.unsigned_abs()),
            build_deadline: Duration::from_mins(10),
            labels: if self.labels { vec![rule] } else { Vec::new() },
            ..Policy::DEFAULT
        };
        Settings::new([(self.names.image.clone(), policy)], 1)
    }

    pub(crate) fn commit(&self, git_ref: usize, number: u8) -> &CommitId {
        &self.names.commits[git_ref * COMMITS + usize::from(number)]
    }

    pub(crate) fn git_ref(&self, git_ref: &GitRef) -> usize {
        self.names.refs.iter().position(|known| known == git_ref).expect("one of ours")
    }

    /// Which commit of a ref this is.
    pub(crate) fn number(&self, commit: &CommitId) -> u8 {
        let at = self.names.commits.iter().position(|known| known == commit).expect("one of ours");
        u8::try_from(at % COMMITS).expect("few")
    }
}

impl Names {
    fn new() -> Self {
        let commit = |index: usize| format!("{:040x}", 0xc000 + index).parse().expect("a commit");
        Self {
            image: "acme/web".parse().expect("an image"),
            refs: ["refs/heads/master", "refs/heads/dev"].map(|name| name.parse().expect("a ref")),
            commits: (0..REFS * COMMITS).map(commit).collect(),
        }
    }
}

const NONE: Budget =
    Budget { pushes: 0, taps: 0, late: 0, again: 0, crashes: 0, calls: 0, unreadable: 0, stale: 0, bad: 0, waits: 0 };

fn scope(name: &'static str, budget: Budget) -> Scope {
    Scope {
        name,
        budget,
        at_start: true,
        source_taken: SourceTaken::Unknown,
        commits: false,
        prequeue: true,
        labels: false,
        wrong: None,
        names: Names::new(),
    }
}

/// What a test run explores: little of everything.
pub(crate) fn small() -> Vec<Scope> {
    let pushes = Budget { pushes: 2, ..NONE };
    let trouble = Budget { pushes: 1, again: 1, crashes: 1, calls: 1, ..NONE };
    vec![
        Scope { source_taken: SourceTaken::AtStart, ..scope("two pushes, source at the start", pushes) },
        Scope { at_start: false, commits: true, ..scope("two pushes, source at the trigger, with commits", pushes) },
        scope("a crash and a lost call", trouble),
    ]
}

/// What the long run explores. Each kind that may happen once more makes a scope about ten times larger.
pub(crate) fn large() -> Vec<Scope> {
    let pushes = Budget { pushes: 4, ..NONE };
    let tap = Budget { pushes: 2, taps: 1, ..NONE };
    let crash = Budget { pushes: 3, crashes: 1, ..NONE };
    let crashes = Budget { pushes: 2, crashes: 2, calls: 1, ..NONE };
    let again = Budget { pushes: 1, again: 1, crashes: 2, calls: 2, ..NONE };
    let overtaken = Budget { pushes: 2, late: 1, crashes: 1, stale: 1, ..NONE };
    let trouble = Budget { pushes: 1, crashes: 1, calls: 1, unreadable: 1, bad: 1, waits: 1, ..NONE };
    let one_at_a_time = Budget { pushes: 2, calls: 1, unreadable: 1, bad: 1, ..NONE };
    let at_start = SourceTaken::AtStart;
    let at_trigger = SourceTaken::AtCall;
    vec![
        Scope { source_taken: at_start, ..scope("four pushes, source at the start", pushes) },
        Scope { source_taken: at_start, ..scope("two pushes and a tap, source at the start", tap) },
        Scope { at_start: false, ..scope("three pushes and a crash, source at the trigger", crash) },
        Scope { source_taken: at_start, ..scope("two crashes and a lost call, source at the start", crashes) },
        Scope { at_start: false, commits: true, ..scope("two crashes and two lost calls, delivered again", again) },
        Scope { commits: true, ..scope("overtaken, source at the start, with commits", overtaken) },
        Scope { source_taken: at_start, ..scope("overtaken, source at the start", overtaken) },
        Scope { source_taken: at_start, ..scope("trouble, source at the start", trouble) },
        Scope {
            at_start: false,
            source_taken: at_trigger,
            prequeue: false,
            labels: true,
            commits: true,
            ..scope("trouble, source at the trigger, one at a time", one_at_a_time)
        },
    ]
}
