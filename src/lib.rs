//! coalesced: a debouncing build queue daemon.

pub mod backend;
pub mod build;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod driver;
pub mod emulator;
pub mod event;
pub mod http;
pub mod journal;
pub mod model;
pub mod refs;
pub mod scheduler;
pub mod source;
pub mod status;
pub mod telemetry;
pub mod verb;
