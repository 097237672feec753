//! Remote heads: where the refs of repositories point, as `git ls-remote` shows it (semantics R11).
//!
//! One request per repository, whatever the number of its refs and images. The `git` program speaks the protocols; this
//! module owns how it is run, how its output is read, and which refs an image watches. It decides nothing and must
//! never let a token into a command line, an error or a log.

mod git;
mod lines;

use std::collections::BTreeMap;

use self::git::Question;
pub(crate) use self::git::{RefsError, is_installed};
pub(crate) use self::lines::Listing;
use crate::config::{ImageConfig, RemoteConfig, Rules};
use crate::model::GitRef;
use crate::remote::{Heads, RemoteHead};

/// Queries one remote and returns the heads that each of its images watches.
pub(crate) async fn heads(rules: &Rules, remote: &str) -> Heads {
    let images = || {
        let of_remote = |image: &ImageConfig| {
            let reconcile = image.policy.reconcile.as_ref();
            reconcile.is_some_and(|reconcile| *reconcile.remote == *remote)
        };
        rules.images.iter().filter(move |(_, image)| of_remote(image))
    };
    let Some(config) = images().find_map(|(_, image)| image.remote.as_ref()) else {
        return Err("it is not configured".to_owned());
    };
    let needs_default = images().any(|(_, image)| image.branches.is_none());
    let listing = list(config, needs_default).await.map_err(|error| error.to_string())?;
    Ok(images().map(|(name, image)| (name.clone(), watched(image, &listing))).collect())
}

async fn list(remote: &RemoteConfig, needs_default: bool) -> Result<Listing, RefsError> {
    let text = git::ls_remote(&Question { remote, needs_default }).await?;
    Ok(Listing::read(&text))
}

/// The heads of the refs that the rules of an image name.
fn watched(config: &ImageConfig, listing: &Listing) -> BTreeMap<GitRef, RemoteHead> {
    let default = listing.default_branch.as_deref();
    let named = listing.heads.iter().filter(|(git_ref, _)| config.watches(git_ref, default).is_ok());
    named.map(|(git_ref, head)| (git_ref.clone(), head.clone())).collect()
}
