//! How a file is read: its tables, its values, and what is wrong with them.
//!
//! Knows TOML, positions and how people write durations, addresses, globs and secrets. Must never know what a key
//! decides.

pub(crate) mod address;
pub(crate) mod diagnostic;
pub(crate) mod glob;
pub(crate) mod length;
pub(crate) mod reserved;
pub(crate) mod secrets;
pub(crate) mod section;
