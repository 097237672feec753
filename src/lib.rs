//! coalesced: a debouncing build queue daemon.

pub mod backend;
pub mod build;
pub mod config;
pub mod driver;
pub mod event;
pub mod http;
pub mod model;
pub mod scheduler;
pub mod source;
pub mod status;
pub mod verb;
