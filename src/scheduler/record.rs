//! PURE: the facts that a step decided, in the past tense, and everything that they change in the stored state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::open::Group;
use crate::build::{BackendBuildId, BuildState, Outcome};
use crate::command::Hold;
use crate::event::{Closure, End, Event, Fingerprint, Touches};
use crate::model::{BuildId, CommitId, GitRef, ImageName, Seq, Timestamp};
use crate::notice::{Notice, NoticeId};
use crate::reason::{BuildNote, EndReason, RefusalReason, UncertainReason};

/// One fact about one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub image: ImageName,
    pub fact: Fact,
}

/// What can happen to a lane. A lane changes only by applying facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An event opened its key, or folded into what was open.
    Opened {
        git_ref: GitRef,
        group: Group,
        tap: Option<Tap>,
    },
    /// Open events ended without a build.
    Closed {
        git_ref: GitRef,
        end: End,
        at: Timestamp,
    },
    /// A person wants the open events built now.
    Expedited {
        git_ref: GitRef,
        at: Timestamp,
    },
    /// The intent to trigger. It takes the open events: the mark is cleared here, at the hand-out.
    Intended {
        build: BuildId,
        git_ref: GitRef,
        /// The newest number just before the call.
        through: Seq,
        at: Timestamp,
    },
    /// The back-end accepted the trigger. That is "sent", not "started".
    Accepted {
        build: BuildId,
        at: Timestamp,
        backend_id: Option<BackendBuildId>,
    },
    /// It can't be known whether the trigger had an effect.
    BecameUncertain {
        build: BuildId,
        at: Timestamp,
        reason: UncertainReason,
    },
    /// The trigger had no effect. The events are open again; the next try is not before `again_at`.
    Refused {
        build: BuildId,
        at: Timestamp,
        reason: RefusalReason,
        again_at: Timestamp,
        blocked: bool,
    },
    /// Builds of the back-end turned out to be this one.
    Attached {
        build: BuildId,
        backend_ids: Vec<BackendBuildId>,
        /// By time they cover at most this: they may have existed before our call.
        only_through: Option<Seq>,
    },
    /// It had not started when the question was asked; `through` was the newest number then.
    StillQueued {
        build: BuildId,
        through: Seq,
    },
    /// First seen started, or assumed to have.
    Started {
        build: BuildId,
        at: Timestamp,
        cover: Cover,
        assumed_until: Option<Timestamp>,
    },
    /// The commit that it built became known and covers more, or less, than assumed.
    CoverChanged {
        build: BuildId,
        at: Timestamp,
        cover: Cover,
    },
    /// Missing from a history that should show it, since this moment; None: seen again.
    Missing {
        build: BuildId,
        since: Option<Timestamp>,
    },
    /// It ended without having started and covers nothing.
    NeverStarted {
        build: BuildId,
        at: Timestamp,
        outcome: Outcome,
        reason: EndReason,
        /// A person cancelled it: the events handed out with it end as cancelled by them.
        cancelled_by: Option<String>,
        /// The next try is not before this moment.
        again_at: Option<Timestamp>,
    },
    Finished {
        build: BuildId,
        at: Timestamp,
        outcome: Outcome,
        log_url: Option<String>,
        reason: Option<EndReason>,
        /// Its events are open again, once: it was lost, or a failure will be retried.
        reopened: bool,
    },
    CancelAsked {
        build: BuildId,
        actor: String,
    },
    /// Two builds of this image were seen running at once: the back-end doesn't run them one at a time.
    Overlapped,
    Held(Option<Hold>),
    /// The operator's block, and the pause between tries, are over.
    Unblocked,
    ForeignSeen(Foreign),
    ForeignEnded {
        id: BuildId,
        at: Timestamp,
        outcome: Outcome,
        /// The keys whose events it covers, as far as its commit proves.
        covered: Vec<(GitRef, Seq)>,
    },
    /// A push that is not built moved the ref, or (None) deleted it.
    HeadMoved {
        git_ref: GitRef,
        commit: Option<CommitId>,
        seq: Seq,
    },
    /// A rule kept a push from opening its key.
    PassedOver {
        git_ref: GitRef,
        seq: Seq,
        touches: Touches,
    },
    /// These refs were seen at the remote, and need no build.
    HeadsSeen {
        heads: BTreeMap<GitRef, CommitId>,
        /// Forgotten, to make room: the remote no longer has them.
        gone: Vec<GitRef>,
        /// The rules under which the remote's heads are known in full; None: there are too many.
        by: Option<String>,
    },
    /// This key was inactive for long. What its ref points to stays known.
    KeyForgotten {
        git_ref: GitRef,
    },
    /// The wall clock went back while the daemon was down.
    ClockWentBack {
        at: Timestamp,
    },
}

impl Fact {
    /// Whether it changes only what is stored of a key and nothing of its lane, as the many facts of a
    /// burst do.
    pub(super) fn is_about_a_key_alone(&self) -> bool {
        matches!(self, Self::Opened { .. } | Self::Expedited { .. } | Self::Closed { .. } | Self::HeadMoved { .. })
    }
}

/// What a build covers, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// All events of its key up to this number.
    pub through: Seq,
    /// The commit that it built, if the back-end says.
    pub commit: Option<CommitId>,
    /// Time would cover more, but the commit is older than what was pushed.
    pub contradicted: bool,
}

/// The newest tap of a button for a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tap {
    pub button: String,
    pub seq: Seq,
    pub at: Timestamp,
}

/// A build started outside coalesced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    pub id: BuildId,
    #[serde(alias = "row")]
    pub backend_id: BackendBuildId,
    pub started: bool,
    pub label: Option<String>,
    pub commit: Option<CommitId>,
    pub seen_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub log_url: Option<String>,
}

/// What is kept of a build, while it is live and after its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    pub id: BuildId,
    pub image: ImageName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<GitRef>,
    pub state: BuildState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// The back-end's builds that it consists of: one for each build rule.
    #[serde(default, alias = "rows", skip_serializing_if = "Vec::is_empty")]
    pub backend_ids: Vec<BackendBuildId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    pub triggered_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// The first and last of its events, and how many of its key's there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<(Seq, Seq)>,
    #[serde(default)]
    pub events: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<BuildNote>,
    /// Who asked us to cancel it, if it ended as cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
}

/// All that one step changed, for the journal: written whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub records: Vec<Record>,
    pub events: Vec<Arc<Event>>,
    pub remembered: Vec<(Fingerprint, Remembered)>,
    pub builds: BTreeMap<BuildId, BuildRecord>,
    /// The events of a key up to a number ended so; None: no longer so.
    pub closures: Vec<(ImageName, GitRef, Seq, Option<Closure>)>,
    /// Lanes of which anything changed, keys included.
    pub lanes: BTreeSet<ImageName>,
    /// Lanes to rewrite.
    pub lane_entries: BTreeSet<ImageName>,
    /// Keys to rewrite.
    pub keys: BTreeSet<(ImageName, GitRef)>,
    /// Where refs are at the remote; None: no longer known.
    pub heads: Vec<(ImageName, GitRef, Option<CommitId>)>,
    /// Notices to write, or (None) to remove.
    pub notices: BTreeMap<NoticeId, Option<Notice>>,
    /// The counters and the hold of all images changed.
    pub meta: bool,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.events.is_empty() && self.notices.is_empty() && !self.meta
    }

    pub(super) fn write(&mut self, record: &BuildRecord) {
        self.builds.insert(record.id, record.clone());
    }
}

/// The events that a delivery made when it first came: `count` of them from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub first: Seq,
    pub count: u32,
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{End, Verdict};
    use crate::reason::{EndReason, SkipEvidence};
    use crate::scheduler::lane::Refusal;

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).expect("readable")
    }

    #[test]
    fn sentences_that_an_older_version_stored_are_still_read() {
        let refusal: Refusal = read(r#"{"times":2,"since":5,"again_at":9,"detail":"404 Not Found","blocked":true}"#);
        assert_eq!(refusal.reason, EndReason::Sentence("404 Not Found".to_owned()));
        let record: BuildRecord = read(
            r#"{"id":7,"image":"acme/web","state":"finished","outcome":"lost","triggered_at":1,"started_at":null,
                "finished_at":2,"events":1,"note":"it was cancelled before it began"}"#,
        );
        assert_eq!(record.note, Some(BuildNote::Sentence("it was cancelled before it began".to_owned())));
        let skipped: Verdict = read(r#"{"skipped":{"rule":"every commit of the push carries a skip marker"}}"#);
        let told = SkipEvidence::Sentence("every commit of the push carries a skip marker".to_owned());
        assert_eq!(skipped, Verdict::Skipped { evidence: told });
        let dropped: End = read(r#"{"dropped_by":{"whom":"ada","reason":"cancelled build 7"}}"#);
        assert!(matches!(dropped, End::DroppedBy { actor, .. } if actor == "ada"));
    }
}
