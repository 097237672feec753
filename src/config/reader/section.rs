//! One table of the file while it is being read: every key is requested by name, and any other is refused.
//!
//! Knows TOML's types and positions, nothing of what the keys mean. Never quotes a value: it may be a secret.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Report;
use super::length;

/// What is needed to interpret a file, apart from its text.
pub(crate) struct Reader<'a> {
    pub(crate) report: Report<'a>,
    /// The base of relative paths in the file.
    pub(crate) base_dir: &'a Path,
    /// The environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Other users of the machine can read the file itself.
    pub(crate) exposed: bool,
}

/// A table that is being read.
pub(crate) struct Section<'a> {
    /// None if the file doesn't have it and all of it is optional.
    table: Option<&'a DeTable<'a>>,
    /// The byte offset of the table's name, used as the position of the table as a whole.
    pub(crate) at: usize,
    /// Every key that this table may have, once all have been requested.
    known: Vec<&'static str>,
    /// Reserved keys.
    reserved: &'static [&'static str],
}

/// A text, and its position.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

pub(crate) type Value<'a> = Spanned<DeValue<'a>>;

/// The longest configurable duration: 100 years. Sums of such durations stay far from the end of any clock.
const DURATION_MAX: Duration = Duration::from_hours(100 * 366 * 24);

impl<'a> Section<'a> {
    pub(crate) fn new(table: &'a DeTable<'a>, at: usize) -> Self {
        Self { table: Some(table), at, known: Vec::new(), reserved: &[] }
    }

    pub(crate) fn absent() -> Self {
        Self { table: None, at: 0, known: Vec::new(), reserved: &[] }
    }

    /// The same table, with these keys reserved.
    pub(crate) fn reserving(self, reserved: &'static [&'static str]) -> Self {
        Self { reserved, ..self }
    }

    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Value<'a>> {
        self.known.push(key);
        self.table.and_then(|table| table.get(key))
    }

    pub(crate) fn string(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Text<'a>> {
        let value = self.value(key)?;
        text(reader, key, value)
    }

    /// A text, converted by `check`.
    pub(crate) fn checked(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        check: fn(&str) -> Result<String, String>,
    ) -> Option<String> {
        let text = self.string(reader, key)?;
        check(text.text).map_err(|why| reader.report.mistake(text.at, why)).ok()
    }

    /// A text, or a list of texts; None if the key is absent or a mistake was reported.
    pub(crate) fn strings(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Vec<Text<'a>>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Array(array) => array.iter().map(|item| text(reader, key, item)).collect(),
            DeValue::String(_) => Some(vec![text(reader, key, value)?]),
            other => {
                wrong_type(reader, key, value, "a string or a list of strings", other.type_str());
                None
            }
        }
    }

    pub(crate) fn boolean(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            wrong_type(reader, key, value, "true or false", value.get_ref().type_str());
        }
        boolean
    }

    pub(crate) fn integer(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        allowed: RangeInclusive<u32>,
    ) -> Option<u32> {
        let value = self.value(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            wrong_type(reader, key, value, "a whole number", value.get_ref().type_str());
            return None;
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| allowed.contains(n));
        if number.is_none() {
            let (least, most) = (allowed.start(), allowed.end());
            reader.report.mistake(value.span().start, format!("'{key}' must be from {least} to {most}"));
        }
        number
    }

    /// A duration of at least `least`.
    pub(crate) fn duration(&mut self, reader: &mut Reader<'_>, key: &'static str, least: Duration) -> Option<Duration> {
        let value = self.value(key)?;
        duration(reader, key, value, least)
    }

    pub(crate) fn table(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<(&'a DeTable<'a>, usize)> {
        let value = self.value(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            wrong_type(reader, key, value, "a table", value.get_ref().type_str());
        }
        // The key is the better position: the table itself begins anywhere, or nowhere.
        let at = self.key_at(key);
        table.map(|table| (table, at))
    }

    /// The tables in the table `key`, in file order: name, position, content.
    pub(crate) fn tables(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Vec<(Text<'a>, &'a DeTable<'a>)> {
        let Some((outer, _)) = self.table(reader, key) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (name, value) in outer {
            let at = name.span().start;
            match value.get_ref().as_table() {
                Some(table) => tables.push((Text { text: name.get_ref(), at }, table)),
                None => reader
                    .report
                    .mistake(at, format!("'{key}' holds tables only: write [{key}.NAME] and put the keys below it")),
            }
        }
        tables.sort_by_key(|(name, _)| name.at);
        tables
    }

    /// The position of a key of this table; the table's own if it is absent.
    pub(crate) fn key_at(&self, key: &str) -> usize {
        self.table.and_then(|table| table.get_key_value(key)).map_or(self.at, |(name, _)| name.span().start)
    }

    /// Whether the file has this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Reports a missing key and what to write, if it is missing.
    pub(crate) fn require(&self, reader: &mut Reader<'_>, key: &str, what_to_write: &str) {
        if !self.has(key) {
            reader.report.mistake(self.at, format!("'{key}' is missing, {what_to_write}"));
        }
    }

    /// Refuses every key that was not requested.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) {
        for key in self.table.into_iter().flat_map(|table| table.keys()) {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            if self.known.contains(&name) {
                continue;
            }
            if self.reserved.contains(&name) {
                reader.report.mistake(at, format!("'{name}' is not supported in this version yet; remove it"));
            } else {
                let hint = nearest(name, &self.known);
                reader.report.mistake(at, format!("unknown key '{}', {hint}", name.escape_debug()));
            }
        }
    }
}

/// A value that must be a text.
pub(crate) fn text<'a>(reader: &mut Reader<'_>, key: &str, value: &'a Value<'a>) -> Option<Text<'a>> {
    let Some(text) = value.get_ref().as_str() else {
        wrong_type(reader, key, value, "a string", value.get_ref().type_str());
        return None;
    };
    Some(Text { text, at: value.span().start })
}

pub(crate) fn duration(reader: &mut Reader<'_>, key: &str, value: &Value<'_>, least: Duration) -> Option<Duration> {
    let at = value.span().start;
    let form = "write a number and its unit, such as \"30s\", \"10m\" or \"4h10m\"";
    let Some(text) = value.get_ref().as_str() else {
        reader.report.mistake(at, format!("'{key}' must be a duration in quotes, {form}"));
        return None;
    };
    match humantime::parse_duration(text) {
        Err(_) => reader.report.mistake(at, format!("'{key}' is not a duration, {form}")),
        Ok(given) if given < least => {
            let least = length::written(least);
            reader.report.mistake(at, format!("'{key}' is too short, write \"{least}\" or more"));
        }
        Ok(given) if given > DURATION_MAX => {
            reader.report.mistake(at, format!("'{key}' is too long, write at most \"100y\""));
        }
        Ok(given) => return Some(given),
    }
    None
}

fn wrong_type(reader: &mut Reader<'_>, key: &str, value: &Value<'_>, wanted: &str, found: &str) {
    reader.report.mistake(value.span().start, format!("'{key}' must be {wanted}, not {}", with_article(found)));
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// The key with which a table names its kind: `kind = "a" or "b"`.
pub(crate) fn with_kind(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("kind = {}", quoted.join(" or "))
}

/// What to write instead of `name`: the nearest known word, or all of them if none is near.
pub(crate) fn nearest(name: &str, known: &[&str]) -> String {
    // Half of the word may be wrong; beyond that a guess would mislead.
    let reach = (name.chars().count() / 2).max(1);
    let Some((distance, word)) = known.iter().map(|word| (distance(name, word), word)).min() else {
        return "remove it".to_owned();
    };
    if distance <= reach {
        format!("write '{word}' instead")
    } else {
        format!("the nearest is '{word}' of: {}", known.join(", "))
    }
}

/// The fewest letters that a prefix must have to count as an abbreviation of the word.
const BEGINNING_MIN: usize = 3;

/// The distance between two words; a word and its prefix are near.
fn distance(a: &str, b: &str) -> usize {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let begins = short.len() >= BEGINNING_MIN && long.starts_with(short);
    edits(a, b).min(if begins { 1 } else { usize::MAX })
}

/// The fewest insertions, deletions, replacements and transpositions that turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Three rows of the matrix are enough: a transposition looks two rows back.
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{edits, nearest};

    #[test]
    fn the_nearest_word_is_by_edits_and_swaps() {
        for (a, b, expected) in [("", "ab", 2), ("quite", "quiet", 1), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
        }
        assert_eq!(nearest("quite", &["max_wait", "quiet"]), "write 'quiet' instead");
        assert_eq!(nearest("zzz", &["max_wait", "quiet"]), "the nearest is 'quiet' of: max_wait, quiet");
    }
}
