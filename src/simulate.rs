//! The real scheduler without the outside world: in virtual time, on a journal in memory.
//!
//! Each simulation has its own model of the outside (senders, back-ends, remotes, clocks). What they share
//! is here: [`VirtualDriver`], which takes the driver's turns. Nothing here may wait, read a clock, or do
//! IO.

mod turn;

pub use self::turn::{Store, VirtualDriver};
