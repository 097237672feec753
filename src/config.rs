//! The checked configuration: what the rest of the program sees of it, and how it is read from a file.
//!
//! A text becomes a [`Config`] with all defaults filled in, or a list of all its mistakes. Nothing is read later: an
//! accepted configuration can't fail afterwards. Must never show a secret, not even in a mistake.

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

/// The whole configuration, checked, with all defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from; None for the demo's.
    pub file: Option<PathBuf>,
    /// What can change only at a restart.
    pub fixed: Fixed,
    /// What may change while the daemon runs.
    pub rules: Rules,
    /// What is allowed but unwise: shown by `check` and logged at startup.
    pub warnings: Vec<String>,
}

/// The configuration file in the working directory.
pub const FILE_HERE: &str = "coalesced.toml";
/// The system-wide configuration file.
pub const FILE_OF_SYSTEM: &str = "/etc/coalesced/coalesced.toml";

impl Config {
    /// What an operator must know, on that day, about the kinds of back-end that the images use.
    pub fn notices(&self, today: Timestamp) -> Vec<String> {
        let by_kind: BTreeMap<_, _> =
            self.rules.images.values().map(|image| (image.backend.kind(), &image.backend)).collect();
        by_kind.values().filter_map(|backend| backend.notice(today)).collect()
    }
}
