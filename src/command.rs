//! What people may do to images besides asking for builds (semantics R9).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{ImageName, Timestamp};

/// A person's command, and the images it applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub verb: Verb,
    pub scope: Scope,
    /// Who gave it: a token's name, or `local` for a client on this machine.
    pub actor: String,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    Image(ImageName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Stop triggering builds and keep accepting events; for so long from the moment of the decision, or until resumed.
    Pause {
        length: Option<Duration>,
    },
    Resume,
    /// What is open is due now.
    Start,
    /// End open events, as dropped by a person.
    Drop,
    /// Ask the back-end to cancel what it holds; the places stay taken until the end is seen.
    Cancel,
}

/// A pause: who, why, until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    #[serde(alias = "whom")]
    pub actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
