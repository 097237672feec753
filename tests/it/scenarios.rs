//! Runs every conversation in `tests/scenarios`. `UPDATE_EXPECT=1` writes the answers anew: commit that diff only if
//! you understand it.

use std::fmt::Write;
use std::path::Path;

use crate::world::World;

#[test]
fn every_scenario_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> =
        folder.read_dir().expect("the scenarios").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "scenarios are missing: only {}", files.len());
    let mut wrong = String::new();
    for file in files {
        let written = std::fs::read_to_string(&file).expect("a scenario");
        let played = play(&written);
        if written != played {
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                std::fs::write(&file, played).expect("a scenario");
            } else {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                writeln!(wrong, "--- {name} went:\n{played}").expect("a String takes all");
            }
        }
    }
    assert!(wrong.is_empty(), "some scenario did not go as written (UPDATE_EXPECT=1 writes them anew)\n{wrong}");
}

/// The scenario with the answers as they are.
fn play(written: &str) -> String {
    let mut world = World::new();
    let mut played = String::new();
    for block in written.trim_end().split("\n\n") {
        if !played.is_empty() {
            played.push('\n');
        }
        let commands = block.lines().take_while(|line| *line != "----");
        let mut told = String::new();
        let mut any = false;
        for line in commands {
            writeln!(played, "{line}").expect("a String takes all");
            if !line.starts_with('#') {
                any = true;
                told.push_str(&world.obey(line));
            }
        }
        if any {
            played.push_str("----\n");
            played.push_str(&told);
        }
    }
    played
}
