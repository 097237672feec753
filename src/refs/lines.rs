//! Pure: parses the lines of `git ls-remote`.

use std::collections::BTreeMap;

use crate::model::{CommitId, GitRef, RefKind};
use crate::remote::RemoteHead;

/// Where the refs of a remote point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The short name of the branch that `HEAD` points to, if the remote says.
    pub default_branch: Option<String>,
    pub heads: BTreeMap<GitRef, RemoteHead>,
}

impl Listing {
    /// Takes branches and tags; skips other refs, and names that can't be stored.
    ///
    /// A line is `object TAB ref`. An annotated tag has two: the second, whose ref ends in `^{}`, is its commit.
    /// With `--symref` a line `ref: refs/heads/main TAB HEAD` comes before that of `HEAD`.
    pub(crate) fn read(text: &str) -> Self {
        let mut listing = Self::default();
        for line in text.lines() {
            let Some((object, name)) = line.split_once('\t') else { continue };
            if let Some(target) = object.strip_prefix("ref: ").filter(|_| name == "HEAD") {
                let branch = target.parse().ok().filter(|branch: &GitRef| branch.kind() == RefKind::Branch);
                listing.default_branch = branch.map(|branch| branch.short().to_owned());
                continue;
            }
            let (name, peeled) = name.strip_suffix("^{}").map_or((name, false), |name| (name, true));
            if let (Ok(git_ref), Ok(commit)) = (name.parse::<GitRef>(), object.parse::<CommitId>()) {
                let tag = listing.heads.remove(&git_ref).filter(|_| peeled);
                listing.heads.insert(git_ref, RemoteHead { commit, tag_object: tag.map(|tag| tag.commit) });
            }
        }
        listing
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    #[test]
    fn branches_and_tags_are_read_and_other_refs_passed_over() {
        let text = format!(
            "ref: refs/heads/trunk\tHEAD\n{a}\tHEAD\n{a}\trefs/heads/trunk\n{b}\trefs/heads/release/1.2\n\
             {c}\trefs/pull/7/head\n{c}\trefs/remotes/origin/refs/heads/trunk\n{c}\trefs/tags/v1\n{d}\trefs/tags/v2\n\
             {e}\trefs/tags/v2^{{}}\n",
            a = id('a'),
            b = id('b'),
            c = id('c'),
            d = id('d'),
            e = id('e')
        );
        let listing = Listing::read(&text);
        assert_eq!(listing.default_branch.as_deref(), Some("trunk"));
        let heads: Vec<_> = listing
            .heads
            .iter()
            .map(|(git_ref, head)| (git_ref.as_str(), head.commit.to_string(), head.tag_object.as_ref()))
            .collect();
        let object: CommitId = id('d').parse().expect("an object");
        assert_eq!(
            heads,
            [
                ("refs/heads/release/1.2", id('b'), None),
                ("refs/heads/trunk", id('a'), None),
                ("refs/tags/v1", id('c'), None),
                ("refs/tags/v2", id('e'), Some(&object)),
            ]
        );
    }

    #[test]
    fn an_empty_repository_and_a_detached_head_have_no_default_branch() {
        assert_eq!(Listing::read(""), Listing::default());
        assert_eq!(Listing::read(&format!("{}\tHEAD\n", id('a'))), Listing::default());
    }

    #[test]
    fn names_that_can_not_be_kept_are_passed_over() {
        let long = "x".repeat(300);
        let text = format!("{a}\trefs/heads/{long}\nnonsense\n{a}\trefs/heads/ok\nzz\trefs/heads/no\n", a = id('a'));
        let heads = Listing::read(&text).heads;
        assert_eq!(heads.keys().map(GitRef::as_str).collect::<Vec<_>>(), ["refs/heads/ok"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\PC|\n|\t|refs/tags/v|\\^\\{\\}|[0-9a-f]{40}){0,40}") {
            let listing = Listing::read(&text);
            prop_assert!(listing.heads.len() <= text.lines().count());
        }
    }
}
