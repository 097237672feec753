//! What builds. A closed set, so an enum and not a trait object.
