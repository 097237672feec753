//! Reasons as values, for the stored facts and the notices made from them.
//!
//! Must never hold sentences: `status/sentences` makes the words, so that they can change without a
//! journal that holds them. What a back-end or a remote said is kept as data (`detail`). Older journals and
//! exports hold sentences in these places; they are read as `Sentence` and shown unchanged.

use serde::{Deserialize, Serialize};

/// Why it is unknown whether a trigger had an effect (semantics R5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UncertainReason {
    /// The answer, or its absence, leaves it open.
    Answer { detail: String },
    /// The back-end said that a build is already pending.
    AlreadyPending { detail: String },
    /// The daemon ended while the call was in flight.
    DaemonEnded,
    /// As an older version stored it.
    #[serde(untagged)]
    Sentence(String),
}

/// Why a trigger had no effect (semantics R5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// The back-end refused, or could not be reached.
    Answer { detail: String },
    /// It said that a build is already pending, and its builds can't be seen.
    AlreadyPending { detail: String },
    /// It said that a build is already pending, and shows none.
    PendingNotShown,
    /// As an older version stored it.
    #[serde(untagged)]
    Sentence(String),
}

/// Why a build ended as it did, if that is not simply what the back-end reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The trigger was refused: there was no build.
    Refused(RefusalReason),
    /// The back-end shows no build of this trigger, though it would by now.
    NotShown,
    /// It could not be looked for, for too long.
    Unverified,
    /// It was cancelled before it started.
    CancelledBeforeStart,
    /// It was in the back-end's list and no longer is.
    Vanished,
    /// No end was seen within `build_deadline`.
    Overdue { deadline_ms: u64 },
    /// The back-end ended it at its own time limit.
    BackendTimeLimit,
    /// Its builds can't be seen, and the back-end reported that the image was pushed.
    ImageReported,
    /// Its builds can't be seen: it is assumed to have ended after `expected_build_time`.
    Assumed,
    /// As an older version stored it.
    #[serde(untagged)]
    Sentence(String),
}

/// A remark about a build, besides its state and outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildNote {
    Uncertain(UncertainReason),
    Ended(EndReason),
    /// It was started outside coalesced, for this label of the back-end's: on Docker Hub the image's tag.
    Foreign {
        label: String,
    },
    /// As an older version stored it.
    #[serde(untagged)]
    Sentence(String),
}

/// The rule by which a push is not built, and the evidence (semantics R10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipEvidence {
    /// Every commit carries a skip marker (`skip = "all"`); `marker` is the newest commit's, if known.
    EveryCommitMarked {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        marker: Option<String>,
    },
    /// The newest commit carries one (`skip = "head"`).
    NewestCommitMarked {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        marker: Option<String>,
    },
    /// Every file is outside `paths`: this one, and so many more.
    OutsidePaths { file: String, more: u32 },
    /// Every commit is by authors that `ignore_authors` names: this one, and so many more.
    IgnoredAuthors { author: String, more: u32 },
    /// As an older version stored it.
    #[serde(untagged)]
    Sentence(String),
}

/// Why no image is built for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IgnoreReason {
    /// No image has the repository `host/owner/name`.
    UnknownRepository { repository: String },
    /// The image is not, or no longer, in the configuration.
    UnknownImage,
    /// The image builds no tags.
    NoTags { tag: String },
    /// None of the image's `tags` matches.
    TagUnmatched { tag: String, globs: Vec<String> },
    /// None of the image's `branches` matches.
    BranchUnmatched { branch: String, globs: Vec<String> },
    /// The image builds only the default branch; its name, if the sender says.
    NotDefaultBranch {
        branch: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
    },
    /// As an older version stored it.
    #[serde(untagged)]
    Sentence(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).expect("readable")
    }

    #[test]
    fn a_sentence_of_before_is_read_and_written_as_it_was() {
        let text = "it vanished from the back-end's history";
        let json = format!("\"{text}\"");
        assert_eq!(read::<EndReason>(&json), EndReason::Sentence(text.to_owned()));
        assert_eq!(read::<BuildNote>(&json), BuildNote::Sentence(text.to_owned()));
        assert_eq!(read::<UncertainReason>(&json), UncertainReason::Sentence(text.to_owned()));
        assert_eq!(read::<RefusalReason>(&json), RefusalReason::Sentence(text.to_owned()));
        assert_eq!(read::<SkipEvidence>(&json), SkipEvidence::Sentence(text.to_owned()));
        assert_eq!(read::<IgnoreReason>(&json), IgnoreReason::Sentence(text.to_owned()));
        assert_eq!(serde_json::to_string(&EndReason::Sentence(text.to_owned())).expect("written"), json);
    }

    #[test]
    fn reasons_come_back_as_they_were_written() {
        let notes = [
            BuildNote::Uncertain(UncertainReason::DaemonEnded),
            BuildNote::Uncertain(UncertainReason::Answer { detail: "504".to_owned() }),
            BuildNote::Ended(EndReason::Refused(RefusalReason::Answer { detail: "404".to_owned() })),
            BuildNote::Ended(EndReason::Refused(RefusalReason::PendingNotShown)),
            BuildNote::Ended(EndReason::Vanished),
            BuildNote::Ended(EndReason::Overdue { deadline_ms: 15_000_000 }),
            BuildNote::Foreign { label: "latest".to_owned() },
        ];
        for note in notes {
            assert_eq!(read::<BuildNote>(&serde_json::to_string(&note).expect("written")), note);
        }
        let json = serde_json::to_string(&BuildNote::Ended(EndReason::Vanished)).expect("written");
        assert_eq!(json, r#"{"ended":"vanished"}"#);
        let marked = SkipEvidence::EveryCommitMarked { marker: Some("[skip ci]".to_owned()) };
        assert_eq!(read::<SkipEvidence>(&serde_json::to_string(&marked).expect("written")), marked);
        let ignored = IgnoreReason::NotDefaultBranch { branch: "dev".to_owned(), default: None };
        assert_eq!(read::<IgnoreReason>(&serde_json::to_string(&ignored).expect("written")), ignored);
    }
}
