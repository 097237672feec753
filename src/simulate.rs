//! The real scheduler without the world around it: in virtual time, on a journal in memory.
//!
//! Each simulation has a model of its own of what is outside (senders, back-ends, remotes, clocks). What is the same in all
//! of them is here: [`VirtualDriver`], which takes the driver's turns. Nothing here may wait, read a clock, or touch the
//! world.

mod turn;

pub use self::turn::{Store, VirtualDriver};
