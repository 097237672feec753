//! The checked configuration: what the rest of the program sees of it, and how it is read from a file.
//!
//! A text becomes a [`Config`] with every default in its place, or all of its mistakes at once. Nothing is read
//! later: a configuration that was accepted can't fail afterwards. Must never show a secret, not even in a mistake.

mod address;
mod diagnostic;
mod effective;
mod entrance_read;
mod filter;
mod image_read;
mod length;
mod not_yet;
mod policy_read;
mod read;
mod rules;
pub mod secret;
mod secret_read;
mod section;
mod watch;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use globset::GlobSet;

pub use address::TRIGGER_URL_PLACEHOLDER;
pub(crate) use address::{public_url, repository, trigger_url};
pub use diagnostic::{ConfigError, Diagnostic};
pub use effective::Effective;
pub use filter::PathFilter;
pub use rules::{Fixed, Rules};
pub use secret::Secret;

use crate::model::{GitRef, ImageName};
use crate::scheduler::policy::Policy;

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
    /// Reads and checks the file at `path`, with this process's environment.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        read::load(path)
    }

    /// Checks the text of a configuration. `file_name` is what mistakes call it, `base_dir` is what relative paths
    /// in it start from, and `variable` is the environment.
    pub fn parse(
        text: &str,
        file_name: &str,
        base_dir: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        read::parse(text, file_name, base_dir, variable, false)
    }

    /// Which file to load: the one that was named, else the first that exists of [`FILE_HERE`] and
    /// [`FILE_OF_SYSTEM`].
    pub fn find(explicit: Option<&Path>) -> Result<PathBuf, ConfigError> {
        if let Some(path) = explicit {
            return Ok(path.to_owned());
        }
        let known = [FILE_HERE, FILE_OF_SYSTEM].into_iter().map(PathBuf::from);
        known.into_iter().find(|path| path.exists()).ok_or(ConfigError::NotFound)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Debug)]
pub struct ImageConfig {
    /// `host/owner/name`, lower case; pushes to it make events here.
    pub repository: Option<String>,
    /// Where the heads of its refs can be read. None: nowhere, or that is switched off.
    pub remote: Option<RemoteConfig>,
    /// Globs over short names. None: the repository's default branch only.
    pub branches: Option<GlobSet>,
    /// The globs as written, for `check`.
    pub branch_globs: Option<Vec<String>>,
    pub tags: GlobSet,
    pub tag_globs: Vec<String>,
    pub skip: SkipRule,
    /// Which files it is built from. None: all.
    pub paths: Option<PathFilter>,
    /// Whose pushes are passed over, by the names of their accounts.
    pub ignore_authors: Vec<String>,
    pub policy: Policy,
    pub backend: BackendConfig,
}

/// A repository as Git reaches it.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// https, http, ssh, git or file; without a password.
    pub url: String,
    pub token: Option<Secret>,
}

/// When a push with skip markers is not built (semantics R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipRule {
    /// When every commit of it carries one.
    All,
    /// When its newest commit carries one.
    Head,
    Never,
}

#[derive(Clone, Debug)]
pub enum BackendConfig {
    DockerHub(DockerHubBackendConfig),
}

#[derive(Clone, Debug)]
pub struct DockerHubBackendConfig {
    /// Of the old or the new form; it is a password.
    pub trigger_url: Secret,
    /// Both or none: without them the back-end is blind.
    pub login: Option<Login>,
}

#[derive(Clone, Debug)]
pub struct Login {
    pub username: String,
    pub token: Secret,
}

/// One account and base address for all images on Docker Hub.
#[derive(Clone, Debug)]
pub struct DockerHubConfig {
    /// Without a slash at the end.
    pub api: String,
    /// The account's limit, shared by its images.
    pub concurrent_builds: u32,
}

/// A table `[source.NAME]`, served at `/hooks/NAME`.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    pub kind: SourceKind,
    /// Any may match: rotation.
    pub secrets: Vec<Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    GitHub,
}

/// A table `[button.NAME]`, served at `/buttons/NAME`.
#[derive(Clone, Debug)]
pub struct ButtonConfig {
    pub token: Secret,
    pub image: ImageName,
    pub git_ref: GitRef,
    /// Whether GET presses it: link previews do, too.
    pub allow_get: bool,
    /// Whether the body may name another branch or tag.
    pub allow_override: bool,
}

/// A table `[token.NAME]`, for `/v1`.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    pub secret: Secret,
    pub scope: TokenScope,
    /// Which images it reaches; None: all.
    pub images: Option<GlobSet>,
    pub image_globs: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenScope {
    Read,
    Trigger,
    Admin,
}
