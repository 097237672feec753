//! A closer look at the commits of a push: which files they touched and who made them (semantics R10).
//!
//! A second look at a body that is a push of ours for certain, taken only where the rules of an image ask for it, which
//! those of most don't. What the sender doesn't show whole counts as not known, and not as nothing.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use crate::config::PathFilter;
use crate::reason::SkipEvidence;
use crate::source::lenient::{Object, Text};
use crate::source::skip::COMMITS_LISTED_MAX;

/// The most files that GitHub lists for one commit: so many may have been cut off. (github/docs, `push`.)
const FILES_LISTED_MAX: usize = 3_000;
/// A push that names more files than this is not looked through.
const FILES_MAX: usize = 20_000;
/// The most characters of a file's name that a reason repeats.
const ECHO_CHARS_MAX: usize = 80;

/// What is known of the commits of one push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::source) struct Touched<'a> {
    /// All files of all commits. None: not known whole.
    files: Option<BTreeSet<Cow<'a, str>>>,
    /// The author of each commit, and whoever pushed. None: not all of them are known.
    authors: Option<Authors<'a>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Authors<'a> {
    authors: BTreeSet<Cow<'a, str>>,
    pusher: Cow<'a, str>,
}

impl<'a> Touched<'a> {
    /// Nothing is known where the body is not what was expected.
    pub(in crate::source) fn read(json: &'a [u8]) -> Self {
        let Ok(mut push) = serde_json::from_slice::<RawPush<'a>>(json) else { return Self::default() };
        let pusher = push.sender.0.take().and_then(|sender| sender.login.0);
        let pusher = pusher.or_else(|| push.pusher.0.take().and_then(|pusher| pusher.name.0));
        let size = [&push.size, &push.distinct_size].into_iter().filter_map(Value::as_u64).max().unwrap_or(0);
        // A forced push takes away what no list names.
        let is_forced = push.forced != Value::Bool(false);
        let commits: Option<Vec<RawCommit<'a>>> = push.commits.0.into_iter().flatten().map(|commit| commit.0).collect();
        let whole = |commits: &Vec<_>| !commits.is_empty() && size <= commits.len() as u64;
        let Some(commits) = commits.filter(whole) else { return Self::default() };
        let authors: Option<BTreeSet<_>> = commits.iter().map(RawCommit::author).collect();
        let authors = authors.zip(pusher).map(|(authors, pusher)| Authors { authors, pusher });
        Self { files: files_of(commits).filter(|_| !is_forced), authors }
    }

    /// Why a push that touched these files has nothing to build; None where it has, or may have.
    pub(in crate::source) fn outside(&self, paths: &PathFilter) -> Option<SkipEvidence> {
        let files = self.files.as_ref()?;
        let outside = files.iter().all(|file| !paths.holds(file));
        outside.then(|| {
            let (file, more) = first_of(files);
            SkipEvidence::OutsidePaths { file, more }
        })
    }

    /// Why a push of these authors is passed over; None where it isn't.
    ///
    /// Whoever pushed must be one of them, too: a person who merges what a program proposed wants it built.
    pub(in crate::source) fn ignored(&self, authors: &[String]) -> Option<SkipEvidence> {
        let Authors { authors: made, pusher } = self.authors.as_ref()?;
        let is_named = |name: &Cow<'a, str>| authors.iter().any(|author| author.eq_ignore_ascii_case(name));
        let all = is_named(pusher) && made.iter().all(is_named);
        all.then(|| {
            let (author, more) = first_of(made);
            SkipEvidence::IgnoredAuthors { author, more }
        })
    }
}

/// All files of the commits. None where one of them lists none, as an empty commit does and a sender that names no
/// files; or so many that some may be missing.
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

/// The first of them, short and in one line, and how many more there are.
fn first_of(names: &BTreeSet<Cow<'_, str>>) -> (String, u32) {
    let first = names.first().map_or("", |name| &**name);
    let mut first: String = first.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if let Some((end, _)) = first.char_indices().nth(ECHO_CHARS_MAX) {
        first.truncate(end);
        first.push('…');
    }
    (first, u32::try_from(names.len().saturating_sub(1)).unwrap_or(u32::MAX))
}

/// A list with fewer than `MAX` elements, of which none is there where null or nothing stands. None: it has more, and
/// may have been cut off.
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
    /// How many commits there are, where a sender says.
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
    /// The account, where GitHub knows one of this address.
    #[serde(borrow, default)]
    username: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
}

#[derive(serde::Deserialize)]
struct RawSender<'a> {
    #[serde(borrow, default)]
    login: Text<'a>,
}

#[derive(serde::Deserialize)]
struct RawPusher<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
}

impl<'a> RawCommit<'a> {
    /// The author's account, or else the name that stands in the commit. The committer says little: it is GitHub itself
    /// for all that is merged there.
    fn author(&self) -> Option<Cow<'a, str>> {
        let author = self.author.0.as_ref()?;
        [&author.username, &author.name].into_iter().find(|name| name.get().is_some())?.0.clone()
    }
}

#[cfg(test)]
mod tests;
