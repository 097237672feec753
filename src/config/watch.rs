//! Which refs an image's rules name. Pure: asked by whoever hears of a ref, a source or a remote.

use super::image::ImageConfig;
use crate::model::{GitRef, RefKind};

/// What a default branch is called where nobody says.
const DEFAULT_BRANCHES: [&str; 2] = ["master", "main"];

impl ImageConfig {
    /// Whether a rule of the image names this ref; if not, which rules there are. `default_branch` is the
    /// repository's, where it is known.
    pub fn watches(&self, git_ref: &GitRef, default_branch: Option<&str>) -> Result<(), String> {
        let short = git_ref.short();
        match (git_ref.kind(), &self.branches) {
            (RefKind::Tag, _) if self.tags.is_match(short) => Ok(()),
            (RefKind::Tag, _) if self.tag_globs.is_empty() => {
                Err(format!("the tag '{short}' is not built: no tags are configured for this image"))
            }
            (RefKind::Tag, _) => {
                Err(format!("the tag '{short}' matches none of the configured tags: {}", self.tag_globs.join(", ")))
            }
            (RefKind::Branch, Some(branches)) if branches.is_match(short) => Ok(()),
            (RefKind::Branch, Some(_)) => Err(format!(
                "the branch '{short}' matches none of the configured branches: {}",
                self.branch_globs.as_deref().unwrap_or_default().join(", ")
            )),
            (RefKind::Branch, None) => is_default(short, default_branch),
        }
    }

    /// The one branch that the rules name without a wildcard: what is built when nobody names a ref. None where they
    /// name none, or several, since then nobody can tell which is meant.
    pub fn only_branch(&self) -> Option<GitRef> {
        let globs = self.branch_globs.as_deref().unwrap_or_default();
        let mut literal = globs.iter().filter(|glob| !glob.contains(is_wildcard));
        match (literal.next(), literal.next()) {
            (Some(only), None) => GitRef::branch(only).ok(),
            _ => None,
        }
    }
}

fn is_default(short: &str, default: Option<&str>) -> Result<(), String> {
    match default {
        Some(default) if default == short => Ok(()),
        Some(default) => Err(format!("the branch '{short}' is not built: only the default branch '{default}' is")),
        None if DEFAULT_BRANCHES.contains(&short) => Ok(()),
        None => Err(format!("the branch '{short}' is not built: only the default branch is")),
    }
}

fn is_wildcard(c: char) -> bool {
    "*?[]{}!\\".contains(c)
}
