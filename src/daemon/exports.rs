//! When the live state is exported next to the journal: soon after a change, at most every few minutes, and at
//! shutdown.
//!
//! An export holds the picture that the driver publishes after each step that is on disk, so no step waits for it and
//! none is seen half-done. While nothing changes, nothing runs: no timer, no write and no sync.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::driver::Handle;
use crate::journal::{JournalError, LiveState, Reader, Shown, Vitals, export};
use crate::model::Seq;
use crate::status::Picture;

/// The least time between two exports.
const EVERY: Duration = Duration::from_mins(5);
/// How long after a change the first export is made, so that one export covers a burst.
const SOON: Duration = Duration::from_secs(5);

/// Makes the exports of one daemon.
pub(super) struct Exports {
    task: tokio::task::JoinHandle<Exporter>,
    stop: CancellationToken,
}

struct Exporter {
    data_dir: PathBuf,
    picture: watch::Receiver<Picture>,
    reader: Reader,
    vitals: Arc<Vitals>,
    /// The edition of the picture that was exported last.
    edition: u64,
    /// The last attempt failed, and that was logged.
    is_failing: bool,
}

impl Exports {
    pub(super) fn begin(data_dir: &Path, handle: &Handle) -> Self {
        let (picture, reader, vitals) = handle.watch();
        // The previous process may have been killed after a change, so existing state counts as one. If an export holds
        // it already, none is written.
        let is_empty = picture.borrow().counters.0 == Seq(0);
        let edition = if is_empty { 0 } else { u64::MAX };
        let data_dir = data_dir.to_owned();
        let exporter = Exporter { data_dir, picture, reader, vitals, edition, is_failing: false };
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(exporter.run(stop.clone())), stop }
    }

    /// Exports the state after the last step. Call it once the driver has ended in order.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if let Ok(mut exporter) = self.task.await
            && exporter.picture.borrow().edition != exporter.edition
        {
            exporter.export().await;
        }
    }
}

impl Exporter {
    /// Runs until stopped. A stop waits for a file that is being written.
    async fn run(mut self, stop: CancellationToken) -> Self {
        let mut exported_at: Option<Instant> = None;
        loop {
            let is_due = tokio::select! {
                () = stop.cancelled() => false,
                is_due = self.until_due(exported_at) => is_due,
            };
            if !is_due {
                return self;
            }
            self.export().await;
            exported_at = Some(Instant::now());
        }
    }

    /// Waits for a change, and then until an export is due; false if there will be no more changes.
    async fn until_due(&mut self, exported_at: Option<Instant>) -> bool {
        let known = self.edition;
        if self.picture.wait_for(|picture| picture.edition != known).await.is_err() {
            return false;
        }
        let wait = exported_at.map_or(SOON, |at| SOON.max(EVERY.saturating_sub(at.elapsed())));
        tokio::time::sleep(wait).await;
        true
    }

    /// Exports the state after the last step. A failure is logged once; the next export is the retry.
    async fn export(&mut self) {
        let shown = {
            let picture = self.picture.borrow_and_update();
            self.edition = picture.edition;
            let (newest, newest_build) = picture.counters;
            Shown {
                lanes: picture.lanes.clone(),
                hold: picture.hold.clone(),
                newest,
                newest_build,
                newest_notice: picture.newest_notice,
            }
        };
        let (data_dir, reader, vitals) = (self.data_dir.clone(), self.reader.clone(), self.vitals.clone());
        let written = tokio::task::spawn_blocking(move || {
            let state = LiveState::of(shown, &reader)?;
            export::write(&data_dir, &state, &vitals)
        });
        let written =
            written.await.unwrap_or_else(|_| Err(JournalError::Write("making an export panicked".to_owned())));
        match written {
            Ok(path) => {
                tracing::debug!("wrote the export '{}'", path.display());
                self.is_failing = false;
            }
            Err(error) if !self.is_failing => {
                tracing::error!(
                    "failed to write an export; a damaged journal would be restored from an older one: {error}"
                );
                self.is_failing = true;
            }
            Err(error) => tracing::debug!("failed to write an export again: {error}"),
        }
    }
}
