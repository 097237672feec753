//! Which refs an image's rules name. Pure; used by sources and by the query of remotes.

use super::image::ImageConfig;
use crate::model::{GitRef, RefKind};
use crate::reason::IgnoreReason;

/// The default branch's name if the sender doesn't say.
const DEFAULT_BRANCHES: [&str; 2] = ["master", "main"];

impl ImageConfig {
    /// Whether a rule of the image names this ref; if not, which rules there are. `default_branch` is the repository's,
    /// if known.
    pub fn watches(&self, git_ref: &GitRef, default_branch: Option<&str>) -> Result<(), IgnoreReason> {
        let short = git_ref.short();
        match (git_ref.kind(), &self.branches) {
            (RefKind::Tag, _) if self.tags.is_match(short) => Ok(()),
            (RefKind::Tag, _) if self.tag_globs.is_empty() => Err(IgnoreReason::NoTags { tag: short.to_owned() }),
            (RefKind::Tag, _) => {
                Err(IgnoreReason::TagUnmatched { tag: short.to_owned(), globs: self.tag_globs.clone() })
            }
            (RefKind::Branch, Some(branches)) if branches.is_match(short) => Ok(()),
            (RefKind::Branch, Some(_)) => Err(IgnoreReason::BranchUnmatched {
                branch: short.to_owned(),
                globs: self.branch_globs.clone().unwrap_or_default(),
            }),
            (RefKind::Branch, None) => is_default(short, default_branch),
        }
    }

    /// The only branch that the rules name without a wildcard, built when no ref is named. None if they name none or
    /// several, since then it isn't clear which is meant.
    pub fn only_branch(&self) -> Option<GitRef> {
        let globs = self.branch_globs.as_deref().unwrap_or_default();
        let mut literal = globs.iter().filter(|glob| !glob.contains(is_wildcard));
        match (literal.next(), literal.next()) {
            (Some(only), None) => GitRef::branch(only).ok(),
            _ => None,
        }
    }
}

fn is_default(short: &str, default: Option<&str>) -> Result<(), IgnoreReason> {
    match default {
        Some(default) if default == short => Ok(()),
        None if DEFAULT_BRANCHES.contains(&short) => Ok(()),
        default => {
            Err(IgnoreReason::NotDefaultBranch { branch: short.to_owned(), default: default.map(ToOwned::to_owned) })
        }
    }
}

fn is_wildcard(c: char) -> bool {
    "*?[]{}!\\".contains(c)
}
