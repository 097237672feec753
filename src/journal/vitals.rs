//! The journal's health, for the watchdog, `/health` and the metrics.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::model::Timestamp;

/// A step that is not on disk after this long hangs: the watchdog is no longer fed.
pub const COMMIT_LIMIT: Duration = Duration::from_secs(10);

/// Written by the journal's thread, shared with everything that reports it.
#[derive(Debug)]
pub struct Vitals {
    begun: Instant,
    /// Milliseconds since `begun`, plus one, at which the current write began; 0: no write.
    busy_since: AtomicU64,
    ended: AtomicBool,
    restored: Option<Restored>,
    stray_files: usize,
    /// When the newest export was made, in milliseconds since the epoch; 0: not by this process.
    exported_at: AtomicI64,
    exports_failed: AtomicU64,
}

/// The journal was damaged, and an export replaced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub at: Timestamp,
    /// Where the damaged one is kept, or None if it no longer existed.
    pub quarantined: Option<PathBuf>,
    /// When the loaded export was made, or None if an earlier process loaded it.
    pub export_made_at: Option<Timestamp>,
}

impl Restored {
    /// What an operator should know and do: one sentence without a full stop. Of any path it names only the last part.
    pub fn sentence(&self) -> String {
        let of = match self.export_made_at {
            Some(made_at) => {
                format!("an export of {made_at} was loaded; what was accepted since then may be lost")
            }
            None => "an export was loaded; what was accepted after it was made may be lost".to_owned(),
        };
        let kept = self.quarantined.as_deref().and_then(|path| path.file_name()?.to_str());
        let kept = kept
            .map(|name| format!("; the damaged one is kept as '{name}': look at it, remove it and restart"))
            .unwrap_or_default();
        format!("the journal was found damaged at {}, and {of}{kept}", self.at)
    }
}

impl Vitals {
    #[expect(clippy::disallowed_methods, reason = "how long a write takes is measured by the real clock")]
    pub(super) fn new(restored: Option<Restored>, stray_files: usize) -> Self {
        Self {
            begun: Instant::now(),
            busy_since: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            restored,
            stray_files,
            exported_at: AtomicI64::new(0),
            exports_failed: AtomicU64::new(0),
        }
    }

    /// Whether the journal's thread lives, and neither hangs nor has hung in a write for longer than the limit.
    pub fn is_well(&self) -> bool {
        let busy_since = self.busy_since.load(Ordering::Acquire);
        let hangs = busy_since != 0 && self.millis().saturating_sub(busy_since - 1) > millis_of(COMMIT_LIMIT);
        !hangs && !self.ended.load(Ordering::Acquire)
    }

    pub fn restored(&self) -> Option<&Restored> {
        self.restored.as_ref()
    }

    /// Unsynced files next to the database; there should be none.
    pub fn stray_files(&self) -> usize {
        self.stray_files
    }

    /// When this process last made an export.
    pub fn exported_at(&self) -> Option<Timestamp> {
        let at = self.exported_at.load(Ordering::Relaxed);
        (at != 0).then(|| Timestamp::from_millis(at))
    }

    pub fn exports_failed(&self) -> u64 {
        self.exports_failed.load(Ordering::Relaxed)
    }

    pub(super) fn exported(&self, at: Timestamp) {
        self.exported_at.store(at.as_millis(), Ordering::Relaxed);
    }

    pub(super) fn export_failed(&self) {
        self.exports_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Marks a step as being written until the return value is dropped.
    pub(super) fn busy(&self) -> impl Drop + '_ {
        self.busy_since.store(self.millis() + 1, Ordering::Release);
        Idle(self)
    }

    /// Marks the thread as serving until the return value is dropped, however it ends.
    pub(super) fn serving(&self) -> impl Drop + '_ {
        Ended(self)
    }

    fn millis(&self) -> u64 {
        millis_of(self.begun.elapsed())
    }
}

struct Idle<'a>(&'a Vitals);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.busy_since.store(0, Ordering::Release);
    }
}

struct Ended<'a>(&'a Vitals);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
    }
}

fn millis_of(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_well_while_it_idles_or_writes_for_a_moment_and_not_when_a_write_hangs() {
        let mut vitals = Vitals::new(None, 0);
        assert!(vitals.is_well());
        let busy = vitals.busy();
        assert!(vitals.is_well());
        drop(busy);
        // As if the write had begun that long ago.
        vitals.begun = vitals.begun.checked_sub(COMMIT_LIMIT + Duration::from_secs(1)).expect("the machine is up");
        assert!(vitals.is_well());
        vitals.busy_since.store(1, Ordering::Release);
        assert!(!vitals.is_well());
        vitals.busy_since.store(0, Ordering::Release);
        drop(vitals.serving());
        assert!(!vitals.is_well());
    }
}
