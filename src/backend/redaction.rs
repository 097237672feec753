//! Makes text from outside fit to be shown: one short line, without our secrets.

use std::fmt;

use reqwest::Url;

/// The longest text that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 200;
const REDACTED: &str = "(secret)";
/// In a URL of neither known form, parts at least this long are treated as secrets.
const UNKNOWN_PART_BYTES_MIN: usize = 6;

/// What must not be shown. It has no way to show it itself.
#[derive(Clone)]
pub(super) struct Redaction {
    /// Lower case, none empty, longest first, so that a part never spoils the whole that contains it.
    secrets: Vec<String>,
}

impl Redaction {
    pub(super) fn none() -> Self {
        Self { secrets: Vec::new() }
    }

    /// The secret parts of a trigger URL, as configured and as sent: what follows `source` and `trigger` in its path,
    /// and its query.
    pub(super) fn of_trigger_url(configured: &str, sent: &Url) -> Self {
        let mut redaction = Self::none();
        for text in [configured.trim(), sent.as_str()] {
            let after_host = text.split_once("://").map_or(text, |(_, rest)| rest);
            let (path, query) = after_host.split_once(['?', '#']).unwrap_or((after_host, ""));
            query.split(['&', '=', '#']).for_each(|part| redaction.add(part));
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let known_form = parts.contains(&"trigger");
            for (index, part) in parts.iter().enumerate() {
                let follows = |word| index > 0 && parts[index - 1] == word;
                let is_secret = if known_form {
                    follows("source") || follows("trigger")
                } else {
                    part.len() >= UNKNOWN_PART_BYTES_MIN
                };
                if is_secret {
                    redaction.add(part);
                }
            }
        }
        redaction
    }

    pub(super) fn add(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.secrets.push(secret.to_ascii_lowercase());
            self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// The text without secrets, line ends and other control characters, cut to 200 characters.
    ///
    /// Cut last: half a secret at the end would not be recognised.
    pub(super) fn shown(&self, text: &str) -> String {
        let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
        for secret in &self.secrets {
            text = without(&text, secret);
        }
        text.chars().take(SHOWN_CHARS_MAX).collect()
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction").finish_non_exhaustive()
    }
}

/// Replaces `secret`, which is in lower case, whatever its case in `text`.
fn without(text: &str, secret: &str) -> String {
    // Lowering ASCII letters moves no bytes, so positions in both texts are the same.
    let lowered = text.to_ascii_lowercase();
    let mut result = String::with_capacity(text.len());
    let mut end = 0;
    for (start, found) in lowered.match_indices(secret) {
        result.push_str(&text[end..start]);
        result.push_str(REDACTED);
        end = start + found.len();
    }
    result.push_str(&text[end..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction(url: &str) -> Redaction {
        Redaction::of_trigger_url(url, &Url::parse(url).expect("a URL"))
    }

    #[test]
    fn both_forms_lose_their_secret_parts_however_written() {
        let new = redaction("https://hub.docker.com/api/build/v1/source/test-source-1/trigger/test-token-2/call/");
        let text = "Source TEST-SOURCE-1 or trigger test-token-2 does not exist (api build call)";
        assert_eq!(new.shown(text), "Source (secret) or trigger (secret) does not exist (api build call)");
        let old = redaction("https://registry.hub.docker.com/u/mrraph/blog/trigger/test-token-3/");
        assert_eq!(old.shown("mrraph/blog: bad test-token-3"), "mrraph/blog: bad (secret)");
        let unknown = redaction("https://example.org/start/test-token-4?key=test-token-5");
        assert_eq!(unknown.shown("no test-token-4, test-token-5"), "no (secret), (secret)");
    }

    #[test]
    fn a_secret_across_the_cut_or_with_control_characters_in_it_does_not_escape() {
        let redaction = redaction("https://hub.docker.com/u/a/b/trigger/test-token-6/");
        let across = format!("{}test-token-6", "x".repeat(SHOWN_CHARS_MAX - 5));
        assert!(!redaction.shown(&across).contains("test"));
        assert_eq!(redaction.shown("a\u{1b}[2Jb\r\nc test-\ntoken-6"), "a[2Jbc (secret)");
        assert_eq!(redaction.shown(&"é".repeat(300)).chars().count(), SHOWN_CHARS_MAX);
    }
}
