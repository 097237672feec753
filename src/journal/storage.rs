//! Where a driver commits its steps.

use std::sync::Arc;

use super::committed::Committed;
use super::error::JournalError;
use super::history::keys::Put;
use super::history::retention::Retention;
use super::vitals::Vitals;

/// Where a driver commits its steps: the [`Journal`](super::Journal), or its in-memory twin, which shows what the disk costs.
pub trait Storage: Send + 'static {
    /// Writes one step atomically, and waits until it is as safe as it will be.
    fn commit(
        &self,
        puts: Vec<Put>,
        retention: Retention,
    ) -> impl Future<Output = Result<Committed, JournalError>> + Send;

    /// Its health.
    fn vitals(&self) -> Arc<Vitals>;

    /// Closes it: nothing is written after this.
    fn close(self);
}
