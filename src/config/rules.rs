//! A configuration in two parts: what is fixed at startup, and what may change while the daemon runs.
//!
//! [`Fixed`] is read once: sockets, files and limits that belong to the process. [`Rules`] are published as one `Arc`,
//! and every reader reads that one value: no part of them may be copied and kept elsewhere, or a reload would take
//! effect in one module and not in another.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::access::{ButtonConfig, SourceConfig, TokenConfig};
use super::backend::Accounts;
use super::image::ImageConfig;
use super::reader::address::Listen;
use crate::model::ImageName;

/// What can change only at a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    pub listen: Vec<Listen>,
    pub data_dir: PathBuf,
    /// Without a trailing slash.
    pub public_url: Option<String>,
    /// The most simultaneous connections.
    pub connections_max: usize,
    /// How long events and builds are kept (R12).
    pub history: Duration,
    /// How many events, and how many builds, are kept at most.
    pub history_events: u32,
}

/// What may change while the daemon runs.
#[derive(Clone, Debug)]
pub struct Rules {
    pub images: BTreeMap<ImageName, ImageConfig>,
    pub sources: BTreeMap<String, SourceConfig>,
    pub buttons: BTreeMap<String, ButtonConfig>,
    pub tokens: BTreeMap<String, TokenConfig>,
    pub accounts: Accounts,
}
