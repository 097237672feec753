//! Which room may name which: a table, from what everything may name down to what nothing names. A room names only rooms
//! that stand above it, so that there is no circle; and inside a room, nothing goes in circles either.

use std::collections::{BTreeMap, BTreeSet};

use super::code::sources;
use super::paths::{Arrows, Module};

/// Every room and what it may name. A part of a room that has a line of its own is a room here: a leaf that those may name
/// who may not name the rest.
const ROOMS: &[(&str, &[&str])] = &[
    // Plain values, and leaves that name nothing but these.
    ("model", &[]),
    ("random", &[]),
    ("clock", &["model"]),
    ("reason", &[]),
    ("build", &["model"]),
    ("remote", &["model"]),
    ("event", &["model", "reason"]),
    ("command", &["model"]),
    ("notice", &["model", "reason"]),
    // The proof that a step is on disk, which the core demands and only the journal makes.
    ("journal::committed", &[]),
    (
        "scheduler",
        &["build", "command", "event", "journal::committed", "model", "notice", "random", "reason", "remote"],
    ),
    ("config", &["build", "model", "reason", "scheduler"]),
    ("client_file", &["config"]),
    ("journal", &["clock", "command", "event", "journal::committed", "model", "notice", "reason", "scheduler"]),
    ("simulate", &["journal", "journal::committed", "model", "scheduler"]),
    // What comes in and what goes out.
    ("source", &["config", "event", "model", "reason"]),
    ("backend", &["build", "clock", "config", "model"]),
    ("refs", &["config", "model", "remote"]),
    ("status", &["build", "command", "event", "journal", "model", "notice", "reason", "scheduler"]),
    ("telemetry", &[]),
    (
        "driver",
        &[
            "backend",
            "build",
            "clock",
            "command",
            "config",
            "event",
            "journal",
            "model",
            "notice",
            "refs",
            "scheduler",
            "status",
            "telemetry",
        ],
    ),
    // The configuration is read again while the daemon runs, and handed to the driver.
    ("reload", &["backend", "config", "driver", "refs", "status", "telemetry"]),
    (
        "http",
        &[
            "clock",
            "command",
            "config",
            "driver",
            "event",
            "journal",
            "model",
            "reload",
            "source",
            "status",
            "telemetry",
        ],
    ),
    (
        "daemon",
        &[
            "backend",
            "client_file",
            "clock",
            "config",
            "driver",
            "http",
            "journal",
            "model",
            "reload",
            "status",
            "telemetry",
        ],
    ),
    ("emulator", &["build", "clock", "model"]),
    // The tables of kinds, put together for the pages that list them.
    ("kinds", &["backend", "config", "source"]),
    (
        "cli",
        &[
            "build",
            "client_file",
            "clock",
            "config",
            "daemon",
            "emulator",
            "event",
            "journal",
            "kinds",
            "model",
            "status",
            "telemetry",
        ],
    ),
];

/// What goes in circles and is known to: the folder, and the two that name each other. Each is to go.
const CIRCLES: &[(&str, &str, &str)] = &[];

fn room_of(module: &Module) -> String {
    let path = module.join("::");
    let rooms = ROOMS.iter().map(|(room, _)| *room);
    let is_of = |room: &&str| path == *room || path.strip_prefix(room).is_some_and(|rest| rest.starts_with("::"));
    rooms.filter(is_of).max_by_key(|room| room.len()).map_or_else(|| module[0].clone(), ToOwned::to_owned)
}

/// `cargo test --test it tidy::rooms -- --nocapture` prints who names what, and how often.
#[test]
fn a_room_names_only_what_the_table_allows() {
    let Arrows { modules, arrows } = Arrows::of(&sources(&["src"]));
    let mut counted: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (from, to) in arrows.iter().filter(|(from, _)| !from.is_empty()) {
        let (room, other) = (room_of(from), room_of(to));
        if room != other {
            counted.entry((room, other)).or_default().push(format!("{} → {}", from.join("::"), to.join("::")));
        }
    }
    let mut wrong = Vec::new();
    for (index, (room, may)) in ROOMS.iter().enumerate() {
        let above: Vec<&str> = ROOMS[..index].iter().map(|(room, _)| *room).collect();
        let below = may.iter().filter(|other| !above.contains(other));
        wrong.extend(below.map(|other| format!("the table lets {room} name {other}, which does not stand above it")));
        let named: Vec<String> = counted
            .iter()
            .filter(|((from, _), _)| from == room)
            .map(|((_, to), arrows)| format!("{to} {}", arrows.len()))
            .collect();
        println!("{room:<20} {}", named.join(", "));
        let unused = may.iter().filter(|other| !counted.contains_key(&((*room).to_owned(), (**other).to_owned())));
        wrong.extend(unused.map(|other| format!("the table lets {room} name {other}, which it does not")));
    }
    let listed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let all: BTreeSet<String> = modules.iter().filter(|module| !module.is_empty()).map(room_of).collect();
    wrong.extend(
        all.iter().filter(|room| !listed.contains_key(room.as_str())).map(|room| format!("{room} is not in it")),
    );
    for ((room, other), arrows) in &counted {
        if !listed.get(room.as_str()).is_some_and(|may| may.contains(&other.as_str())) {
            wrong.push(format!("{room} may not name {other}:\n    {}", arrows.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "the table of rooms:\n{}", wrong.join("\n"));
}

/// In each folder, what stands side by side, each with all below it, goes in no circle. What a parent names of its children,
/// and a child of its parents, is not counted: a parent puts its children together, and they share its plain types. What a
/// parent only hands on counts as named where it stands.
#[test]
fn nothing_inside_a_room_goes_in_circles() {
    let Arrows { modules, arrows } = Arrows::of(&sources(&["src"]));
    let mut wrong = Vec::new();
    for folder in modules.iter().filter(|module| !module.is_empty()) {
        let child = |module: &Module| module.starts_with(folder).then(|| module.get(folder.len()).cloned()).flatten();
        let mut named: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for (from, to) in &arrows {
            if let (Some(one), Some(other)) = (child(from), child(to))
                && one != other
            {
                named.entry((one, other)).or_default().insert(format!("{} → {}", from.join("::"), to.join("::")));
            }
        }
        let path = folder.join("::");
        named.retain(|(one, other), _| !CIRCLES.contains(&(path.as_str(), one.as_str(), other.as_str())));
        for way in circles(&named.keys().cloned().collect()) {
            wrong.extend(named[&way].iter().map(|arrow| format!("in {path}: {arrow}")));
        }
    }
    assert!(wrong.is_empty(), "these go in circles:\n{}", wrong.join("\n"));
}

/// The arrows that lead back to where they come from.
fn circles(arrows: &BTreeSet<(String, String)>) -> Vec<(String, String)> {
    let leads_back = |(from, to): &&(String, String)| {
        let (mut reached, mut waiting) = (BTreeSet::new(), vec![to]);
        while let Some(place) = waiting.pop() {
            if reached.insert(place) {
                waiting.extend(arrows.iter().filter(|(one, _)| one == place).map(|(_, other)| other));
            }
        }
        reached.contains(from)
    };
    arrows.iter().filter(leads_back).cloned().collect()
}
