//! The checked configuration: what the rest of the program sees of it, and how it is read from a file.
//!
//! A text becomes a [`Config`] with every default in its place, or all of its mistakes at once. Nothing is read
//! later: a configuration that was accepted can't fail afterwards. Must never show a secret, not even in a mistake.

mod access;
mod backend;
mod effective;
mod filter;
mod image;
mod load;
mod policy;
mod reader;
mod rules;
pub mod secret;
mod watch;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use access::{ButtonConfig, SourceConfig, SourceKind, TokenConfig, TokenScope};
pub use backend::{BackendConfig, DockerHubBackendConfig, DockerHubConfig, Login};
pub use effective::Effective;
pub use filter::PathFilter;
pub use image::{ImageConfig, RemoteConfig};
pub use policy::SkipRule;
pub use reader::address::{Listen, TRIGGER_URL_PLACEHOLDER};
pub(crate) use reader::address::{public_url, repository, trigger_url};
pub use reader::diagnostic::{ConfigError, Diagnostic};
pub use rules::{Fixed, Rules};
pub use secret::Secret;

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
