//! Runs every conversation in `tests/scenarios`. `UPDATE_EXPECT=1` writes the answers anew: commit that diff only if
//! you understand it.

use std::fmt::Write;
use std::path::Path;

use coalesced::scheduler::lane::KEYS_MAX;

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

/// A project that tags every release has few keys all the same, and its old tags are not taken for new ones.
#[test]
fn keys_of_old_tags_are_forgotten_and_their_refs_stay_known() {
    let tags = KEYS_MAX + 20;
    let mut world = World::new();
    world.execute("image acme/web quiet=30s reconcile=15m rules=r");
    world.execute("heads acme/web");
    for tag in 1..=tags {
        world.execute(&format!("push acme/web tag:v{tag} c{tag} c0"));
        world.execute("answer acme/web accepted");
        world.execute("advance 10s");
        world.execute(&format!("show acme/web r{tag}:success"));
    }
    let keys = |world: &mut World| world.scheduler().lanes().next().expect("the lane").keys.len();
    assert!(keys(&mut world) <= KEYS_MAX, "{} keys", keys(&mut world));
    // What is on disk is forgotten, too.
    world.crash();
    assert!(keys(&mut world) <= KEYS_MAX, "{} keys", keys(&mut world));
    // The first of the tags has moved since; the others are where they were.
    let heads: Vec<String> =
        (1..=tags).map(|tag| format!("tag:v{tag}=c{}", if tag == 1 { 999 } else { tag })).collect();
    let told = world.execute(&format!("heads acme/web {}", heads.join(" ")));
    let recovered: Vec<&str> = told.lines().filter(|line| line.contains("recovers")).collect();
    assert_eq!(recovered, [format!("+14m event {} recovers refs/tags/v1 at c999", tags + 1)]);
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
                told.push_str(&world.execute(line));
            }
        }
        if any {
            played.push_str("----\n");
            played.push_str(&told);
        }
    }
    played
}
