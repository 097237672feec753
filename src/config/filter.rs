//! `paths` and `ignore_authors`: which pushes are skipped because of their files or their authors (semantics R10).
//!
//! Owns the syntax of both. A pattern that could never match is a mistake: a filter that doesn't filter is worse than
//! none.

use std::sync::Arc;

use globset::GlobSet;
use sha2::{Digest, Sha256};

use super::reader::glob::globs;
use super::reader::section::{Reader, Section, Text};

/// The files that an image is built from, by their paths from the root of the repository.
#[derive(Clone, Debug)]
pub struct PathFilter {
    include: GlobSet,
    exclude: GlobSet,
    /// As written, for `check`.
    pub include_globs: Vec<String>,
    pub exclude_globs: Vec<String>,
    /// Fingerprint of the globs: pushes skipped by other globs must be looked at again.
    pub digest: Arc<str>,
}

/// The default of `include`: every file.
pub(super) const EVERY_FILE: &str = "**";
/// The longest author name, in bytes. GitHub's accounts have at most 39, plus `[bot]` for an app's.
const AUTHOR_BYTES_MAX: usize = 100;

impl PathFilter {
    pub(crate) fn new(include: (GlobSet, Vec<String>), exclude: (GlobSet, Vec<String>)) -> Self {
        let digest = Sha256::digest(format!("{:?} {:?}", include.1, exclude.1));
        Self {
            include: include.0,
            exclude: exclude.0,
            include_globs: include.1,
            exclude_globs: exclude.1,
            digest: hex::encode(&digest[..8]).into(),
        }
    }

    /// Whether the image is built from this file. `exclude` always wins.
    pub fn holds(&self, file: &str) -> bool {
        self.include.is_match(file) && !self.exclude.is_match(file)
    }

    fn holds_every_file(&self) -> bool {
        self.exclude_globs.is_empty() && self.include_globs.iter().any(|glob| glob == EVERY_FILE)
    }
}

/// Inner None: every file counts. Outer None: not written, or a mistake was reported.
#[expect(clippy::option_option, reason = "every file and not written are different answers")]
pub(super) fn paths(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Option<PathFilter>> {
    let value = section.value("paths")?;
    let Some(table) = value.get_ref().as_table() else {
        let form = "write paths = { include = [\"**\"], exclude = [\"drafts/**\"] }";
        reader.report.mistake(value.span().start, format!("'paths' must be a table, {form}"));
        return None;
    };
    let mut inner = Section::new(table, section.key_at("paths"));
    let include = patterns(reader, &mut inner, "include");
    let exclude = patterns(reader, &mut inner, "exclude");
    if include.as_ref().is_some_and(|(_, globs)| globs.is_empty()) {
        let text = "'include' is empty, so that no push would be built; write [\"**\"] for every file";
        reader.report.mistake(inner.key_at("include"), text);
    }
    inner.finish(reader);
    let every = || globs(reader, &[Text { text: EVERY_FILE, at: 0 }]);
    let filter = PathFilter::new(include.or_else(every)?, exclude.unwrap_or_default());
    Some(Some(filter).filter(|filter| !filter.holds_every_file()))
}

fn patterns(reader: &mut Reader<'_>, section: &mut Section<'_>, key: &'static str) -> Option<(GlobSet, Vec<String>)> {
    let texts = section.strings(reader, key)?;
    let mut right = true;
    for text in &texts {
        if let Some(why) = never_matches(text.text, key) {
            reader.report.mistake(text.at, why);
            right = false;
        }
    }
    if right { globs(reader, &texts) } else { None }
}

/// Why no file's path could match such a pattern.
fn never_matches(pattern: &str, key: &str) -> Option<String> {
    let shown = pattern.escape_debug();
    if let Some(rest) = pattern.strip_prefix('!') {
        let rest = rest.escape_debug();
        let instead = match key {
            "include" => format!("write \"{rest}\" under 'exclude' instead"),
            _ => "write 'include' without it instead".to_owned(),
        };
        return Some(format!("'{shown}' begins with '!', which has no meaning here, {instead}"));
    }
    let from_top = pattern.trim_start_matches("./").trim_start_matches('/');
    let bare = from_top.trim_end_matches('/').escape_debug();
    if from_top != pattern {
        Some(format!("'{shown}' matches no file: paths start at the top of the repository, write \"{bare}\""))
    } else if pattern.ends_with('/') {
        Some(format!("'{shown}' matches no file, write \"{bare}/**\" for everything below it"))
    } else {
        None
    }
}

/// The authors whose pushes are skipped; None if not written, or a mistake was reported.
pub(super) fn ignore_authors(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Vec<String>> {
    let texts = section.strings(reader, "ignore_authors")?;
    let form = "write the name of an account, such as \"renovate[bot]\"";
    for author in &texts {
        let shown = author.text.escape_debug();
        if author.text.trim().is_empty() {
            reader.report.mistake(author.at, format!("an author is empty, {form}"));
        } else if author.text.len() > AUTHOR_BYTES_MAX {
            reader.report.mistake(author.at, format!("an author is longer than {AUTHOR_BYTES_MAX} bytes, {form}"));
        } else if author.text.trim() != author.text {
            reader.report.mistake(author.at, format!("'{shown}' has white space at its ends, {form}"));
        } else if author.text.contains('@') {
            reader.report.mistake(author.at, format!("'{shown}' is an address, {form}"));
        }
    }
    Some(texts.into_iter().map(|author| author.text.to_owned()).collect())
}
