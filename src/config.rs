//! The checked configuration: what the rest of the program sees of it.

pub mod secret;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use globset::GlobSet;

pub use secret::Secret;

use crate::model::{GitRef, ImageName};
use crate::scheduler::policy::Policy;

/// Everything that is configured, checked, with every default in its place.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it came from; None for the demo's.
    pub file: Option<PathBuf>,
    pub listen: Vec<Listen>,
    pub data_dir: PathBuf,
    /// Without a slash at the end.
    pub public_url: Option<String>,
    pub images: BTreeMap<ImageName, ImageConfig>,
    pub sources: BTreeMap<String, SourceConfig>,
    pub buttons: BTreeMap<String, ButtonConfig>,
    pub tokens: BTreeMap<String, TokenConfig>,
    pub docker_hub: DockerHubConfig,
    /// The most connections at once.
    pub connections_max: usize,
    /// How long events and builds are kept (R12).
    pub history: Duration,
    /// What is allowed but unwise: shown by `check` and logged at start.
    pub warnings: Vec<String>,
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
    /// Globs over short names. None: the repository's default branch only.
    pub branches: Option<GlobSet>,
    /// The globs as written, for `check`.
    pub branch_globs: Option<Vec<String>>,
    pub tags: GlobSet,
    pub tag_globs: Vec<String>,
    pub skip: SkipRule,
    pub policy: Policy,
    pub backend: BackendConfig,
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
