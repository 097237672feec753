//! How files begin, how long they are, and which words they hold.

use std::fs;
use std::path::Path;

use super::code::{is_word, sources};

const LINES_MAX: usize = 400;

#[test]
fn every_file_says_what_it_is_for_and_has_a_bound() {
    let mut wrong = Vec::new();
    for source in sources(&["src", "tests", "benches", "examples"]) {
        let file = &source.file;
        if !source.text.starts_with("//!") {
            wrong.push(format!("{file} does not begin by saying what it is for"));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{file} has {lines} lines: split it"));
        }
        let unfinished = ["todo!", "unimplemented!", "dbg!"];
        wrong.extend(
            unfinished.iter().filter(|word| source.bare().contains(**word)).map(|word| format!("{file} holds {word}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Words that read as translated. Their number may only fall; lower `MOST` when it does.
#[test]
fn words_that_read_as_translated_become_fewer() {
    const MOST: usize = 4;
    let words = ["whom", "whoever", "nobody", "wish", "wishes"];
    let all = sources(&["src"]);
    let split = all.iter().flat_map(|source| source.text.split(|c: char| !is_word(c)));
    let count = split.filter(|word| words.contains(&word.to_lowercase().as_str())).count();
    println!("{count} of at most {MOST}: {}", words.join(", "));
    assert!(count <= MOST, "{count} of these, where there were {MOST}: {}", words.join(", "));
}

#[test]
fn the_changelog_knows_this_version() {
    let changelog =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CHANGELOG.md")).expect("a changelog");
    assert!(changelog.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))), "CHANGELOG.md lacks this version");
}
