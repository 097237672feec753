//! The proof of a commit, in a module of its own: the scheduler requires it, and only the journal can make one.

/// The proof that a step's changes are on disk. Only a journal can make one.
#[derive(Debug)]
pub struct Committed(pub(super) ());
