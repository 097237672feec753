//! A push, from any sender: the ref that moved, and what is known of its commits.
//!
//! Every kind of source makes one of these out of its own format. What a sender doesn't show whole counts as not known,
//! and not as nothing. Must never know a sender's format.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::echoed;
use super::skip::Marked;
use crate::config::PathFilter;
use crate::model::{CommitId, GitRef};
use crate::reason::SkipEvidence;

/// A ref that was moved, made or deleted.
#[derive(Clone)]
pub(crate) struct Push<'a> {
    /// `host/owner/name`, lower case.
    pub(crate) repository: String,
    pub(crate) git_ref: GitRef,
    /// The commit that the ref points to now; of an annotated tag, the commit and not the tag object.
    pub(crate) commit: Option<CommitId>,
    /// None where the ref is new, or the sender doesn't say.
    pub(crate) before: Option<CommitId>,
    pub(crate) deleted: bool,
    /// The repository's, where the sender says.
    pub(crate) default_branch: Option<String>,
    /// Which of its commits carry a skip marker.
    pub(crate) marked: Marked,
    /// A closer look at its commits, which costs: taken only where the rules of an image ask.
    pub(crate) commits: &'a dyn Fn() -> Commits<'a>,
    pub(crate) actor: Option<String>,
    /// The first line of the newest commit's message.
    pub(crate) subject: Option<String>,
    /// The sender's id of this delivery.
    pub(crate) delivery: Option<&'a str>,
    /// What stands for the signed bytes, one for each secret that could have signed them: so they are known again
    /// whichever did, and while secrets are replaced.
    pub(crate) signatures: Vec<Vec<u8>>,
}

/// What is known of the commits of one push: the files that they touched, and who made them (semantics R10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commits<'a> {
    /// All files of all commits. None: not known whole.
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
    /// Why a push that touched these files has nothing to build; None where it has, or may have.
    pub(super) fn outside(&self, paths: &PathFilter) -> Option<SkipEvidence> {
        let files = self.files.as_ref()?;
        let outside = files.iter().all(|file| !paths.holds(file));
        outside.then(|| {
            let (file, more) = first_of(files);
            SkipEvidence::OutsidePaths { file, more }
        })
    }

    /// Why a push of these authors is passed over; None where it isn't.
    ///
    /// Who pushed must be one of them, too: a person who merges what a program proposed wants it built.
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

/// The first of them, short and in one line, and how many more there are.
fn first_of(names: &BTreeSet<Cow<'_, str>>) -> (String, u32) {
    let first = names.first().map_or("", |name| &**name);
    (echoed(first), u32::try_from(names.len().saturating_sub(1)).unwrap_or(u32::MAX))
}
