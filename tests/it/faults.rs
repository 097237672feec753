//! Each system call of the real binary failing once, or killing it: on a data directory that is new, and on one that
//! was left by a kill.
//!
//! strace makes the n-th call of a thread fail. A test run tries a few numbers of each call; `FAULTS=all` tries every one
//! that a calm run makes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::crash::{Load, Process, World, can_trace};

/// The calls, and whether they are made on other files than ours, too.
const CALLS: [(&str, bool); 9] = [
    ("openat", true),
    ("write", true),
    ("pwrite64", false),
    ("fdatasync", false),
    ("fsync", false),
    ("sync_file_range", false),
    ("rename", false),
    ("renameat", false),
    ("ftruncate", false),
];
/// The files whose calls are watched: those below the data directory with a name known in advance.
const OURS: [&str; 10] = [
    "",
    "/lock",
    "/client.json",
    "/journal",
    "/journal/db",
    "/journal/conf",
    "/journal/witness",
    "/journal.new",
    "/journal.new/db",
    "/journal.new/conf",
];
const FAULTS: [&str; 3] = ["error=EIO", "error=ENOSPC", "signal=SIGKILL"];
/// How many numbers of one call a test run tries, in each of the two directories.
const SAMPLED: usize = 2;
const BESIDE: usize = 3;
const CLIENTS: usize = 2;
const PUSHES: usize = 6;
/// A daemon that failed to write ends within this.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// The n-th call, and what happens to it.
#[derive(Clone, Debug)]
struct Fault {
    call: &'static str,
    what: &'static str,
    when: usize,
    /// On a directory left by an earlier life.
    again: bool,
}

/// How the daemon reacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    NotReached,
    /// It kept serving and ended well: what failed was not needed.
    Endured,
    /// It did not start, and said why.
    Refused,
    /// It ended by itself while serving, with an error.
    Ended,
    /// It failed at its very end, when everything was on disk.
    FailedAtItsEnd,
    Killed,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failing_call_is_answered_202_or_loses_anything() {
    if !can_trace() {
        return;
    }
    let world = World::new().await;
    let all = std::env::var("FAULTS").is_ok_and(|which| which == "all");
    let mut faults = Vec::new();
    for again in [false, true] {
        let calm = Calm::run(&world, again).await;
        for (call, _) in CALLS {
            let made = calm.made.get(call).copied().unwrap_or(0);
            let every = if all { 1 } else { made.div_ceil(SAMPLED).max(1) };
            let numbers = (1..=made).step_by(every);
            faults.extend(numbers.flat_map(|when| FAULTS.map(|what| Fault { call, what, when, again })));
        }
    }
    let world = std::sync::Arc::new(world);
    let mut sums: BTreeMap<(&str, &str, Outcome), usize> = BTreeMap::new();
    for some in faults.chunks(BESIDE) {
        let mut runs = tokio::task::JoinSet::new();
        for fault in some {
            let (world, fault) = (world.clone(), fault.clone());
            if all {
                println!("{fault:?}");
            }
            runs.spawn(async move {
                let outcome = suffer(&world, &fault).await;
                (fault, outcome)
            });
        }
        while let Some(done) = runs.join_next().await {
            let (fault, outcome) = done.expect("no run fails");
            *sums.entry((fault.call, fault.what, outcome)).or_default() += 1;
        }
    }
    println!("{} runs, false answers 0, events lost 0, hangs 0", faults.len());
    for ((call, what, outcome), times) in &sums {
        println!("{call:16} {what:15} {outcome:?} {times}");
    }
    let reached = sums.iter().filter(|((.., outcome), _)| *outcome != Outcome::NotReached).map(|(_, times)| times);
    assert!(reached.sum::<usize>() * 2 > faults.len(), "most faults never happened");
}

/// What a run without faults does.
struct Calm {
    /// The most calls that one thread made.
    made: BTreeMap<String, usize>,
}

impl Calm {
    async fn run(world: &World, again: bool) -> Self {
        let (directory, load) = place(world, again).await;
        let mut process = Process::spawn(directory.path(), &under(directory.path(), None));
        process.until_ready().await.expect("nothing fails");
        push(&load, &process, None).await;
        assert!(process.terminate().await.is_some_and(|status| status.success()), "{}", process.log());
        let mut by_thread: BTreeMap<(String, String), usize> = BTreeMap::new();
        for line in trace(directory.path()).await.lines() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
            let is_ours =
                OURS.iter().any(|path| [">", "\""].iter().any(|end| rest.contains(&format!("data{path}{end}"))));
            if CALLS.iter().any(|(known, elsewhere)| *known == call && (is_ours || !elsewhere)) {
                *by_thread.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
            }
        }
        let mut made: BTreeMap<String, usize> = BTreeMap::new();
        for ((call, _), times) in by_thread {
            let most = made.entry(call).or_default();
            *most = times.max(*most);
        }
        Self { made }
    }
}

/// A directory for one run, and what was pushed there.
async fn place(world: &World, again: bool) -> (TempDir, Load) {
    let (directory, load) = (TempDir::new().expect("a directory"), Load::default());
    world.configure(directory.path());
    if again {
        let mut process = Process::start(directory.path()).await;
        push(&load, &process, None).await;
        process.kill();
        std::fs::remove_file(directory.path().join("log")).expect("a log");
    }
    (directory, load)
}

/// Pushes until all is done or the server stops answering.
async fn push(load: &Load, process: &Process, fault: Option<&Fault>) {
    let mut clients = load.begin(CLIENTS, PUSHES, &process.url);
    while let Some(client) = clients.join_next().await {
        client.unwrap_or_else(|why| panic!("{fault:?}: {why}: {}", process.log()));
    }
}

async fn suffer(world: &World, fault: &Fault) -> Outcome {
    let (directory, load) = place(world, fault.again).await;
    let mut process = Process::spawn(directory.path(), &under(directory.path(), Some(fault)));
    let mut outcome = if process.until_ready().await.is_err() {
        Outcome::Refused
    } else {
        push(&load, &process, Some(fault)).await;
        if load.push_next(&process.url).await == Some(202) {
            process.ask_to_end();
            Outcome::FailedAtItsEnd
        } else {
            Outcome::Ended
        }
    };
    let status = process.until_ended(ENDS_WITHIN).await;
    let status = status.unwrap_or_else(|| panic!("{fault:?}: it lives on: {}", process.log()));
    let trace = trace(directory.path()).await;
    let injected = trace.lines().find(|line| line.contains("(INJECTED)"));
    if fault.what.starts_with("signal") && status.code().is_none() {
        outcome = Outcome::Killed;
    } else if status.success() {
        assert!(matches!(outcome, Outcome::FailedAtItsEnd), "{fault:?}: {status}, {outcome:?}: {}", process.log());
        outcome = if injected.is_some() { Outcome::Endured } else { Outcome::NotReached };
    } else if outcome == Outcome::Refused {
        let log = process.log();
        let says_why = log.lines().any(|line| line.starts_with("coalesced: "));
        assert!(status.code() == Some(74) && says_why, "{fault:?}: {status}: {log}");
    }
    // A failed write to the database is never ignored.
    let of_database = injected.is_some_and(|line| line.contains("/journal/db>") && !line.contains("openat"));
    assert!(!of_database || outcome != Outcome::Endured, "{fault:?}: passed over: {injected:?}");

    let process = Process::start(directory.path()).await;
    load.check_repeated(0, &process.url).await;
    load.check_listed(&process.url).await;
    outcome
}

fn under(directory: &Path, fault: Option<&Fault>) -> Vec<String> {
    let of = fault.map_or_else(|| CALLS.map(|(call, _)| call).join(","), |fault| fault.call.to_owned());
    let mut line: Vec<String> = ["strace", "-D", "-f", "-qq", "-y", "-o", "trace"].map(str::to_owned).into();
    line.extend(["-e".to_owned(), format!("trace={of}")]);
    if let Some(Fault { call, what, when, .. }) = fault {
        line.extend(["-e".to_owned(), format!("inject={call}:{what}:when={when}")]);
    }
    // It makes strace fast, and lets some deadly signals go by.
    if fault.is_none_or(|fault| !fault.what.starts_with("signal")) {
        line.push("--seccomp-bpf".to_owned());
    }
    // Calls that are made for other reasons, too, count where they name one of these.
    let elsewhere = fault.is_some_and(|fault| CALLS.contains(&(fault.call, true)));
    let root = directory.canonicalize().expect("it is there");
    if elsewhere {
        for path in OURS {
            line.extend(["-P".to_owned(), format!("{}/data{path}", root.display())]);
            line.extend(["-P".to_owned(), format!("data{path}")]);
        }
    }
    line
}

/// What strace wrote; it lives a moment longer than the daemon.
async fn trace(directory: &Path) -> String {
    tokio::time::sleep(Duration::from_millis(100)).await;
    std::fs::read_to_string(directory.join("trace")).unwrap_or_default()
}
