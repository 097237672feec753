//! What one history is made of: the setting, and the operations, all drawn from one seed before it begins, so that
//! an operation can be left out without changing the others.

use std::time::Duration;

use coalesced::build::SourceTaken;
use coalesced::emulator::{Fault, HubSettings, Mode, TakesTip};
use coalesced::random::Random;

use super::filters::Content;

pub(crate) const REFS: [&str; 3] = ["refs/heads/master", "refs/heads/dev", "refs/tags/v1"];
pub(crate) const IMAGES: [&str; 3] = ["acme/api", "acme/blog", "acme/web"];

/// A list shows a build this late at most, in seconds.
const VISIBLE_AFTER_MAX: u64 = 120;

#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub images: usize,
    pub refs: usize,
    pub hub: HubSettings,
    pub prequeue: bool,
    pub source_taken: SourceTaken,
    pub observes: bool,
    pub labels: bool,
    pub retry_failed: u32,
    pub account_limit: Option<u32>,
    /// A list shows at most this many builds, and says how far back it goes.
    pub list_max: usize,
    /// Answers to triggers name the build.
    pub names_rows: bool,
    /// An ignored trigger is answered with "pending already".
    pub says_pending: bool,
    /// Pushes name their commits.
    pub commits: bool,
    /// The back-end's clock as the back-end room knows it is wrong by this.
    pub clock_error_ms: i64,
    /// The daemon wakes this much too late.
    pub wakes_late_ms: i64,
    /// Nothing goes wrong: bounded waiting is checked, too.
    pub calm: bool,
    /// Most pushes touch nothing that is built, and come in order.
    pub drafts: bool,
    pub seed: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Push {
        image: usize,
        git_ref: usize,
        delay_ms: i64,
        again_ms: Option<i64>,
        forced: Option<usize>,
        content: Content,
    },
    Tap {
        image: usize,
        git_ref: usize,
    },
    Call {
        image: usize,
        git_ref: usize,
        now: bool,
        ensure: bool,
    },
    Skip {
        image: usize,
        git_ref: usize,
    },
    Delete {
        image: usize,
        git_ref: usize,
    },
    Advance {
        ms: i64,
    },
    Plan(Fault),
    /// From now on, calls take this long before, and after, their effect.
    Delays {
        before_ms: i64,
        after_ms: i64,
    },
    /// What becomes of the next trigger call on its way.
    Call1(CallFate),
    /// What becomes of the next question.
    Question(QuestionFate),
    /// After so many points at which the process may die, it dies; later it starts with its clock set otherwise.
    Crash {
        after: u32,
        /// … and so many points after that it dies once more.
        again: Option<u32>,
        down_ms: i64,
        clock_ms: i64,
        calls_survive: bool,
    },
    /// The wall clock jumps.
    Jump {
        ms: i64,
    },
    Foreign {
        image: usize,
        git_ref: usize,
    },
    Order {
        image: Option<usize>,
        verb: Word,
        for_ms: Option<i64>,
    },
    Hint {
        image: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallFate {
    NoConnection,
    RetryAfter(u64),
    /// The call is given up after its time limit and has its effect later.
    LateEffect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuestionFate {
    Forbidden,
    Throttled,
    Unavailable,
    /// No answer ever comes.
    Silence,
    /// The answer comes when it is no longer awaited.
    TooLate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Pause,
    Resume,
    Start,
    Drop,
    Cancel,
}

pub(crate) fn setting(random: &mut Random) -> Setting {
    let calm = random.one_in(8);
    let refs = usize::try_from(random.below(3)).unwrap_or(0) + 1;
    let takes_tip = random.pick(&[
        TakesTip::WhenTriggered,
        TakesTip::WhenStarted,
        TakesTip::AfterStart(Duration::from_secs(7)),
        TakesTip::AfterStart(Duration::from_secs(90)),
    ]);
    let source_taken = match takes_tip {
        TakesTip::WhenTriggered => random.pick(&[SourceTaken::AtCall, SourceTaken::Unknown]),
        _ => random.pick(&[SourceTaken::AtStart, SourceTaken::AtCall, SourceTaken::Unknown, SourceTaken::Unknown]),
    };
    let hub = HubSettings {
        mode: random.pick(&[Mode::Classic, Mode::Current]),
        build_time: Duration::from_secs(random.pick(&[1, 20, 100, 300, 900])),
        concurrent_builds: random.pick(&[1, 2, 5, 5]),
        takes_tip,
        visible_after: Duration::from_secs(visible_after(random)),
        withholds_starts: random.one_in(2),
        withholds_commits: random.one_in(2),
        pending_max: random.pick(&[30, 30, 1]),
        discards_show_as_failed: random.one_in(4),
        cancel_sticks_for: Duration::from_secs(random.pick(&[0, 30, 600])),
        cancelled_builds_push: random.one_in(2),
        time_limit: Duration::from_hours(4),
        lists_other_actions: true,
    };
    Setting {
        images: usize::try_from(random.below(3)).unwrap_or(0) + 1,
        refs,
        hub,
        prequeue: random.one_in(2),
        source_taken,
        observes: calm || !random.one_in(8),
        labels: refs > 1 || random.one_in(2),
        retry_failed: random.pick(&[0, 0, 1, 2]),
        account_limit: if calm { None } else { random.pick(&[None, Some(1), Some(2)]) },
        list_max: if calm { 100 } else { random.pick(&[100, 100, 100, 3]) },
        names_rows: random.one_in(4),
        says_pending: random.one_in(3),
        commits: !random.one_in(4),
        clock_error_ms: random.pick(&[0, 0, -2_000, 2_000]),
        wakes_late_ms: random.pick(&[0, 0, 3, 900]),
        calm,
        drafts: random.one_in(3),
        seed: random.draw(),
    }
}

pub(crate) fn ops(random: &mut Random, setting: &Setting) -> Vec<Op> {
    let count = 4 + random.below(28);
    let op = |random: &mut Random| if setting.calm { calm_op(random, setting) } else { op(random, setting) };
    (0..count).map(|_| op(random)).collect()
}

fn calm_op(random: &mut Random, setting: &Setting) -> Op {
    let (image, git_ref) = place(random, setting);
    match random.below(10) {
        0..=4 => Op::Push { image, git_ref, delay_ms: 0, again_ms: None, forced: None, content: Content::Inside },
        5 => Op::Tap { image, git_ref },
        _ => Op::Advance { ms: span_ms(random) },
    }
}

fn op(random: &mut Random, setting: &Setting) -> Op {
    let (image, git_ref) = place(random, setting);
    match random.below(40) {
        0..=9 => Op::Push {
            image,
            git_ref,
            delay_ms: if setting.drafts { 0 } else { random.pick(&[0, 0, 0, 800, 40_000]) },
            again_ms: random.one_in(5).then(|| random.pick(&[0, 500, 90_000])),
            forced: random
                .one_in(if setting.drafts { 20 } else { 6 })
                .then(|| usize::try_from(random.below(3)).unwrap_or(0)),
            content: content(random, setting),
        },
        10 => Op::Tap { image, git_ref },
        11 => Op::Call { image, git_ref, now: random.one_in(2), ensure: random.one_in(2) },
        12 if random.one_in(2) => Op::Skip { image, git_ref },
        12 => Op::Delete { image, git_ref },
        13..=22 => Op::Advance { ms: span_ms(random) },
        23..=26 => Op::Plan(random.pick(&[
            Fault::LoseAnswer,
            Fault::LoseTrigger,
            Fault::ErrorAfterEffect,
            Fault::ErrorWithoutEffect,
            Fault::Throttle,
            Fault::TriggerGone,
            Fault::Discard,
            Fault::Stick,
            Fault::Fail,
            Fault::Fail,
            Fault::Vanish,
            Fault::ListError,
            Fault::ListUnauthorized,
        ])),
        27 => Op::Delays { before_ms: random.pick(&[0, 1, 300, 14_000]), after_ms: random.pick(&[0, 1, 300, 14_000]) },
        28 => Op::Call1(random.pick(&[CallFate::NoConnection, CallFate::RetryAfter(20), CallFate::LateEffect])),
        29 | 30 => Op::Question(random.pick(&[
            QuestionFate::Forbidden,
            QuestionFate::Throttled,
            QuestionFate::Unavailable,
            QuestionFate::Silence,
            QuestionFate::TooLate,
        ])),
        31..=34 => Op::Crash {
            after: u32::try_from(random.below(12)).unwrap_or(0),
            again: random.one_in(4).then(|| u32::try_from(random.below(4)).unwrap_or(0)),
            down_ms: random.pick(&[0, 0, 1_500, 100_000]),
            clock_ms: random.pick(&[0, 0, 0, 0, 3_600_000, -3_600_000]),
            calls_survive: random.one_in(2),
        },
        35 => {
            if random.one_in(6) {
                Op::Jump { ms: random.pick(&[3_600_000, -3_600_000]) }
            } else {
                Op::Advance { ms: 3_600_000 }
            }
        }
        36 => Op::Foreign { image, git_ref },
        37 | 38 => Op::Order {
            image: (!random.one_in(3)).then_some(image),
            verb: random.pick(&[Word::Pause, Word::Resume, Word::Start, Word::Drop, Word::Cancel, Word::Cancel]),
            for_ms: random.one_in(2).then_some(200_000),
        },
        _ => Op::Hint { image },
    }
}

fn content(random: &mut Random, setting: &Setting) -> Content {
    use Content::{Inside, MarkedInside, MarkedOutside, Outside};
    if setting.drafts {
        random.pick(&[Inside, Inside, Outside, Outside, Outside, Outside, MarkedInside, MarkedOutside])
    } else {
        random.pick(&[Inside, Inside, Inside, Inside, Inside, Inside, Outside, MarkedInside])
    }
}

/// In seconds.
fn visible_after(random: &mut Random) -> u64 {
    if random.one_in(4) { random.below(VISIBLE_AFTER_MAX + 1) } else { random.pick(&[0, 0, 5, 60, VISIBLE_AFTER_MAX]) }
}

fn place(random: &mut Random, setting: &Setting) -> (usize, usize) {
    let image = usize::try_from(random.below(setting.images as u64)).unwrap_or(0);
    (image, usize::try_from(random.below(setting.refs as u64)).unwrap_or(0))
}

fn span_ms(random: &mut Random) -> i64 {
    let most = random.pick(&[1_000, 10_000, 60_000, 60_000, 400_000]);
    i64::try_from(1 + random.below(most)).unwrap_or(1)
}
