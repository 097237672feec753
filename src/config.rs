//! The checked configuration: what the rest of the program sees of it, and how it is read from a file.
//!
//! A text becomes a [`Config`] with every default in its place, or all of its mistakes at once. Nothing is read
//! later: a configuration that was accepted can't fail afterwards. Must never show a secret, not even in a mistake.

mod access;
pub(crate) mod backend;
mod change;
mod effective;
mod filter;
mod image;
mod load;
mod policy;
pub(crate) mod reader;
mod rules;
pub mod secret;
pub(crate) mod shown;
mod watch;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use access::{ButtonConfig, SourceConfig, TokenConfig, TokenScope};
pub use backend::{Account, Accounts, BackendConfig};
pub use effective::Effective;
pub use filter::PathFilter;
pub use image::{ImageConfig, RemoteConfig};
pub(crate) use load::{Kinds, load, parse};
pub use policy::SkipRule;
pub use reader::address::Listen;
pub(crate) use reader::address::{public_url, repository};
pub use reader::diagnostic::{ConfigError, Diagnostic};
pub use rules::{Fixed, Rules};
pub use secret::Secret;

use crate::model::Timestamp;

/// Everything that is configured, checked, with every default in its place.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it came from; None for the demo's.
    pub file: Option<PathBuf>,
    /// What needs a restart to change.
    pub fixed: Fixed,
    /// What may change while the daemon runs.
    pub rules: Rules,
    /// What is allowed but unwise: shown by `check` and logged at start.
    pub warnings: Vec<String>,
}

/// The configuration of this directory.
pub const FILE_HERE: &str = "coalesced.toml";
/// The configuration of this machine.
pub const FILE_OF_SYSTEM: &str = "/etc/coalesced/coalesced.toml";

impl Config {
    /// What an operator must know, on that day, of the kinds of back-end that the images use.
    pub fn notices(&self, today: Timestamp) -> Vec<String> {
        let by_kind: BTreeMap<_, _> =
            self.rules.images.values().map(|image| (image.backend.kind(), &image.backend)).collect();
        by_kind.values().filter_map(|backend| backend.notice(today)).collect()
    }
}
