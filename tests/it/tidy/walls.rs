//! What is named in one room only.

use super::code::sources;

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
        "rand::",
        "getrandom",
        "sled",
    ];
    let mut seen = 0;
    for source in sources(&["src"]).iter().filter(|source| source.is_in("scheduler")) {
        seen += 1;
        for word in forbidden {
            assert!(!source.code().contains(word), "{} names {word}", source.file);
        }
    }
    assert!(seen >= 8, "the scheduler's files were not found");
}

#[test]
fn crates_are_named_in_their_rooms_only() {
    // The client commands call the daemon, the back-ends call out; nothing else does.
    let rooms: [(&str, &[&str]); 3] =
        [("sled::", &["journal"]), ("reqwest::Client", &["backend", "cli"]), ("hyper::server", &["http", "emulator"])];
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        for (name, allowed) in rooms {
            let here = allowed.iter().any(|room| source.is_in(room));
            assert!(here || !source.code().contains(name), "{} names {name}", source.file);
        }
    }
}

/// A simulation takes the driver's turn in the driver's place.
#[test]
fn only_the_driver_drives_the_scheduler() {
    for source in sources(&["src"]) {
        let may = ["driver", "scheduler", "simulate"].iter().any(|room| source.is_in(room));
        assert!(may || !source.code().contains("Scheduler::recover"), "{} makes a scheduler", source.file);
    }
}
