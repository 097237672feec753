//! The one integration binary: scenarios in virtual time, properties, and black-box tests of the real program.

mod coalesce;
mod daemon;
mod ingest;
mod outcomes;
mod properties;
mod restart;
mod scenarios;
mod tidy;
mod world;
