//! Are the tests able to fail? Plants one mistake after another into a copy of the tree and runs the simulation, then,
//! where that notices nothing, the scenarios: `cargo run --release --example mutants [-- NAME]`. A mistake that nobody
//! notices fails it.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Histories that each mistake must survive to go unnoticed by the simulation.
const HISTORIES: &str = "20000";

/// Name, file below `src/scheduler`, what stands there, what is put in its place.
type Mutant = (&'static str, &'static str, &'static str, &'static str);

const MUTANTS: [Mutant; 18] = [
    (
        "a time-out counts as refused",
        "../scheduler.rs",
        "TriggerAnswer::Uncertain { detail } => {\n                self.lane.apply(Fact::BecameUncertain { build, at: now, detail, pending: false }, changes);",
        "TriggerAnswer::Uncertain { detail } => {\n                self.refused(build, None, detail, roll, now, work);",
    ),
    (
        "after a restart nothing was called",
        "../scheduler.rs",
        "self.lane.apply(Fact::BecameUncertain { build, at: now, detail, pending: false }, &mut work.changes);\n        }\n    }",
        "self.lane.apply(Fact::Refused { build, at: now, detail, again_at: now, blocked: false }, &mut work.changes);\n        }\n    }",
    ),
    (
        "stale answers are believed",
        "../scheduler.rs",
        "self.watch.asked = None;\n        self.watch.next_at = Some(now.plus(self.policy.observe_after));",
        "self.watch.next_at = Some(now.plus(self.policy.observe_after));",
    ),
    (
        "the cover is all that came before the answer",
        "reconcile.rs",
        "Fact::StillQueued { build, upto: asked.upto }",
        "Fact::StillQueued { build, upto: Seq(u64::MAX) }",
    ),
    (
        "still queued extends the cover for every back-end",
        "reconcile.rs",
        "if !started && self.policy.source_taken == SourceTaken::AtStart {",
        "if !started {",
    ),
    (
        "the commit is ignored",
        "cover.rs",
        "let Some(commit) = commit else { return by_time };",
        "let Some(_) = commit else { return by_time };\n    if true { return by_time; }\n    let commit = commit.expect(\"seen\");",
    ),
    (
        "a build's commit holds all of smaller numbers",
        "cover.rs",
        "beyond.take_while(|group| held.iter().any(|known| names(group.commit.as_ref(), known)))",
        "beyond.take_while(|_| true)",
    ),
    (
        "what is left over of a start is forgotten",
        "lane.rs",
        "key.open = open;\n        if let Some(commit) = &cover.commit {",
        "drop(open);\n        if let Some(commit) = &cover.commit {",
    ),
    (
        "a refused trigger takes its events along",
        "lane.rs",
        "self.reopen(&mut live, changes);\n                live.end(*at, Outcome::Lost, Some(format!(\"the trigger was refused: {detail}\")));",
        "live.end(*at, Outcome::Lost, Some(format!(\"the trigger was refused: {detail}\")));",
    ),
    (
        "a build that never started takes its events along",
        "lane.rs",
        "} else {\n                    self.reopen(&mut live, changes);",
        "} else {\n                    live.carries = None;",
    ),
    (
        "the open mark stays at the hand-out",
        "lane.rs",
        "let open = self.key(git_ref, changes).open.take();",
        "let open = self.key(git_ref, changes).open.clone();",
    ),
    (
        "folding forgets how long the first has waited",
        "open.rs",
        "let still = self.last_at().plus(quiet).min(self.first_at().plus(max_wait));",
        "let still = self.last_at().plus(quiet);",
    ),
    (
        "two may be queued behind each other without prequeue",
        "standing.rs",
        "let behind_one = policy.prequeue && running.len() == 1",
        "let behind_one = running.len() == 1",
    ),
    (
        "the grace of an unseen build is nothing",
        "reconcile.rs",
        "if reaches_back && called_at.plus(self.policy.uncertain_grace) <= asked.at {",
        "if reaches_back {",
    ),
    (
        "a list that was cut off counts as whole",
        "reconcile.rs",
        "let reaches_back = observation.complete_since.is_none_or(|since| since <= called_at.minus(CLOCK_TOLERANCE));",
        "let reaches_back = true;",
    ),
    (
        "a delivery that comes again is new",
        "intake.rs",
        "if let Some(Remembered { first, count, .. }) = self.deliveries.find(&delivery.fingerprints) {",
        "if let Some(Remembered { first, count, .. }) = self.deliveries.find(&[]) {",
    ),
    (
        "a key that changed is not written",
        "lane.rs",
        "changes.keys.insert((self.image.clone(), git_ref.clone()));\n        self.keys.entry",
        "let _ = changes;\n        self.keys.entry",
    ),
    (
        "an uncertain build is good for all it carries",
        "reconcile.rs",
        "Phase::Uncertain { .. } => Some(accepted_surely_before(live, first)),",
        "Phase::Uncertain { .. } => None,",
    ),
];

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = tempfile::tempdir().expect("a directory for the copy");
    let only = std::env::args().nth(1);
    let mut alive = 0;
    for (name, file, from, to) in MUTANTS.iter().filter(|mutant| only.as_deref().is_none_or(|only| only == mutant.0)) {
        copy_tree(root, copy.path());
        let path = copy.path().join("src/scheduler").join(file);
        let text = std::fs::read_to_string(&path).expect("a source");
        assert_eq!(text.matches(from).count(), 1, "the place for '{name}' is not what it was");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("the copy");
        let verdict = judge(root, copy.path());
        alive += u32::from(!verdict.starts_with("killed"));
        println!("{verdict:<28} {name}");
    }
    println!("{alive} unnoticed");
    if alive == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn judge(root: &Path, copy: &Path) -> &'static str {
    let passes = |words: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        let cargo = cargo.args(words).current_dir(copy).env("CARGO_TARGET_DIR", root.join("target/mutants"));
        cargo.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("cargo").success()
    };
    match () {
        () if !passes(&["build", "--release", "--example", "simulation"]) => "DOES NOT COMPILE",
        () if !passes(&["run", "--release", "--example", "simulation", "--", "--histories", HISTORIES]) => {
            "killed by the simulation"
        }
        () if !passes(&["test", "--test", "it", "scenarios"]) => "killed by the scenarios",
        () if !passes(&["test", "--test", "it", "properties"]) => "killed by the properties",
        () => "ALIVE",
    }
}

fn copy_tree(root: &Path, copy: &Path) {
    for name in ["src", "tests", "examples", "benches", "systemd", "Cargo.toml", "Cargo.lock", "CHANGELOG.md"] {
        copy_into(&root.join(name), &copy.join(name));
    }
}

fn copy_into(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::copy(from, to).expect("a file copied");
        return;
    }
    std::fs::create_dir_all(to).expect("a folder");
    for entry in from.read_dir().expect("a folder") {
        let entry = entry.expect("an entry");
        copy_into(&entry.path(), &to.join(entry.file_name()));
    }
}
