//! The files of the kinds are formatted: their lines in the tables are macros, into which `cargo fmt` doesn't look.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

#[test]
fn the_files_of_the_kinds_are_formatted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for room in ["src/backend", "src/source"] {
        for entry in std::fs::read_dir(root.join(room)).expect("a room") {
            let path = entry.expect("an entry").path();
            files.extend(path.extension().is_some_and(|end| end == "rs").then_some(path));
        }
    }
    let mut rustfmt = Command::new("rustfmt");
    match rustfmt.current_dir(root).args(["--check", "--edition", "2024"]).args(&files).output() {
        Ok(output) => assert!(
            output.status.success(),
            "run: rustfmt --edition 2024 src/backend/*.rs src/source/*.rs\n{}",
            String::from_utf8_lossy(&output.stdout)
        ),
        // If rustfmt is not installed, nothing can be checked.
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
    }
}
