//! The rules of one image, as plain numbers.

use std::sync::Arc;
use std::time::Duration;

use globset::GlobMatcher;

use crate::build::Capabilities;
use crate::model::GitRef;

/// How one image is coalesced and how its back-end is asked. Defaults: semantics §4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a key must be quiet before its build is due.
    pub quiet: Duration,
    /// The longest that an event waits for quiet.
    pub max_wait: Duration,
    /// Whether a build may be queued at the back-end while another runs.
    pub prequeue: bool,
    /// What the back-end can do. If it is blind, all fields after `expected_build_time` are unused.
    pub capabilities: Capabilities,
    /// Blind mode only: how long an accepted trigger is assumed to hold its place.
    pub expected_build_time: Duration,
    /// The first question after a trigger.
    pub observe_after: Duration,
    /// Then, growing to four times this, while a build is live.
    pub observe_every: Duration,
    /// How long an unseen build may still turn up, with a readable history.
    pub uncertain_grace: Duration,
    /// The same with an unreadable history.
    pub uncertain_limit: Duration,
    /// A build without an end is given up after this.
    pub build_deadline: Duration,
    /// How often a failed build is retried automatically.
    pub retry_failed: u32,
    /// The labels of the back-end's builds of a ref: see [`LabelRule`].
    pub labels: Vec<LabelRule>,
    /// The account whose limit this image's live builds count against.
    pub account: Option<AccountName>,
    /// How its remote is watched; None: not at all.
    pub reconcile: Option<Reconcile>,
}

/// How a remote's heads are compared with the commits that events asked for (semantics R11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconcile {
    /// Images with the same name here share a remote and its questions.
    pub remote: Arc<str>,
    pub every: Duration,
    /// Identifies the remote and the rules that select its refs: if it changes, refs that come into view
    /// are not new.
    pub rules: Arc<str>,
}

/// One entry of `image_tags`: builds of the refs that `refs` matches carry the label `label`.
#[derive(Clone, Debug)]
pub struct LabelRule {
    /// Matches the short name of a branch or tag.
    pub refs: GlobMatcher,
    /// The image's tag; `{tag}` and `{branch}` stand for the ref's short name.
    pub label: String,
}

impl PartialEq for LabelRule {
    fn eq(&self, other: &Self) -> bool {
        self.refs.glob() == other.refs.glob() && self.label == other.label
    }
}

impl Eq for LabelRule {}

/// An account's name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountName(Arc<str>);

impl From<&str> for AccountName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Policy {
    /// Semantics §4, for a back-end that can be asked but doesn't say when it takes its source.
    pub const DEFAULT: Self = Self {
        quiet: Duration::from_secs(30),
        max_wait: Duration::from_mins(10),
        prequeue: true,
        capabilities: Capabilities::DEFAULT,
        expected_build_time: Duration::from_mins(5),
        observe_after: Duration::from_secs(10),
        observe_every: Duration::from_secs(15),
        uncertain_grace: Duration::from_mins(3),
        uncertain_limit: Duration::from_mins(15),
        build_deadline: Duration::from_mins(250),
        retry_failed: 0,
        labels: Vec::new(),
        account: None,
        reconcile: None,
    };

    /// The labels of the back-end's builds of this ref; empty if none are configured.
    pub fn labels_of(&self, git_ref: &GitRef) -> Vec<String> {
        let rules = self.labels.iter().filter(|rule| rule.refs.is_match(git_ref.short()));
        rules.map(|rule| rule.label.replace("{tag}", git_ref.short()).replace("{branch}", git_ref.short())).collect()
    }
}
