//! The walls of the house: what each room may name, and how files begin.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let name = |path: &Path| path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).expect("a source"))).collect()
}

/// The code without comments: a room may speak of what it may not use.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_in(file: &str, room: &str) -> bool {
    file == format!("src/{room}.rs") || file.starts_with(&format!("src/{room}/"))
}

#[test]
fn the_scheduler_is_pure() {
    let forbidden = [
        "std::time::Instant",
        "SystemTime",
        "tokio",
        "reqwest",
        "hyper",
        "std::fs",
        "std::net",
        "HashMap",
        "HashSet",
        "rand",
        "sled",
    ];
    let mut seen = 0;
    for (file, text) in sources().into_iter().filter(|(file, _)| is_in(file, "scheduler")) {
        seen += 1;
        for word in forbidden {
            assert!(!code(&text).contains(word), "{file} names {word}");
        }
    }
    assert!(seen >= 8, "the scheduler's files were not found");
}

#[test]
fn crates_are_named_in_their_rooms_only() {
    // The client commands call the daemon, the back-ends call out; nobody else does.
    let rooms: [(&str, &[&str]); 3] =
        [("sled::", &["journal"]), ("reqwest::Client", &["backend", "cli"]), ("hyper::server", &["http", "emulator"])];
    for (file, text) in sources() {
        let own_tests = file.ends_with("tests.rs") || file.ends_with("fake.rs");
        for (name, allowed) in rooms {
            let here = allowed.iter().any(|room| is_in(&file, room));
            assert!(here || own_tests || !code(&text).contains(name), "{file} names {name}");
        }
    }
}

#[test]
fn only_the_driver_drives_the_scheduler() {
    for (file, text) in sources() {
        let may = is_in(&file, "driver") || is_in(&file, "scheduler");
        assert!(may || !code(&text).contains("Scheduler::recover"), "{file} makes a scheduler");
    }
}

#[test]
fn every_file_says_what_it_is_for_and_has_a_bound() {
    const LINES_MAX: usize = 750;
    for (file, text) in sources() {
        assert!(text.starts_with("//!"), "{file} does not begin by saying what it is for");
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        assert!(lines <= LINES_MAX || file.ends_with("tests.rs"), "{file} has {lines} lines: split it");
        let unfinished = ["todo!", "unimplemented!", "dbg!"];
        for word in unfinished {
            assert!(!code(&text).contains(word), "{file} holds {word}");
        }
    }
}

#[test]
fn the_changelog_knows_this_version() {
    let changelog =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CHANGELOG.md")).expect("a changelog");
    assert!(changelog.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))), "CHANGELOG.md lacks this version");
}
