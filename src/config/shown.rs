//! One table as `check` shows it: its keys in order, and a mask for each secret.

use serde::ser::{Serialize, Serializer};
use toml::Value;

/// Replaces a secret: it shows that there is one, but not its length or any part of it.
pub(crate) const MASK: &str = "(secret)";

/// A table to be shown. Absent values are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shown(Vec<(&'static str, Value)>);

impl Shown {
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((key, value.into()));
        self
    }

    pub(crate) fn with_any(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(crate) fn with_secret(self, key: &'static str) -> Self {
        self.with(key, MASK)
    }

    /// The keys of `self`, followed by those of the argument.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
