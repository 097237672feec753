//! The one integration binary: scenarios in virtual time, properties, and black-box tests of the real program.

mod properties;
mod scenarios;
mod sim;
mod tidy;
mod world;
