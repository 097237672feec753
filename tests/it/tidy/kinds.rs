//! A kind of source or back-end is spelled in its own files, so that another one is one more file and one line.

use super::code::sources;

/// A kind, and its spelling in code, in lower case and without separators between its words.
const KINDS: &[&str] = &["dockerhub", "github"];

/// Where kinds may be named, and why. A folder ends with a slash.
const MAY: &[(&str, &str)] = &[
    ("src/backend/docker_hub.rs", "its own"),
    ("src/backend/docker_hub/", "its own"),
    ("src/config/backend/docker_hub.rs", "its own"),
    ("src/config/backend/docker_hub/", "its own"),
    ("src/source/github.rs", "its own"),
    ("src/source/github/", "its own"),
    ("src/backend.rs", "the table of back-ends"),
    ("src/config/backend.rs", "the table of back-ends' settings"),
    ("src/config/reader/reserved.rs", "kinds that are still to come"),
    ("src/source.rs", "the table of sources"),
    ("src/emulator.rs", "it is a Docker Hub"),
    ("src/emulator/", "it is a Docker Hub"),
    ("src/cli/demo.rs", "it shows the emulated one"),
    ("src/cli/demo/", "it shows the emulated one"),
    ("src/cli/emulate.rs", "it starts the emulated one"),
    ("src/cli/init.rs", "it writes a configuration that names them"),
    ("src/cli/init/", "it writes a configuration that names them"),
];

#[test]
fn a_kind_is_named_in_its_own_files_only() {
    let mut wrong = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let may = |(place, _): &&(&str, &str)| {
            if place.ends_with('/') { source.file.starts_with(place) } else { source.file == *place }
        };
        if MAY.iter().any(|place| may(&place)) {
            continue;
        }
        for (number, line) in source.code().lines().enumerate() {
            // A host is no kind.
            let line = line.replace("github.com", "");
            let letters: String = line.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
            if KINDS.iter().any(|kind| letters.contains(kind)) {
                wrong.push(format!("{}:{}: {}", source.file, number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "kinds are named in\n{}", wrong.join("\n"));
}
