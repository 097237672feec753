//! The policy keys, which can appear in `[defaults]` and in every image.

use std::time::Duration;

use super::filter::{self, PathFilter};
use super::reader::section::{Reader, Section, duration, nearest};
use super::reader::{length, reserved};
use crate::scheduler::policy::Policy;

/// When a push with skip markers is not built (semantics R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipRule {
    /// When every commit of it carries one.
    All,
    /// When its newest commit carries one.
    Head,
    Never,
}

/// The policy keys of one table, with those of the table before it as defaults.
#[derive(Clone)]
pub(super) struct PolicyKeys {
    /// The image fills in `prequeue`, `source_taken`, `observes`, `labels` and `account`.
    pub(super) policy: Policy,
    /// None: depends on the back-end.
    pub(super) prequeue: Option<bool>,
    pub(super) skip: SkipRule,
    pub(super) paths: Option<PathFilter>,
    pub(super) ignore_authors: Vec<String>,
    /// How often the remote is compared with what was requested; None: never.
    pub(super) reconcile_every: Option<Duration>,
}

impl PolicyKeys {
    /// Semantics §4.
    pub(super) const DEFAULT: Self = Self {
        policy: Policy::DEFAULT,
        prequeue: None,
        skip: SkipRule::All,
        paths: None,
        ignore_authors: Vec::new(),
        reconcile_every: Some(Duration::from_mins(15)),
    };
}

/// How often a failed build may be retried automatically, at most: beyond this it is a loop.
const RETRIES_MAX: u32 = 100;
/// The shortest time between two queries to a back-end.
const QUESTION_MIN: Duration = Duration::from_millis(10);
/// The shortest time between two queries to a remote, which may be someone else's.
const RECONCILE_MIN: Duration = Duration::from_secs(1);
/// The word for no queries to the remote.
pub(super) const OFF: &str = "off";
/// The shortest time after which a build is given up.
const LIMIT_MIN: Duration = Duration::from_millis(1);

/// Reads the policy keys of `section`; missing ones are taken from `base`.
pub(super) fn read(reader: &mut Reader<'_>, section: &mut Section<'_>, base: &PolicyKeys) -> PolicyKeys {
    let mut rules = base.clone();
    let policy = &mut rules.policy;
    let quiet = quiet(reader, section);
    let max_wait = section.duration(reader, "max_wait", Duration::ZERO);
    let readable = quiet.is_some() == section.has("quiet") && max_wait.is_some() == section.has("max_wait");
    set(&mut policy.quiet, quiet);
    set(&mut policy.max_wait, max_wait);
    if readable && (quiet.is_some() || max_wait.is_some()) {
        refuse_quiet_beyond_max_wait(reader, section, policy);
    }
    set(&mut policy.observe_after, section.duration(reader, "observe_after", Duration::ZERO));
    set(&mut policy.observe_every, section.duration(reader, "observe_every", QUESTION_MIN));
    set(&mut policy.uncertain_grace, section.duration(reader, "uncertain_grace", LIMIT_MIN));
    set(&mut policy.uncertain_limit, section.duration(reader, "uncertain_limit", LIMIT_MIN));
    set(&mut policy.build_deadline, section.duration(reader, "build_deadline", LIMIT_MIN));
    set(&mut policy.retry_failed, section.integer(reader, "retry_failed", 0..=RETRIES_MAX));
    set(&mut rules.skip, skip(reader, section));
    set(&mut rules.paths, filter::paths(reader, section));
    set(&mut rules.ignore_authors, filter::ignore_authors(reader, section));
    set(&mut rules.reconcile_every, reconcile_every(reader, section));
    rules.prequeue = section.boolean(reader, "prequeue").or(base.prequeue);
    rules
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn quiet(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Duration> {
    let value = section.value("quiet")?;
    if value.get_ref().as_str() == Some(reserved::QUIET_AUTO) {
        let text = "quiet = \"auto\" is not supported in this version yet; write a duration such as \"30s\"";
        reader.report.mistake(value.span().start, text);
        return None;
    }
    duration(reader, "quiet", value, Duration::ZERO)
}

/// Inner None: never. Outer None: not written, or a mistake was reported.
#[expect(clippy::option_option, reason = "'off' and not written are different answers")]
fn reconcile_every(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Option<Duration>> {
    let value = section.value("reconcile_every")?;
    if value.get_ref().as_str() == Some(OFF) {
        return Some(None);
    }
    duration(reader, "reconcile_every", value, RECONCILE_MIN).map(Some)
}

fn refuse_quiet_beyond_max_wait(reader: &mut Reader<'_>, section: &Section<'_>, policy: &Policy) {
    if policy.quiet <= policy.max_wait {
        return;
    }
    let at = section.key_at(if section.has("quiet") { "quiet" } else { "max_wait" });
    let (quiet, max_wait) = (length::written(policy.quiet), length::written(policy.max_wait));
    reader.report.mistake(
        at,
        format!("quiet ({quiet}) is longer than max_wait ({max_wait}), write a shorter quiet or a longer max_wait"),
    );
}

fn skip(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<SkipRule> {
    let word = section.string(reader, "skip")?;
    match word.text {
        "all" => return Some(SkipRule::All),
        "head" => return Some(SkipRule::Head),
        "never" => return Some(SkipRule::Never),
        other => {
            let hint = nearest(other, &["all", "head", "never"]);
            reader.report.mistake(word.at, format!("'skip' is not \"all\", \"head\" or \"never\", {hint}"));
        }
    }
    None
}
