//! What the manual describes and this version doesn't carry out yet.
//!
//! Such a key is refused, never accepted in silence. When one is carried out, its line here goes.

use super::section::Place;

/// Keys, by the kind of table that they stand in.
const KEYS: &[(Place, &str)] = &[(Place::Top, "notify"), (Place::Image, "public")];

/// The quiet period that a key learns by itself (semantics R14).
pub(super) const QUIET_AUTO: &str = "auto";
pub(super) const BACKEND_KINDS: &[&str] = &["github_actions", "command", "http"];
pub(super) const SOURCE_KINDS: &[&str] = &["gitea", "forgejo", "gitlab", "bitbucket", "standard", "dockerhub"];

pub(super) fn keys(place: Place) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(move |(of, _)| *of == place).map(|(_, key)| *key)
}
