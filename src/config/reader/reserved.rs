//! Words reserved for what this version doesn't implement yet.
//!
//! Such a word is refused, never silently accepted. Once implemented, it is removed from here.

/// Keys at the top of the file.
pub(crate) const TOP: &[&str] = &["notify"];
/// Keys of an image.
pub(crate) const IMAGE: &[&str] = &["public"];
/// The quiet period that a key learns by itself (semantics R14).
pub(crate) const QUIET_AUTO: &str = "auto";
pub(crate) const BACKEND_KINDS: &[&str] = &["github_actions", "command", "http"];
pub(crate) const SOURCE_KINDS: &[&str] = &["gitea", "forgejo", "gitlab", "bitbucket", "standard", "dockerhub"];
