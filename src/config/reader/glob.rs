//! Globs as an operator writes them: `*` stops at a slash and `**` doesn't.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::section::{Reader, Text};

/// Compiles the globs into one set, in which `*` stops at a slash and `**` doesn't.
pub(crate) fn globs(reader: &mut Reader<'_>, texts: &[Text<'_>]) -> Option<(GlobSet, Vec<String>)> {
    let mut set = GlobSetBuilder::new();
    let parsed: Vec<Option<Glob>> = texts.iter().map(|text| glob(reader, *text)).collect();
    for glob in parsed {
        set.add(glob?);
    }
    let set = set.build();
    if set.is_err() {
        reader.report.mistake(texts.first()?.at, "these globs are too large together, write fewer or shorter ones");
    }
    Some((set.ok()?, texts.iter().map(|text| text.text.to_owned()).collect()))
}

/// One glob.
pub(crate) fn glob(reader: &mut Reader<'_>, text: Text<'_>) -> Option<Glob> {
    if text.text.is_empty() {
        reader.report.mistake(text.at, "a glob is empty, write a name or a pattern such as \"release/*\"");
        return None;
    }
    match GlobBuilder::new(text.text).literal_separator(true).build() {
        Ok(glob) => Some(glob),
        Err(why) => {
            let (shown, why) = (text.text.escape_debug(), why.kind());
            reader.report.mistake(
                text.at,
                format!("'{shown}' is not a glob ({why}), write a name or a pattern such as \"release/*\""),
            );
            None
        }
    }
}
