//! Reads Docker Hub's list of an image's actions as builds.
//!
//! The list was never documented, so each field may be missing or of another type, and only what can't be tracked at
//! all (an entry without an id) is left out. No URL in it is ever called.

mod build;

use std::collections::BTreeSet;

use serde_json::Value;

use super::urls;
use crate::backend::answer::{Answer, Unreadable};
use crate::backend::dates;
use crate::build::{BackendBuild, Observation, ObserveError};
use crate::model::{ImageName, Timestamp};

/// The pages read so far.
pub(super) struct History<'a> {
    api: &'a str,
    image: &'a ImageName,
    builds: Vec<BackendBuild>,
    seen: BTreeSet<String>,
    /// How many entries were read, builds or not.
    entries: usize,
    newest_created: Option<Timestamp>,
    last_created: Option<Timestamp>,
    /// Whether there are unread entries.
    more: bool,
    clock_ahead_ms: i64,
    asked_at: Timestamp,
}

impl<'a> History<'a> {
    /// Reads the first page. `api` is the base of the pages that people open.
    pub(super) fn begin(api: &'a str, image: &'a ImageName, answer: &Answer) -> Result<Self, ObserveError> {
        let mut history = Self {
            api,
            image,
            builds: Vec::new(),
            seen: BTreeSet::new(),
            entries: 0,
            newest_created: None,
            last_created: None,
            more: false,
            clock_ahead_ms: dates::clock_ahead_ms(&answer.headers, answer.asked_at, answer.answered_at),
            asked_at: answer.asked_at,
        };
        match page_of(answer) {
            Ok(page) => history.read(&page),
            Err(detail) => return Err(ObserveError::Unavailable { detail }),
        }
        Ok(history)
    }

    /// Where the next page begins, if there is one and it may still be read.
    pub(super) fn next_offset(&self) -> Option<usize> {
        (self.more && self.entries > 0 && self.entries < Observation::BUILDS_MAX).then_some(self.entries)
    }

    /// Reads one more page; an unreadable one changes nothing.
    pub(super) fn go_on(&mut self, answer: &Answer) {
        if let Ok(page) = page_of(answer) {
            self.read(&page);
        }
    }

    pub(super) fn into_observation(self) -> Observation {
        let complete_since = self.more.then(|| self.reach());
        Observation { builds: self.builds, complete_since, clock_ahead_ms: self.clock_ahead_ms }
    }

    fn read(&mut self, page: &Value) {
        let entries = entries_of(page).map_or(&[][..], Vec::as_slice);
        let room = Observation::BUILDS_MAX.saturating_sub(self.entries);
        for entry in &entries[..entries.len().min(room)] {
            let created = build::created(entry).map(|moment| self.ours(moment));
            self.newest_created = self.newest_created.or(created);
            self.last_created = created.or(self.last_created);
            if let Some(build) = build::build(entry, self.api, self.image, |moment| self.ours(moment))
                && self.seen.insert(build.id.0.clone())
            {
                self.builds.push(build);
            }
        }
        self.entries += entries.len();
        self.more = entries.len() > room || says_more(page, self.entries, entries.len());
    }

    /// The time since which nothing is missing. The list is newest first; if its dates contradict that or are missing,
    /// unread entries may be as new as the question.
    fn reach(&self) -> Timestamp {
        match (self.newest_created, self.last_created) {
            (Some(newest), Some(last)) if last <= newest => last,
            _ => self.asked_at,
        }
    }

    /// Converts a time of Docker Hub's clock to ours.
    fn ours(&self, theirs: Timestamp) -> Timestamp {
        Timestamp::from_millis(theirs.as_millis().saturating_sub(self.clock_ahead_ms))
    }
}

fn page_of(answer: &Answer) -> Result<Value, String> {
    if let Err(Unreadable(why)) = &answer.body {
        return Err(format!("the list can't be read: {why}"));
    }
    // An answer without a list must not pass for an empty list: "no builds" reopens events.
    answer.json().filter(|page| entries_of(page).is_some()).ok_or_else(|| "the answer is no list of actions".to_owned())
}

fn entries_of(page: &Value) -> Option<&Vec<Value>> {
    page.get("objects").unwrap_or(page).as_array()
}

/// Whether the list continues after this page of `length` entries, `read` in all.
fn says_more(page: &Value, read: usize, length: usize) -> bool {
    let meta = page.get("meta");
    let total = meta.and_then(|meta| meta.get("total_count")).and_then(Value::as_f64);
    match meta.and_then(|meta| meta.get("next")) {
        Some(Value::String(next)) => !next.is_empty(),
        Some(Value::Null | Value::Bool(false)) => false,
        Some(_) => true,
        // No indication: a full page counts as one of several.
        None => match total {
            #[expect(clippy::cast_precision_loss, reason = "a count of at most some hundred")]
            Some(total) => total > read as f64,
            None => length >= urls::PAGE_LENGTH,
        },
    }
}

#[cfg(test)]
mod tests;
