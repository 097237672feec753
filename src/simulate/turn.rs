//! The driver's turn in virtual time: decide, write, and only then act.
//!
//! The daemon's loop (`driver`) takes the same turn with a real clock and a disk. A simulation takes it in parts, so that
//! the process can die between any two:
//!
//! ```text
//! let step = driver.decide(now, inputs);      dies here: nothing has happened
//! let proof = driver.commit(&step);           dies here: the facts are on disk, and nothing outside has heard of them
//! for effect in step.release(proof) { … }     dies among them: some have happened
//!
//! let step = driver.restart(settings, now)?;  the next process takes up what is on disk, and goes on with `commit`
//! ```

use std::sync::Arc;

use crate::journal::{Committed, JournalError, MemoryJournal, Put, encode};
use crate::model::Timestamp;
use crate::scheduler::{Input, Scheduler, Settings, Snapshot, Step};

/// Where steps are written and what a restart finds: a [`MemoryJournal`], or a wrapper that watches, fails, or is
/// cheap to clone.
pub trait Store {
    /// Stores a step, whole.
    fn commit(&mut self, puts: Vec<Put>) -> Committed;

    /// What a process starting now finds.
    fn snapshot(&self) -> Result<Snapshot, JournalError>;
}

impl Store for MemoryJournal {
    fn commit(&mut self, puts: Vec<Put>) -> Committed {
        Self::commit(self, puts)
    }

    fn snapshot(&self) -> Result<Snapshot, JournalError> {
        Self::snapshot(self)
    }
}

/// A scheduler and what is on its disk, driven by hand.
///
/// A clone continues independently, as far as its store does (a [`MemoryJournal`] stays shared). It costs
/// little: the scheduler is copied when one of the two decides next.
#[derive(Clone, Debug)]
pub struct VirtualDriver<S = MemoryJournal> {
    scheduler: Arc<Scheduler>,
    store: S,
}

impl<S: Store> VirtualDriver<S> {
    /// Starts a process on what the store holds. Commit its first step like any other.
    pub fn start(settings: Settings, store: S, now: Timestamp) -> Result<(Self, Step), JournalError> {
        let (scheduler, step) = Scheduler::recover(settings, store.snapshot()?, now);
        Ok((Self { scheduler: Arc::new(scheduler), store }, step))
    }

    /// Drops what was in memory; a new process starts on what the store holds.
    pub fn restart(&mut self, settings: Settings, now: Timestamp) -> Result<Step, JournalError> {
        let (scheduler, step) = Scheduler::recover(settings, self.store.snapshot()?, now);
        self.scheduler = Arc::new(scheduler);
        Ok(step)
    }

    /// Decides on the input up to now. No input: only time has passed.
    pub fn decide(&mut self, now: Timestamp, inputs: impl IntoIterator<Item = Input>) -> Step {
        Arc::make_mut(&mut self.scheduler).handle(now, inputs)
    }

    /// Writes the step just decided. The proof releases its effects.
    pub fn commit(&mut self, step: &Step) -> Committed {
        self.store.commit(encode(step.changes(), &self.scheduler))
    }

    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    /// When it must decide next if there is no input.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.scheduler.deadline()
    }
}
