//! A page's format: the types stored in it, and how a text becomes one of them and back.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::journal::error::{JournalError, parse_failed};

/// The layout of the rest of the page.
pub(super) const LAYOUT: u8 = 2;
/// A record as stored in the page: the order of fields and variants here and below is the format.
#[derive(Serialize, Deserialize)]
pub(super) enum Packed<'a> {
    Seen {
        first: u64,
        count: u32,
        at: i64,
        fingerprints: Vec<[u8; 16]>,
    },
    #[serde(borrow)]
    Event(PackedEvent<'a>),
}

#[derive(Serialize, Deserialize)]
pub(super) struct PackedEvent<'a> {
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) image: Again<'a>,
    pub(super) git_ref: Again<'a>,
    #[serde(borrow)]
    pub(super) commit: Option<Commit<'a>>,
    pub(super) kind: StoredKind,
    pub(super) source: Again<'a>,
    pub(super) actor: Again<'a>,
    #[serde(borrow)]
    pub(super) delivery: Option<DeliveryId<'a>>,
    pub(super) reason: Again<'a>,
    #[serde(borrow)]
    pub(super) verdict: StoredVerdict<'a>,
}

/// A text that may be the same as in the page's previous event: in a burst most are.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Again<'a> {
    None,
    Same,
    Text(&'a str),
}

/// A commit: nearly all are 40 hexadecimal digits.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(in crate::journal) enum Commit<'a> {
    Sha1([u8; 20]),
    Other(&'a str),
}

/// A delivery's id: GitHub, and most other senders, use a UUID.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(in crate::journal) enum DeliveryId<'a> {
    Uuid([u8; 16]),
    Other(&'a str),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum StoredKind {
    Push,
    Button,
    Api,
    Recovered,
}

/// The reason is a text: either a sentence, as in journals of older versions, or JSON. The first byte tells which: no
/// sentence begins with a brace or a quotation mark.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::journal) enum StoredVerdict<'a> {
    Opened,
    AlreadyBuilt,
    #[serde(borrow)]
    Skipped(Cow<'a, str>),
    #[serde(borrow)]
    Ignored(Cow<'a, str>),
    RefDeleted,
    DuplicateOf(&'a str),
}

/// The texts of the page's last event.
#[derive(Clone, Copy, Default)]
pub(super) struct Texts<'a> {
    pub(super) image: Option<&'a str>,
    pub(super) git_ref: Option<&'a str>,
    pub(super) source: Option<&'a str>,
    pub(super) actor: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
}

impl<'a> Again<'a> {
    pub(super) fn of(text: Option<&'a str>, last: Option<&str>) -> Self {
        match text {
            None => Self::None,
            Some(_) if text == last => Self::Same,
            Some(text) => Self::Text(text),
        }
    }

    pub(super) fn text(self, last: Option<&'a str>) -> Result<Option<&'a str>, JournalError> {
        match self {
            Self::None => Ok(None),
            Self::Same if last.is_none() => Err(parse_failed("an event repeats what the one before it does not say")),
            Self::Same => Ok(last),
            Self::Text(text) => Ok(Some(text)),
        }
    }
}

impl<'a> Commit<'a> {
    /// Of digits in lower case.
    pub(super) fn of(text: &'a str) -> Self {
        let mut bytes = [0; 20];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Self::Sha1(bytes),
            Err(_) => Self::Other(text),
        }
    }

    pub(in crate::journal) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Sha1(bytes) => hex::encode(bytes).into(),
            Self::Other(text) => (*text).into(),
        }
    }
}

impl<'a> DeliveryId<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut digits = [0; 32];
        let mut bytes = [0; 16];
        for (place, digit) in digits.iter_mut().zip(text.bytes().filter(|byte| *byte != b'-')) {
            *place = digit;
        }
        match hex::decode_to_slice(digits, &mut bytes) {
            // Only the canonical form is packed, so that other ids come back unchanged, too.
            Ok(()) if uuid(bytes) == text => Self::Uuid(bytes),
            _ => Self::Other(text),
        }
    }

    pub(in crate::journal) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Uuid(bytes) => uuid(*bytes).into(),
            Self::Other(text) => (*text).into(),
        }
    }
}

pub(super) fn reason_text<T: Serialize>(reason: &T) -> Cow<'static, str> {
    serde_json::to_string(reason).expect("plain values can be written to memory").into()
}

pub(super) fn reason_of<T: DeserializeOwned>(text: &str, told: impl FnOnce(String) -> T) -> Result<T, JournalError> {
    if is_json(text) { serde_json::from_str(text).map_err(parse_failed) } else { Ok(told(text.to_owned())) }
}

fn is_json(text: &str) -> bool {
    text.starts_with(['{', '"'])
}

/// As RFC 9562 writes it, in lower case.
fn uuid(bytes: [u8; 16]) -> String {
    let mut text = hex::encode(bytes);
    for dash in [20, 16, 12, 8] {
        text.insert(dash, '-');
    }
    text
}
