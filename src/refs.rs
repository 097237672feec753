//! Remote heads: where the refs of repositories point, as `git ls-remote` shows it (semantics R11).
//!
//! One request a repository, whatever the number of its refs and images. The `git` program speaks the protocols;
//! this room owns how it is run, how its answer is read, and which refs an image watches. It decides nothing and
//! must never let a token into a command line, an error or a log.

mod git;
mod lines;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::git::Question;
pub use self::git::{RefsError, is_installed};
pub use self::lines::Listing;
use crate::config::{ImageConfig, RemoteConfig, Rules};
use crate::model::{GitRef, ImageName};
use crate::scheduler::heads::{Heads, RemoteHead};

/// The remotes of all images, by the names that their rules give them.
#[derive(Clone, Debug, Default)]
pub struct Remotes {
    remotes: BTreeMap<Arc<str>, Remote>,
}

#[derive(Clone, Debug)]
struct Remote {
    config: RemoteConfig,
    images: BTreeMap<ImageName, ImageConfig>,
}

impl Remotes {
    pub fn of(rules: &Rules) -> Self {
        let mut remotes: BTreeMap<Arc<str>, Remote> = BTreeMap::new();
        for (image, image_config) in &rules.images {
            let (Some(remote), Some(reconcile)) = (&image_config.remote, &image_config.policy.reconcile) else {
                continue;
            };
            let entry = remotes.entry(reconcile.remote.clone());
            let entry = entry.or_insert_with(|| Remote { config: remote.clone(), images: BTreeMap::new() });
            entry.images.insert(image.clone(), image_config.clone());
        }
        Self { remotes }
    }

    pub fn is_empty(&self) -> bool {
        self.remotes.is_empty()
    }

    /// Asks one remote, and answers with the heads that each of its images watches.
    pub async fn heads(&self, name: &str) -> Heads {
        let Some(remote) = self.remotes.get(name) else { return Err("it is not configured".to_owned()) };
        let listing = remote.list().await.map_err(|error| error.to_string())?;
        let watched = |config: &ImageConfig| watched(config, &listing);
        Ok(remote.images.iter().map(|(image, config)| (image.clone(), watched(config))).collect())
    }
}

impl Remote {
    async fn list(&self) -> Result<Listing, RefsError> {
        let needs_default = self.images.values().any(|image| image.branches.is_none());
        let text = git::ls_remote(&Question { remote: &self.config, needs_default }).await?;
        Ok(Listing::read(&text))
    }
}

/// The heads of the refs that the rules of an image name.
fn watched(config: &ImageConfig, listing: &Listing) -> BTreeMap<GitRef, RemoteHead> {
    let default = listing.default_branch.as_deref();
    let named = listing.heads.iter().filter(|(git_ref, _)| config.watches(git_ref, default).is_ok());
    named.map(|(git_ref, head)| (git_ref.clone(), head.clone())).collect()
}
