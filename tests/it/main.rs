//! The one integration binary: scenarios in virtual time, properties, and black-box tests of the real program.

mod buttons;
mod coalesce;
mod commands;
mod daemon;
mod ingest;
mod outcomes;
mod properties;
mod restart;
mod scenarios;
mod secrets;
mod tidy;
mod world;
