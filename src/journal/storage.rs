//! Where a driver commits its steps.

use std::sync::Arc;

use super::committed::Committed;
use super::error::JournalError;
use super::history::keys::Put;
use super::history::retention::Retention;
use super::vitals::Vitals;

/// Where a driver has its steps proven: the [`Journal`], or its twin in memory, which shows what the disk costs.
pub trait Storage: Send + 'static {
    /// Writes one step, whole, and waits until it is as safe as it will be.
    fn commit(
        &self,
        puts: Vec<Put>,
        retention: Retention,
    ) -> impl Future<Output = Result<Committed, JournalError>> + Send;

    /// How it is.
    fn vitals(&self) -> Arc<Vitals>;

    /// Ends it: after this nothing is written any more.
    fn close(self);
}
