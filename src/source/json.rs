//! What is wrong with a JSON text, worded so that a person can fix it and nothing secret is repeated.
//!
//! It owns the wording for malformed bodies. It must never quote a body beyond the one offending character.

use std::fmt;

/// A text that is not JSON, or not of the expected shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonMistake {
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub what: Diagnostic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnostic {
    /// JSON doesn't allow this character here.
    Character(char),
    /// It breaks a rule that is not about one character, such as a number out of range.
    Syntax,
    EndsTooEarly,
    /// It is JSON, but not of the shape that the sender's documentation describes.
    Shape,
}

impl JsonMistake {
    pub fn new(error: &serde_json::Error, body: &[u8]) -> Self {
        let line = error.line();
        let line_text = body.split(|&byte| byte == b'\n').nth(line.saturating_sub(1)).unwrap_or_default();
        let (column, character) = character_at(line_text, error.column());
        let what = match error.classify() {
            serde_json::error::Category::Eof => Diagnostic::EndsTooEarly,
            serde_json::error::Category::Data => Diagnostic::Shape,
            _ => character.map_or(Diagnostic::Syntax, Diagnostic::Character),
        };
        Self { line, column, what }
    }

    /// Whether the text is valid JSON, only with unexpected content.
    pub fn is_shape(&self) -> bool {
        self.what == Diagnostic::Shape
    }
}

/// The character that holds the byte at `column` (from 1) of `line_text`, and its position in characters.
fn character_at(line_text: &[u8], column: usize) -> (usize, Option<char>) {
    let text = String::from_utf8_lossy(line_text);
    // A line that is not UTF-8 was lengthened above; its byte columns no longer mean anything.
    if text.len() != line_text.len() || column == 0 {
        return (column, None);
    }
    let start = text.floor_char_boundary(column - 1);
    (text[..start].chars().count() + 1, text[start..].chars().next())
}

impl fmt::Display for JsonMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = (self.line, self.column);
        match self.what {
            Diagnostic::Character(c) if c.is_control() || c.is_whitespace() => write!(
                f,
                "the body is not valid JSON: the character U+{:04X} does not belong at line {line}, column {column}",
                u32::from(c)
            ),
            Diagnostic::Character(c) => write!(
                f,
                "the body is not valid JSON: the character {c} (U+{:04X}) does not belong at line {line}, column {column}",
                u32::from(c)
            ),
            Diagnostic::Syntax => write!(f, "the body is not valid JSON: mistake at line {line}, column {column}"),
            Diagnostic::EndsTooEarly => {
                write!(f, "the body is not valid JSON: it ends too early, at line {line}, column {column}")
            }
            Diagnostic::Shape => {
                write!(f, "the body is JSON of another shape than expected, from line {line}, column {column}")
            }
        }
    }
}

impl std::error::Error for JsonMistake {}

/// `text` with plain quotes and spaces instead of a phone's typographic ones.
pub fn with_plain_quotes(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{201c}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{2033}' => '"',
            '\u{2018}'..='\u{201b}' | '\u{2032}' => '\'',
            '\u{a0}' | '\u{202f}' => ' ',
            plain => plain,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(body: &str) -> JsonMistake {
        let error = serde_json::from_str::<serde_json::Value>(body).expect_err("not JSON");
        JsonMistake::new(&error, body.as_bytes())
    }

    #[test]
    fn the_character_at_fault_is_named_with_its_place() {
        let curly = mistake("{\n \u{201c}branch\u{201d}: 1}");
        assert_eq!((curly.line, curly.column, curly.what), (2, 2, Diagnostic::Character('\u{201c}')));
        let after_umlauts = mistake("{\"gr\u{fc}\u{df}e\": \u{201d}}");
        assert_eq!((after_umlauts.column, after_umlauts.what), (11, Diagnostic::Character('\u{201d}')));
        assert_eq!(mistake("{\"a\":").what, Diagnostic::EndsTooEarly);
    }

    #[test]
    fn a_body_that_is_not_text_is_refused_without_a_guess() {
        let body = b"{\"a\": \"\xff\xfe\", ?}";
        let error = serde_json::from_slice::<serde_json::Value>(body).expect_err("not JSON");
        assert_eq!(JsonMistake::new(&error, body).what, Diagnostic::Syntax);
    }
}
