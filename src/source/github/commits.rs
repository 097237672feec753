//! A closer look at the commits of a push: which files they touched and who made them (semantics R10).
//!
//! A second look at a body that is certainly one of our pushes, taken only if an image's rules need it, which most
//! don't. What the sender doesn't show completely counts as unknown, not as nothing.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use crate::source::lenient::{Object, Text};
use crate::source::push::{Authors, Commits};

use super::push::{COMMITS_LISTED_MAX, RawPusher, RawSender, pusher_of};

/// The most files that GitHub lists for one commit: a list of this length may have been cut off. (github/docs, `push`.)
const FILES_LISTED_MAX: usize = 3_000;
/// A push that names more files than this is not examined.
const FILES_MAX: usize = 20_000;

/// Nothing is known if the body is not as expected.
pub(super) fn read<'a>(json: &'a [u8]) -> Commits<'a> {
    let Ok(mut push) = serde_json::from_slice::<RawPush<'a>>(json) else { return Commits::default() };
    let pusher = pusher_of(push.sender.0.take(), push.pusher.0.take());
    let size = [&push.size, &push.distinct_size].into_iter().filter_map(Value::as_u64).max().unwrap_or(0);
    // A forced push removes commits that no list names.
    let is_forced = push.forced != Value::Bool(false);
    let commits: Option<Vec<RawCommit<'a>>> = push.commits.0.into_iter().flatten().map(|commit| commit.0).collect();
    let whole = |commits: &Vec<_>| !commits.is_empty() && size <= commits.len() as u64;
    let Some(commits) = commits.filter(whole) else { return Commits::default() };
    let authors: Option<BTreeSet<_>> = commits.iter().map(RawCommit::author).collect();
    let authors = authors.zip(pusher).map(|(authors, pusher)| Authors { authors, pusher });
    Commits { files: files_of(commits).filter(|_| !is_forced), authors }
}

/// All files of the commits. None if a commit lists no files, as an empty commit does and a sender that names no files;
/// or so many that some may be missing.
fn files_of(commits: Vec<RawCommit<'_>>) -> Option<BTreeSet<Cow<'_, str>>> {
    let mut files = BTreeSet::new();
    let mut room = FILES_MAX;
    for RawCommit { added, removed, modified, .. } in commits {
        let lists = [added.0?, removed.0?, modified.0?];
        let listed: usize = lists.iter().map(Vec::len).sum();
        if !(1..FILES_LISTED_MAX).contains(&listed) {
            return None;
        }
        room = room.checked_sub(listed)?;
        for file in lists.into_iter().flatten() {
            files.insert(file.0.filter(|name| !name.is_empty())?);
        }
    }
    Some(files)
}

/// A list with fewer than `MAX` elements; empty for null or a missing list. None: it has more, and may have been cut
/// off.
struct Bounded<T, const MAX: usize>(Option<Vec<T>>);

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BoundedVisitor<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for BoundedVisitor<T, MAX> {
            type Value = Bounded<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Bounded::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while list.len() < MAX {
                    match seq.next_element()? {
                        Some(element) => list.push(element),
                        None => return Ok(Bounded(Some(list))),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Bounded(None))
            }
        }
        deserializer.deserialize_any(BoundedVisitor(PhantomData))
    }
}

#[derive(serde::Deserialize)]
struct RawPush<'a> {
    #[serde(default)]
    forced: Value,
    /// How many commits there are, if the sender says.
    #[serde(default)]
    size: Value,
    #[serde(default)]
    distinct_size: Value,
    #[serde(borrow, default)]
    commits: Bounded<Object<RawCommit<'a>>, COMMITS_LISTED_MAX>,
    #[serde(borrow, default)]
    sender: Object<RawSender<'a>>,
    #[serde(borrow, default)]
    pusher: Object<RawPusher<'a>>,
}

#[derive(serde::Deserialize)]
struct RawCommit<'a> {
    #[serde(borrow, default)]
    author: Object<RawAuthor<'a>>,
    #[serde(borrow, default)]
    added: Bounded<Text<'a>, FILES_LISTED_MAX>,
    #[serde(borrow, default)]
    removed: Bounded<Text<'a>, FILES_LISTED_MAX>,
    #[serde(borrow, default)]
    modified: Bounded<Text<'a>, FILES_LISTED_MAX>,
}

#[derive(serde::Deserialize)]
struct RawAuthor<'a> {
    /// The account, if GitHub knows one with this address.
    #[serde(borrow, default)]
    username: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
}

impl<'a> RawCommit<'a> {
    /// The author's account, or else the name in the commit. The committer says little: for everything merged on GitHub
    /// it is GitHub itself.
    fn author(&self) -> Option<Cow<'a, str>> {
        let author = self.author.0.as_ref()?;
        [&author.username, &author.name].into_iter().find(|name| name.get().is_some())?.0.clone()
    }
}

#[cfg(test)]
mod tests;
