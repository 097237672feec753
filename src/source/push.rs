//! A push, from any sender: the ref that moved, and what is known of its commits.
//!
//! Every kind of source converts its own format to this one. What a sender doesn't show completely counts as unknown,
//! not as nothing. Must never know a sender's format.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::echoed;
use super::skip::Marked;
use crate::config::PathFilter;
use crate::model::{CommitId, GitRef};
use crate::reason::SkipEvidence;

/// A ref that was moved, created or deleted.
#[derive(Clone)]
pub(crate) struct Push<'a> {
    /// `host/owner/name`, lower case.
    pub(crate) repository: String,
    pub(crate) git_ref: GitRef,
    /// The commit that the ref points to now; for an annotated tag, the commit and not the tag object.
    pub(crate) commit: Option<CommitId>,
    /// None if the ref is new, or the sender doesn't say.
    pub(crate) before: Option<CommitId>,
    pub(crate) deleted: bool,
    /// The repository's, if the sender says.
    pub(crate) default_branch: Option<String>,
    /// Which of its commits carry a skip marker.
    pub(crate) marked: Marked,
    /// A closer look at its commits, which is costly: taken only if an image's rules need it.
    pub(crate) commits: &'a dyn Fn() -> Commits<'a>,
    pub(crate) actor: Option<String>,
    /// The first line of the newest commit's message.
    pub(crate) subject: Option<String>,
    /// The sender's id of this delivery.
    pub(crate) delivery: Option<&'a str>,
    /// Fingerprints of the signed bytes, one for each secret that could have signed them, so that they are recognised
    /// whichever did, and while secrets are being replaced.
    pub(crate) signatures: Vec<Vec<u8>>,
}

/// What is known of the commits of one push: the files that they touched, and their authors (semantics R10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commits<'a> {
    /// All files of all commits. None: not completely known.
    pub(crate) files: Option<BTreeSet<Cow<'a, str>>>,
    /// None: not all of them are known.
    pub(crate) authors: Option<Authors<'a>>,
}

/// The author of each commit, and the account that pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authors<'a> {
    pub(crate) authors: BTreeSet<Cow<'a, str>>,
    pub(crate) pusher: Cow<'a, str>,
}

impl<'a> Commits<'a> {
    /// Why a push that touched these files has nothing to build; None if it has, or may have.
    pub(super) fn outside(&self, paths: &PathFilter) -> Option<SkipEvidence> {
        let files = self.files.as_ref()?;
        let outside = files.iter().all(|file| !paths.holds(file));
        outside.then(|| {
            let (file, more) = first_of(files);
            SkipEvidence::OutsidePaths { file, more }
        })
    }

    /// Why a push by these authors is ignored; None if it isn't.
    ///
    /// The pusher must be one of them, too: a person who merges a program's proposal wants it built.
    pub(super) fn ignored(&self, authors: &[String]) -> Option<SkipEvidence> {
        let Authors { authors: made, pusher } = self.authors.as_ref()?;
        let is_named = |name: &Cow<'a, str>| authors.iter().any(|author| author.eq_ignore_ascii_case(name));
        let all = is_named(pusher) && made.iter().all(is_named);
        all.then(|| {
            let (author, more) = first_of(made);
            SkipEvidence::IgnoredAuthors { author, more }
        })
    }
}

/// The first of them, short and on one line, and how many more there are.
fn first_of(names: &BTreeSet<Cow<'_, str>>) -> (String, u32) {
    let first = names.first().map_or("", |name| &**name);
    (echoed(first), u32::try_from(names.len().saturating_sub(1)).unwrap_or(u32::MAX))
}
