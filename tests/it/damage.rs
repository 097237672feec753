//! A journal damaged on disk: flipped bits, zeroed and garbled pages, files truncated and deleted.
//!
//! Whatever is left of it: the daemon never hangs, and never serves with fewer acknowledged events than before without
//! saying so. It may refuse to start (exit code 74 and a sentence), or start with a copy, if it says so in its log and
//! in `/health`. `DAMAGES=2000` tries more places than a test run does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use coalesced::random::Random;
use serde_json::json;
use tempfile::TempDir;

use crate::crash::{Load, Process, World, in_memory, number};

const DAMAGES: u64 = 200;
const BESIDE: u64 = 2;
const CLIENTS: usize = 4;
/// Pushes of one client in one life of a store.
const PUSHES: usize = 20;
const PAGE: usize = 4_096;

/// How a store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    /// Closed in order, twice.
    Closed,
    /// Killed in its first life: all is in the log.
    Killed,
}

/// How the daemon handled a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Everything is there.
    Whole,
    /// It did not start, with exit code 74 and a sentence.
    Refused,
    /// It started with less, and said so in its log and in `/health`.
    SaidSo,
    /// It started, and says that it can't read when it is asked for what is damaged.
    FailsAtReading,
    /// It serves with less than was acknowledged, and doesn't say so.
    Silent,
}

struct Store {
    directory: TempDir,
    load: Load,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_damage_makes_it_hang_or_silently_forget() {
    let (damages, seed) = (number("DAMAGES", DAMAGES), number("CRASH_SEED", 1));
    println!("CRASH_SEED={seed}");
    let world = Arc::new(World::new().await);
    let stores = [(Left::Closed, store(&world, Left::Closed).await), (Left::Killed, store(&world, Left::Killed).await)];
    let stores = Arc::new(stores);
    let sums: Arc<Mutex<BTreeMap<(Left, Outcome), u64>>> = Arc::default();
    let silent: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..BESIDE {
        let (world, stores, sums, silent) = (world.clone(), stores.clone(), sums.clone(), silent.clone());
        workers.spawn(async move {
            for number in (worker..damages).step_by(usize::try_from(BESIDE).expect("few")) {
                let (left, store) = &stores[usize::from(number % 4 > 1)];
                let mut random = Random::new(seed.wrapping_mul(1_000_003) + number);
                let (what, outcome) = attempt(&world, store, &mut random).await;
                *sums.lock().expect("nobody panicked").entry((*left, outcome)).or_default() += 1;
                if outcome == Outcome::Silent {
                    silent.lock().expect("nobody panicked").push(format!("{left:?}: {what}"));
                }
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.expect("no attempt fails");
    }
    for ((left, outcome), times) in sums.lock().expect("nobody panicked").iter() {
        println!("{left:?}: {outcome:?} {times}");
    }
    let silent = silent.lock().expect("nobody panicked");
    assert!(silent.is_empty(), "CRASH_SEED={seed}: silently forgot: {silent:#?}");
}

async fn store(world: &World, left: Left) -> Store {
    let directory = in_memory();
    world.configure(directory.path());
    let load = Load::default();
    for life in 0..2 {
        let mut process = Process::start(directory.path()).await;
        let mut clients = load.begin(CLIENTS, PUSHES, &process.url);
        while let Some(client) = clients.join_next().await {
            client.expect("no client fails");
        }
        if left == Left::Closed {
            assert!(process.terminate().await.is_some_and(|status| status.success()), "{}", process.log());
        } else if life == 0 {
            process.kill();
            break;
        }
    }
    std::fs::remove_file(directory.path().join("log")).expect("a log");
    Store { directory, load }
}

/// Damages a copy at one place and starts the daemon on it.
async fn attempt(world: &World, store: &Store, random: &mut Random) -> (String, Outcome) {
    let directory = in_memory();
    world.configure(directory.path());
    copy(&store.directory.path().join("data"), &directory.path().join("data"));
    let what = damage(&directory.path().join("data/journal"), random);
    let mut process = Process::spawn(directory.path(), &[]);
    if let Err(status) = process.until_ready().await {
        let log = process.log();
        let said = log.lines().last().unwrap_or_default();
        assert!(status.code() == Some(74) && said.starts_with("coalesced: "), "{what}: {status}: {log}");
        return (what, Outcome::Refused);
    }
    let Ok(found) = store.load.listed(&process.url).await else { return (what, Outcome::FailsAtReading) };
    if store.load.missing_of(&found).is_empty() {
        return (what, Outcome::Whole);
    }
    let health = store.load.get(&process.url, "/health").await;
    let in_log = process.log().lines().any(|line| line.contains("\"ERROR\"") && line.contains("journal"));
    let said = in_log && health["status"] == json!("degraded");
    let missing = store.load.missing_of(&found).len();
    (format!("{what}: {missing} events"), if said { Outcome::SaidSo } else { Outcome::Silent })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("a copy");
        }
    }
}

/// Damages one place of one file, the database's most of the time, and says which.
fn damage(journal: &Path, random: &mut Random) -> String {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(journal).expect("a journal").map(|e| e.expect("one").path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    let path = if random.one_in(4) { files[random.index(files.len())].clone() } else { journal.join("db") };
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let mut content = std::fs::read(&path).expect("a file");
    let at = random.index(content.len());
    let page = at / PAGE * PAGE..content.len().min((at / PAGE + 1) * PAGE);
    let what = match random.below(12) {
        0..5 => {
            content[at] ^= 1 << random.below(8);
            format!("a bit at {at}")
        }
        5..7 => {
            content[page.clone()].fill(0);
            format!("zeros at {page:?}")
        }
        7..9 => {
            content[page.clone()].iter_mut().for_each(|byte| *byte = (random.draw() & 0xff) as u8);
            format!("garbage at {page:?}")
        }
        9..11 => {
            content.truncate(at);
            format!("cut at {at}")
        }
        _ => {
            std::fs::remove_file(&path).expect("it was there");
            return format!("no {name}");
        }
    };
    std::fs::write(&path, content).expect("it can be written");
    format!("{name}: {what}")
}
