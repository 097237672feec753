//! A back-end's configuration, whatever its kind.
//!
//! A kind defines its name, how its tables are read and shown, and what it can do. What it reads is stored here
//! opaquely: only the kind itself reads it again, when it connects. Must never name a kind, nor let a table's content
//! into a `Debug`: it holds secrets.

pub(crate) mod docker_hub;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::reader::reserved;
use super::reader::section::{Reader, Section, nearest, with_kind};
use super::shown::Shown;
use crate::build::Capabilities;
use crate::model::{ImageName, Timestamp};
use crate::scheduler::policy::{AccountName, LabelRule};

/// A kind of back-end, as the configuration knows it.
pub(crate) trait BackendKind: Sync {
    /// The value of `kind = "…"`, and the name of its account table if it has one.
    fn name(&self) -> &'static str;

    /// The required keys of `[image.NAME.backend]`, as the manual shows them, with SECRET in place of a secret. A test
    /// reads them.
    fn example(&self) -> &'static str;

    /// Reads an image's table, whose `kind` was already read. None if a mistake was reported.
    fn read(
        &self,
        reader: &mut Reader<'_>,
        section: &mut Section<'_>,
        image: Option<&ImageName>,
    ) -> Option<BackendTable>;

    /// Reads the top-level table that all images of the kind share, with its defaults if it is absent. None if the kind
    /// has no such table.
    fn account(&self, _reader: &mut Reader<'_>, _top: &mut Section<'_>) -> Option<Account> {
        None
    }

    /// What an operator who builds with it must know on that day.
    fn notice(&self, _today: Timestamp) -> Option<String> {
        None
    }
}

/// What a kind read from a table. Only the kind knows the type; others can check whether a reload changed it.
pub(crate) trait Keys: Any + Send + Sync {
    fn is_same(&self, other: &dyn Keys) -> bool;
}

impl<T: Any + PartialEq + Send + Sync> Keys for T {
    fn is_same(&self, other: &dyn Keys) -> bool {
        downcast(other) == Some(self)
    }
}

fn downcast<T: Any>(keys: &dyn Keys) -> Option<&T> {
    (keys as &dyn Any).downcast_ref()
}

/// An image's table, as read by a kind.
pub(crate) struct BackendTable {
    /// What the kind needs to connect.
    pub(crate) keys: Arc<dyn Keys>,
    /// The keys other than `kind`, with all defaults and without secrets.
    pub(crate) shown: Shown,
    pub(crate) policy: BackendPolicy,
}

/// What a back-end contributes to its image's policy.
pub(crate) struct BackendPolicy {
    /// Only the default: the operator's setting wins.
    pub(crate) prequeue: bool,
    pub(crate) capabilities: Capabilities,
    /// None: the default.
    pub(crate) expected_build_time: Option<Duration>,
    pub(crate) labels: Vec<LabelRule>,
    /// The account whose limit its builds count against.
    pub(crate) account: Option<AccountName>,
}

impl BackendPolicy {
    /// The policy of a back-end without an account, labels or a known build time.
    pub(crate) fn of(capabilities: Capabilities) -> Self {
        Self {
            prequeue: capabilities.has_waiting_place,
            capabilities,
            expected_build_time: None,
            labels: Vec::new(),
            account: None,
        }
    }
}

/// An account that images share, and the most builds that it runs at once.
#[derive(Clone)]
pub struct Account {
    pub(crate) name: &'static str,
    pub(crate) concurrent_builds: u32,
    /// What the kind needs to connect.
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) shown: Shown,
}

/// The accounts by table name.
#[derive(Clone, Debug, Default)]
pub struct Accounts(pub(crate) BTreeMap<&'static str, Account>);

impl Accounts {
    pub(super) fn read(reader: &mut Reader<'_>, kinds: &[&'static dyn BackendKind], top: &mut Section<'_>) -> Self {
        let accounts = kinds.iter().filter_map(|kind| kind.account(reader, top));
        Self(accounts.map(|account| (account.name, account)).collect())
    }

    /// How many builds each account may run at once.
    pub fn limits(&self) -> BTreeMap<AccountName, u32> {
        self.0.values().map(|account| (account.name.into(), account.concurrent_builds)).collect()
    }

    /// The account's table, for the kind whose type it is.
    pub(crate) fn keys<T: 'static>(&self, name: &str) -> Option<&T> {
        downcast(&*self.0.get(name)?.keys)
    }
}

/// The back-end of one image.
#[derive(Clone)]
pub struct BackendConfig {
    kind: &'static dyn BackendKind,
    keys: Arc<dyn Keys>,
    shown: Shown,
}

impl BackendConfig {
    pub(crate) fn new(kind: &'static dyn BackendKind, keys: Arc<dyn Keys>, shown: Shown) -> Self {
        Self { kind, keys, shown }
    }

    pub fn kind(&self) -> &'static str {
        self.kind.name()
    }

    /// The table's content, for the kind whose type it is.
    pub(crate) fn keys<T: 'static>(&self) -> Option<&T> {
        downcast(&*self.keys)
    }

    /// The table in force.
    pub(super) fn shown(&self) -> Shown {
        Shown::default().with("kind", self.kind()).and(self.shown.clone())
    }

    /// What an operator must know about its kind on that day.
    pub(super) fn notice(&self, today: Timestamp) -> Option<String> {
        self.kind.notice(today)
    }
}

/// Reads `[image.NAME.backend]`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    kinds: &[&'static dyn BackendKind],
    mut section: Section<'_>,
    image: Option<&ImageName>,
) -> Option<(BackendConfig, BackendPolicy)> {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    section.require(reader, "kind", &format!("write {}", with_kind(&names)));
    // If the kind is unknown, nothing can be said about the other keys.
    let word = section.string(reader, "kind")?;
    let Some(kind) = kinds.iter().find(|kind| kind.name() == word.text) else {
        let shown = word.text.escape_debug();
        let text = if reserved::BACKEND_KINDS.contains(&word.text) {
            format!("a back-end of kind \"{shown}\" is not supported in this version yet; write {}", with_kind(&names))
        } else {
            format!("there is no kind of back-end called '{shown}', {}", nearest(word.text, &names))
        };
        reader.report.mistake(word.at, text);
        return None;
    };
    let table = kind.read(reader, &mut section, image);
    section.finish(reader);
    let BackendTable { keys, shown, policy } = table?;
    Some((BackendConfig::new(*kind, keys, shown), policy))
}

impl PartialEq for BackendConfig {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.shown == other.shown && self.keys.is_same(&*other.keys)
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.shown == other.shown && self.keys.is_same(&*other.keys)
    }
}

impl fmt::Debug for BackendConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendConfig").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}
