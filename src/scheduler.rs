//! PURE: decides when each image is built.

pub mod policy;
