//! What happens in an invented history, and how its back-end is made.

use std::time::Duration;

use coalesced::build::SourceTaken;
use coalesced::model::{BuildId, GitRef, Seq, Timestamp};
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Push {
        git_ref: u8,
        id: Option<u8>,
    },
    Tap {
        git_ref: u8,
    },
    Skip {
        git_ref: u8,
    },
    Advance {
        millis: u32,
    },
    /// What happens to the next trigger call.
    Fate(CallFate),
    /// The next question gets no answer.
    Unreadable,
    Crash,
    Pause,
    Resume,
    Drop,
    Foreign {
        git_ref: u8,
    },
    /// The operator changes the quiet period.
    Reconfigure {
        quiet: u8,
    },
    /// The image is not configured for a while.
    Remove {
        millis: u32,
    },
}

/// What happens to a trigger call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallFate {
    Accepted,
    DoneButAnswerLost,
    LostOnTheWay,
    RefusedForNow,
    /// Accepted, and silently discarded.
    Discarded,
    /// The process dies after the call has had its effect.
    DoneThenCrash,
    CrashBeforeCall,
    /// The image is removed and brought back before the answer to the call comes.
    DoneThenRemoved,
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    use CallFate::{
        Accepted, CrashBeforeCall, Discarded, DoneButAnswerLost, DoneThenCrash, DoneThenRemoved, LostOnTheWay,
        RefusedForNow,
    };
    let call_fate = prop_oneof![
        Just(Accepted),
        Just(DoneButAnswerLost),
        Just(LostOnTheWay),
        Just(RefusedForNow),
        Just(Discarded),
        Just(DoneThenCrash),
        Just(CrashBeforeCall),
        Just(DoneThenRemoved)
    ];
    prop_oneof![
        8 => (0..3u8, proptest::option::weighted(0.3, 0..6u8)).prop_map(|(git_ref, id)| Op::Push { git_ref, id }),
        2 => (0..3u8).prop_map(|git_ref| Op::Tap { git_ref }),
        1 => (0..3u8).prop_map(|git_ref| Op::Skip { git_ref }),
        8 => (1..120_000u32).prop_map(|millis| Op::Advance { millis }),
        3 => call_fate.prop_map(Op::Fate),
        2 => Just(Op::Unreadable),
        1 => Just(Op::Crash),
        1 => Just(Op::Pause),
        1 => Just(Op::Resume),
        1 => Just(Op::Drop),
        1 => (0..3u8).prop_map(|git_ref| Op::Foreign { git_ref }),
        1 => (0..120u8).prop_map(|quiet| Op::Reconfigure { quiet }),
        1 => (1..600_000u32).prop_map(|millis| Op::Remove { millis }),
    ]
}

/// How the back-end and the policy are made in one history.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub prequeue: bool,
    pub source_taken: SourceTaken,
    pub build_time: Duration,
    /// How long a new build stays invisible.
    pub visible_after: Duration,
    /// Whether builds of one image run one at a time.
    pub serial: bool,
}

pub(super) fn setting() -> impl Strategy<Value = Setting> {
    let source_taken = prop_oneof![Just(SourceTaken::AtStart), Just(SourceTaken::AtCall), Just(SourceTaken::Unknown)];
    (any::<bool>(), source_taken, 1..600u64, 0..120u64, any::<bool>()).prop_map(
        |(prequeue, source_taken, build, visible, serial)| Setting {
            prequeue,
            source_taken,
            build_time: Duration::from_secs(build),
            visible_after: Duration::from_secs(visible),
            serial,
        },
    )
}

/// One build in its true state.
#[derive(Clone, Debug)]
pub(super) struct TrueBuild {
    pub id: u64,
    /// The trigger of ours that made it; None: it is foreign.
    pub ours: Option<BuildId>,
    pub git_ref: GitRef,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// The newest event whose push was in the source when it was taken.
    pub contains: Seq,
}
