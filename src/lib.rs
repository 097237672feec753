//! coalesced: a debouncing build queue daemon. Many pushes become few builds, and the last push is never lost.
//!
//! The map, in the order in which things happen (ARCHITECTURE.md has the details):
//!
//! - `model`, `event`, `build`, `command`, `reason`, `notice`, `remote`: the plain values
//! - `http`, `source`: requests come in, are authenticated, parsed and routed
//! - `driver`: the single owner; takes the waiting input, has the scheduler decide, writes, and only then acts
//! - `scheduler`: decides; pure
//! - `journal`: what is on disk
//! - `backend`: what builds
//! - `status`: what is shown
//! - `simulate`: the scheduler in virtual time
//! - `reload`: reads the configuration again while the daemon runs
//! - `config`, `cli`, `daemon`, `telemetry`: around it; `emulator`: a Docker Hub to try it against

// Tests wait for real sockets and processes; the wall around the clock is checked where the crate is built for use.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::large_stack_arrays))]

mod backend;
pub mod build;
pub mod cli;
mod client_file;
pub mod clock;
pub mod command;
pub mod config;
mod daemon;
pub mod driver;
pub mod emulator;
pub mod event;
pub mod http;
pub mod journal;
mod kinds;
pub mod model;
pub mod notice;
pub mod random;
pub mod reason;
mod refs;
mod reload;
pub mod remote;
pub mod scheduler;
pub mod simulate;
pub mod source;
pub mod status;
pub mod telemetry;
