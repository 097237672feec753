//! The newest complete export replaces a journal that is damaged or gone. Without one nothing is touched.

use std::sync::Arc;
use std::time::Duration;

use super::paths::Paths;
use super::verify::{VerifiedStore, create_at, expect_openable, open_verified};
use crate::clock::wall;
use crate::journal::error::JournalError;
use crate::journal::export;
use crate::journal::lock::Lock;
use crate::journal::vitals::Restored;

/// Puts the newest complete export in place of a journal that is damaged or gone.
pub(super) fn restore(
    paths: &Paths,
    lock: &Arc<Lock>,
    why: &str,
    patience: Duration,
    restored: &mut Option<Restored>,
) -> Result<VerifiedStore, JournalError> {
    let Some((export, head, mut state)) = export::newest_whole(&paths.exports)? else {
        return Err(JournalError::Damaged {
            directory: paths.journal.clone(),
            exports: paths.exports.clone(),
            why: why.to_owned(),
        });
    };
    state.leave_gap();
    let quarantined = if paths.journal.exists() { Some(paths.quarantine()?) } else { None };
    // A kill between the two leaves a journal set aside and none in place: the next start gets here again.
    create_at(paths, lock, |store| store.load(&state.entries()))?;
    let whole = expect_openable(open_verified(paths, lock, patience), paths)?;
    paths.forget_quarantined();
    let at = wall();
    let age = humantime::format_duration(Duration::from_secs(at.since(head.made_at).as_secs()));
    let kept = quarantined.as_deref().map(|path| format!(" and kept as '{}'", path.display())).unwrap_or_default();
    tracing::error!(
        "the journal in '{}' was damaged ({why}){kept}; '{}', made {age} ago, was loaded in its place: what was \
         accepted since then may be lost",
        paths.journal.display(),
        export.display(),
    );
    let quarantined = match quarantined {
        Some(path) => Some(path),
        None => paths.newest_quarantined()?.map(|(path, _)| path),
    };
    *restored = Some(Restored { at, quarantined, export_made_at: Some(head.made_at) });
    Ok(whole)
}
