//! The one integration binary: scenarios in virtual time, properties, and black-box tests of the real program.

#[allow(dead_code, unreachable_pub, clippy::disallowed_methods, reason = "the verbs are shared by all black-box tests")]
mod daemon;
mod heads;
mod properties;
mod refs;
mod remote;
mod scenarios;
mod tidy;
mod world;
