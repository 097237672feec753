//! Are the tests able to fail? Plants one mistake after another into a copy of the tree and lets each judge look at it:
//! `cargo run --release --example mutants [-- [--places] [--first] [NAME…]]`.
//!
//! A mistake that no judge notices fails the run. `--places` only looks whether each has its one place, and judges nothing.
//! `--first` goes on to the next mistake as soon as one judge has noticed; words choose the mistakes whose names contain
//! them. The last lines are a table for `docs/proof.md`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// A judge that takes longer has noticed: the mistake makes it run for ever.
const JUDGE_LIMIT: Duration = Duration::from_mins(2);
/// How often a running judge is polled.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The folders and files that make up the copy.
const COPIED: [&str; 7] = ["src", "tests", "examples", "benches", "Cargo.toml", "Cargo.lock", "CHANGELOG.md"];
/// What is added to the copy's manifest: quick to build, quick to run, with assertions on.
const PROFILE: &str = "\n[profile.dev]\nopt-level = 1\ndebug = false\nincremental = true\n";

/// Each judge's name, program and arguments. Cheap ones first.
const JUDGES: [(&str, &str, &[&str]); 4] = [
    ("scenarios", "it", &["scenarios::", "heads::"]),
    ("explorer", "it", &["explore::"]),
    ("properties", "it", &["properties::"]),
    ("simulation", "simulation", &["--histories", "4000"]),
];

/// One mistake. Its place is found by its text, wherever it is in the pure core and however it is formatted.
struct Mutant {
    name: &'static str,
    from: &'static str,
    to: &'static str,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a time-out counts as refused",
        from: "let reason = UncertainReason::Answer { detail }; \
               self.lane.apply(Fact::BecameUncertain { build, at: turn.now, reason }, &mut turn.changes);",
        to: "self.refused(build, None, RefusalReason::Answer { detail }, turn);",
    },
    Mutant {
        name: "after a restart nothing was called",
        from: "let reason = UncertainReason::DaemonEnded; \
               self.lane.apply(Fact::BecameUncertain { build, at: turn.now, reason }, &mut turn.changes);",
        to: "let (reason, again_at) = (crate::reason::RefusalReason::PendingNotShown, turn.now); \
             self.lane.apply(Fact::Refused { build, at: turn.now, reason, again_at, blocked: false }, &mut turn.changes);",
    },
    Mutant {
        name: "stale answers are believed",
        from: "self.watch.asked = None; self.watch.next_at = Some(turn.now.plus(self.policy.observe_after));",
        to: "self.watch.next_at = Some(turn.now.plus(self.policy.observe_after));",
    },
    Mutant {
        name: "the cover is all that came before the answer",
        from: "Fact::StillQueued { build, through: asked.through }",
        to: "Fact::StillQueued { build, through: Seq(u64::MAX) }",
    },
    Mutant {
        name: "the number noted at the question is forgotten",
        from: "Fact::StillQueued { build, through: asked.through }",
        to: "Fact::StillQueued { build, through: Seq(0) }",
    },
    Mutant {
        name: "still queued extends the cover for every back-end",
        from: "if !started && self.policy.capabilities.source_taken == SourceTaken::AtStart {",
        to: "if !started {",
    },
    Mutant {
        name: "what came while it ran ends with the build",
        from: "key.retries = if outcome == Outcome::Failure && reopened",
        to: "key.open = None; key.retries = if outcome == Outcome::Failure && reopened",
    },
    Mutant {
        name: "the open mark stays at the hand-out",
        from: "let open = self.key(git_ref, changes).open.take();",
        to: "let open = self.key(git_ref, changes).open.clone();",
    },
    Mutant {
        name: "the commit is ignored",
        from: "let Some(commit) = commit else { return by_time };",
        to: "let Some(commit) = commit.filter(|_| key.retries > 1_000) else { return by_time };",
    },
    Mutant {
        name: "a build's commit holds all of smaller numbers",
        from: "let contained = beyond.take_while(is_held);",
        to: "let contained = beyond.take_while(|group| is_held(group) || group.count > 0);",
    },
    Mutant {
        name: "what is left over of a start is forgotten",
        from: "key.open = join(uncovered, later_open);",
        to: "key.open = uncovered.and(later_open);",
    },
    Mutant {
        name: "a refused trigger takes its events along",
        from: "self.reopen(&mut live, changes); \
               live.end(at, Outcome::NotStarted, Some(reason));",
        to: "live.end(at, Outcome::NotStarted, Some(reason));",
    },
    Mutant {
        name: "a build that never started takes its events along",
        from: "} else { self.reopen(&mut live, changes); }",
        to: "} else { live.carries = None; }",
    },
    Mutant {
        name: "a lost build is not built again",
        from: "Outcome::Lost => live.carries.as_ref().is_some_and(|carries| carries.last() > key.lost_through),",
        to: "Outcome::Lost => false,",
    },
    Mutant {
        name: "folding forgets how long the first has waited",
        from: "let still = self.last_at().plus(quiet).min(self.first_at().plus(max_wait));",
        to: "let still = self.last_at().plus(quiet).max(self.first_at().min(self.first_at().plus(max_wait)));",
    },
    Mutant {
        name: "two may be queued behind each other without prequeue",
        from: "let behind_one = policy.prequeue && running.len() == 1",
        to: "let behind_one = running.len() == 1",
    },
    Mutant {
        name: "the grace of an unseen build is nothing",
        from: "if reaches_back && self.grace_is_over(called_at, asked.at) {",
        to: "if reaches_back && called_at <= asked.at {",
    },
    Mutant {
        name: "a list that was cut off counts as whole",
        from: "let reaches_back = observation.complete_since.is_none_or(|since| since <= called_at.minus(CLOCK_TOLERANCE));",
        to: "let reaches_back = true;",
    },
    Mutant {
        name: "a delivery that comes again is new",
        from: "self.deliveries.find(&delivery.fingerprints)",
        to: "self.deliveries.find(&[])",
    },
    Mutant {
        name: "deliveries are not written",
        from: "turn.changes.remembered.push((fingerprint, remembered));",
        to: "",
    },
    Mutant {
        name: "a key that changed is not written",
        from: "changes.keys.insert((self.image.clone(), git_ref.clone())); self.keys.entry",
        to: "let _ = changes; self.keys.entry",
    },
    Mutant {
        name: "an uncertain build is good for all it carries",
        from: "Phase::Uncertain { .. } => Some(accepted_surely_before(live, first)),",
        to: "Phase::Uncertain { .. } => None,",
    },
    Mutant {
        name: "a build that was pending before covers all",
        from: "Fact::Attached { build, backend_ids, only_through: Some(Seq(0)) }",
        to: "Fact::Attached { build, backend_ids, only_through: None }",
    },
    Mutant { name: "listed builds that ended may be ours again", from: "self.claimed.push_back(id);", to: "drop(id);" },
    Mutant {
        name: "the build of the next call is taken for the running one",
        from: "found.filter(|theirs| !self.may_be_of_a_call_under_way(theirs)).map",
        to: "found.map",
    },
    Mutant {
        name: "time before a restart counts towards the grace",
        from: "since.max(self.since).plus(self.policy.uncertain_grace) <= now",
        to: "since.plus(self.policy.uncertain_grace) <= now",
    },
    Mutant {
        name: "a push outside the paths is passed over whatever waits",
        from: "follows && key.open.is_none() && !lane.is_under_way(git_ref) && key.lookback.is_clear(paths)",
        to: "follows && key.open.is_none() && !lane.is_under_way(git_ref)",
    },
    Mutant {
        name: "a notice that waits is forgotten at a restart",
        from: "outbox: Outbox::recover(snapshot.outbox.pending, now),",
        to: "outbox: Outbox::recover(Vec::new(), now),",
    },
    Mutant {
        name: "a notice goes with its first try",
        from: "if received { self.remove(id, changes);",
        to: "if received || id > NoticeId(0) { self.remove(id, changes);",
    },
    Mutant {
        name: "any listed build is recent enough to be ours",
        from: "Some(created_at) => created_at >= called_at.minus(CLOCK_TOLERANCE),",
        to: "Some(created_at) => created_at >= called_at.minus(CLOCK_TOLERANCE * 1_000),",
    },
];

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let first_only = words.iter().any(|word| word == "--first");
    words.retain(|word| word != "--first");
    let places_only = words.iter().any(|word| word == "--places");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = root.join("target/mutants/tree");
    if !places_only {
        copy_tree(root, &tree);
    }
    let looked_at = if places_only { root } else { &tree };
    let misplaced: Vec<String> = MUTANTS
        .iter()
        .filter_map(|Mutant { name, from, to }| plant(looked_at, from, to).err().map(|why| format!("{name}: {why}")))
        .collect();
    if !misplaced.is_empty() {
        println!("{}", misplaced.join("\n"));
        return ExitCode::FAILURE;
    }
    if places_only {
        println!("{} mistakes, each has its place", MUTANTS.len());
        return ExitCode::SUCCESS;
    }
    // In the unchanged tree, no judge may find anything: else a verdict would mean nothing.
    if let Some(found) = judge(root, &tree, false).first() {
        println!("the tree as it is: {found}");
        return ExitCode::FAILURE;
    }
    let chosen = |mutant: &&Mutant| words.is_empty() || words.iter().any(|word| mutant.name.contains(word.as_str()));
    let mut alive = 0;
    let mut table = String::from("| mistake | noticed by | seconds |\n|---|---|---|\n");
    for Mutant { name, from, to } in MUTANTS.iter().filter(chosen) {
        let begun = now();
        let (path, text, mistaken) = plant(&tree, from, to).expect("tried above");
        std::fs::write(&path, mistaken).expect("the copy");
        let noticed = judge(root, &tree, first_only);
        std::fs::write(&path, text).expect("the copy");
        alive += u32::from(noticed.is_empty());
        let noticed = if noticed.is_empty() { "NOBODY".to_owned() } else { noticed.join(", ") };
        let row = format!("| {name} | {noticed} | {} |\n", begun.elapsed().as_secs());
        print!("{row}");
        table.push_str(&row);
    }
    println!("\n{table}\n{alive} unnoticed");
    if alive == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The judges that notice something in the present tree.
fn judge(root: &Path, tree: &Path, first_only: bool) -> Vec<String> {
    let mut cargo = cargo(root, tree);
    cargo.args(["build", "--test", "it", "--example", "simulation", "--message-format", "json"]);
    let built = cargo.stderr(Stdio::null()).output().expect("cargo");
    if !built.status.success() {
        return vec!["DOES NOT COMPILE".to_owned()];
    }
    let built = String::from_utf8_lossy(&built.stdout);
    let mut noticed = Vec::new();
    for (who, program, words) in JUDGES {
        let program = executable(&built, program);
        if !passes(Command::new(program).args(words).current_dir(tree)) {
            noticed.push(who.to_owned());
            if first_only {
                break;
            }
        }
    }
    noticed
}

fn cargo(root: &Path, tree: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", root.join("target/mutants/build"));
    cargo
}

/// The path that cargo reports for the program of this name.
fn executable(messages: &str, name: &str) -> PathBuf {
    let target = format!("\"name\":\"{name}\"");
    let of_target = messages.lines().filter(|line| line.contains(&target)).find_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        rest.split_once('"').map(|(path, _)| PathBuf::from(path))
    });
    of_target.unwrap_or_else(|| panic!("cargo built no '{name}'"))
}

fn passes(program: &mut Command) -> bool {
    let begun = now();
    let mut running = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a judge");
    loop {
        if let Some(status) = running.try_wait().expect("a judge") {
            return status.success();
        }
        if begun.elapsed() > JUDGE_LIMIT {
            running.kill().expect("a judge that ends");
            running.wait().expect("a judge that ends");
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The file with the only place that reads like `from`, its text, and its text with `to` there.
fn plant(tree: &Path, from: &str, to: &str) -> Result<(PathBuf, String, String), String> {
    let mut found = Vec::new();
    for path in sources(&tree.join("src/scheduler")).into_iter().chain([tree.join("src/scheduler.rs")]) {
        let text = std::fs::read_to_string(&path).map_err(|why| why.to_string())?;
        let places = places(&text, from);
        found.extend(places.into_iter().map(|place| (path.clone(), text.clone(), place)));
    }
    let [(path, text, (begin, end))] = found.as_slice() else {
        return Err(format!("{} places read like '{from}'", found.len()));
    };
    Ok((path.clone(), text.clone(), format!("{}{to}{}", &text[..*begin], &text[*end..])))
}

/// Where `text` reads like `wanted`, white space aside.
fn places(text: &str, wanted: &str) -> Vec<(usize, usize)> {
    let solid =
        |text: &str| -> Vec<(usize, char)> { text.char_indices().filter(|(_, c)| !c.is_whitespace()).collect() };
    let (all, part) = (solid(text), solid(wanted));
    let same = |window: &&[(usize, char)]| window.iter().zip(&part).all(|((_, a), (_, b))| a == b);
    let span = |window: &[(usize, char)]| {
        let (last, c) = window[window.len() - 1];
        (window[0].0, last + c.len_utf8())
    };
    all.windows(part.len()).filter(same).map(span).collect()
}

/// All sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| sources(folder));
    files.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "rs")).chain(below).collect()
}

/// The whole library, no programs, and only the tests that need no program: all that judges need.
fn copy_tree(root: &Path, tree: &Path) {
    for name in COPIED {
        copy_into(&root.join(name), &tree.join(name));
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let tables = manifest.split("\n[").filter(|table| !table.starts_with("[bin]]") && !table.starts_with("profile."));
    let manifest =
        tables.collect::<Vec<_>>().join("\n[").replace("default-run = \"coalesced\"\n", "autobins = false\n");
    write(&tree.join("Cargo.toml"), &format!("{manifest}{PROFILE}"));
    let tests = std::fs::read_to_string(root.join("tests/it/main.rs")).expect("the tests");
    let kept =
        ["explore", "heads", "properties", "scenarios", "seeds", "sim", "world"].map(|name| format!("mod {name};"));
    let lines = tests.lines().filter(|line| !line.starts_with("mod ") || kept.iter().any(|kept| kept == line));
    write(&tree.join("tests/it/main.rs"), &lines.collect::<Vec<_>>().join("\n"));
}

fn copy_into(from: &Path, to: &Path) {
    if from.is_file() {
        if !to.ends_with("Cargo.toml") && !to.ends_with("it/main.rs") {
            write(to, &std::fs::read_to_string(from).expect("a file of text"));
        }
        return;
    }
    std::fs::create_dir_all(to).expect("a folder");
    for entry in from.read_dir().expect("a folder") {
        let entry = entry.expect("an entry");
        copy_into(&entry.path(), &to.join(entry.file_name()));
    }
}

/// Writes only what differs, so that nothing is rebuilt needlessly.
fn write(path: &Path, text: &str) {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    std::fs::write(path, text).expect("the copy");
}

#[expect(clippy::disallowed_methods, reason = "how long it took is told; nothing is decided by it")]
fn now() -> Instant {
    Instant::now()
}
