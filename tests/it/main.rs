//! The one integration binary: scenarios in virtual time, properties, and black-box tests of the real program.

// Tests of real processes wait by the real clock.
#![allow(clippy::disallowed_methods)]
// One binary, many modules: `pub` is how they share.
#![allow(unreachable_pub)]

mod binary;
mod boundaries;
mod buttons;
mod coalesce;
mod commands;
mod crash;
mod daemon;
mod damage;
mod disk;
mod explore;
mod faults;
mod filters;
mod heads;
mod ingest;
mod journal;
mod journeys;
mod kills;
mod kinds;
mod metrics;
mod outcomes;
mod power;
mod properties;
mod refs;
mod reload;
mod remote;
mod restart;
mod scenarios;
mod secrets;
mod seeds;
mod sim;
mod tidy;
mod world;
