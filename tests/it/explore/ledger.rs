//! What is on its way between the senders, the scheduler and the back-end, and what is counted for the judges.

use coalesced::build::BuildRequest;
use coalesced::model::Seq;

use super::backend::Build;
use super::moves::CallFate;
use super::scope::REFS;

/// A push or a tap, as its sender knows it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub git_ref: usize,
    /// None: a tap.
    pub commit: Option<u8>,
    pub at: i64,
    pub on_its_way: bool,
    /// The event that it is on disk.
    pub seq: Option<Seq>,
}

/// An event that is on disk, and the commit of its ref that it must see built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanting {
    pub seq: Seq,
    pub git_ref: usize,
    pub needs: u8,
    pub tap: bool,
}

/// A trigger call on its way.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub request: BuildRequest,
    pub at: i64,
    /// The newest event when it was decided.
    pub through: Seq,
    pub answer: Option<CallFate>,
}

/// A question on its way.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub id: u64,
    pub at: i64,
    /// What the back-end will answer, once it was looked up.
    pub seen: Option<Vec<Build>>,
}

/// What is counted for I4 and I8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Books {
    /// Events that opened their key.
    pub opened: u8,
    /// Builds that actually existed.
    pub made: u8,
    pub crashes: u8,
    /// Calls whose effect could not be known.
    pub uncertain: u8,
    pub vanished: u8,
    pub unreadable: u8,
    /// Builds whose commit was older than what they were to cover.
    pub contradicted: u8,
    /// Builds that hold nothing that an earlier one didn't, where the source is taken at the trigger.
    pub superfluous: u8,
    /// Refs with an accepted event that is in no source yet.
    pub unsatisfied: [bool; REFS],
}
