//! Several lives of the real binary in one directory, written down call by call.

use std::path::Path;
use std::time::{Duration, Instant};

use super::disk::{Disk, Honours, Image, Model};
use super::trace::{Reading, Record, WATCHED, read};
use crate::crash::{Load, Process, World};
use crate::daemon::PATIENCE;

/// How one life ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Killed at the n-th of these calls that one thread makes. The journal's thread makes all syncs.
    AtCall(&'static str, u32),
    /// Killed so much after it was started.
    KilledOnItsWayUp(Duration),
    /// Killed under load.
    Killed,
    /// Asked to end under load, and killed so much later.
    KilledOnItsWayOut(Duration),
    /// Asked to end under load, and let go.
    InOrder,
}

const LIVES: [Ending; 9] = [
    Ending::AtCall("fsync", 2),
    Ending::KilledOnItsWayUp(Duration::from_millis(60)),
    Ending::Killed,
    Ending::AtCall("fdatasync", 9),
    Ending::InOrder,
    Ending::KilledOnItsWayOut(Duration::from_millis(3)),
    Ending::AtCall("fsync", 3),
    Ending::AtCall("pwrite64", 20),
    Ending::InOrder,
];
const CLIENTS: usize = 6;
/// Pushes of one client in one life.
const PUSHES: usize = 5;
/// How long a load may run before a life ends: some of it is cut off.
const LOAD: Duration = Duration::from_millis(600);
/// More calls than this that were under way at a death would take too long to judge.
const UNFINISHED_MAX: usize = 10;

/// Where in a life something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Starting,
    Serving,
    Ending,
}

/// Everything that happened, in order, over all lives.
pub(crate) struct Recording {
    pub(crate) records: Vec<(Phase, Record)>,
    pub(crate) lives: usize,
    /// What the clients know.
    pub(crate) load: Load,
}

/// Plays all lives in the directory of `world`.
pub(crate) async fn record(world: &World) -> Recording {
    let root = world.directory.path().canonicalize().expect("it is there");
    let load = Load::default();
    let mut disk = Disk::new(Honours::Everything);
    let mut records = Vec::new();
    for (life, ending) in LIVES.into_iter().enumerate() {
        let trace = format!("trace-{life}");
        live(&root, &load, ending, &trace).await;
        let text = whole_trace(&root.join(&trace)).await;
        let reading = read(&text, &root);
        let happened = settle_doubts(&disk, reading, &root);
        for record in &happened {
            disk.apply(record);
        }
        records.extend(in_phases(happened));
    }
    Recording { records, lives: LIVES.len(), load }
}

async fn live(root: &Path, load: &Load, ending: Ending, trace: &str) {
    // -D: the daemon is our own child. -xx: every text in digits. -s: no text is cut.
    let options = ["strace", "-D", "-f", "-qq", "-y", "-xx", "-s", "4194304", "-e", WATCHED, "-o", trace];
    let mut under = options.map(str::to_owned).to_vec();
    if let Ending::AtCall(call, number) = ending {
        under.extend(["-e".to_owned(), format!("inject={call}:signal=SIGKILL:when={number}")]);
    } else {
        // It makes strace fast, and lets some deadly signals go by.
        under.push("--seccomp-bpf".to_owned());
    }
    let mut process = Process::spawn(root, &under);
    if let Ending::KilledOnItsWayUp(after) = ending {
        tokio::time::sleep(after).await;
        return process.kill();
    }
    if process.until_ready().await.is_err() {
        assert!(matches!(ending, Ending::AtCall(..)), "{ending:?}: {}", process.log());
        return;
    }
    let mut clients = load.begin(CLIENTS, PUSHES, &process.url);
    let all_done = async { while clients.join_next().await.is_some() {} };
    match ending {
        Ending::AtCall(..) => assert!(tokio::time::timeout(PATIENCE, all_done).await.is_ok(), "a client hangs"),
        _ => drop(tokio::time::timeout(LOAD, all_done).await),
    }
    match ending {
        Ending::AtCall(..) | Ending::Killed | Ending::KilledOnItsWayUp(_) => process.kill(),
        Ending::KilledOnItsWayOut(after) => {
            process.ask_to_end();
            process.until_ended(after).await;
            process.kill();
        }
        Ending::InOrder => {
            let status = process.terminate().await;
            assert!(status.is_some_and(|status| status.success()), "{status:?}: {}", process.log());
        }
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no client fails");
    }
}

/// The tracer lives a moment longer than the daemon. What it wrote is whole when it stops to grow.
async fn whole_trace(path: &Path) -> String {
    let begun = Instant::now();
    let mut length = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if !text.is_empty() && text.len() == length && text.ends_with('\n') {
            return text;
        }
        length = text.len();
        assert!(begun.elapsed() < PATIENCE, "the trace does not end");
    }
}

/// A call that was under way when the process died may have happened. The directory tells: with the right ones, the
/// replayed disk holds what it holds, byte by byte. So a recording that misses anything fails here.
fn settle_doubts(disk: &Disk, reading: Reading, root: &Path) -> Vec<Record> {
    let truth = Image::of(root);
    let Reading { mut records, unfinished } = reading;
    assert!(unfinished.len() <= UNFINISHED_MAX, "{} calls were under way", unfinished.len());
    let mut replayed = disk.clone();
    for record in &records {
        replayed.apply(record);
    }
    let mut nearest = String::new();
    for choice in 0..1_u32 << unfinished.len() {
        let chosen = |(index, _): &(usize, &Record)| choice & (1 << index) != 0;
        let chosen: Vec<Record> =
            unfinished.iter().enumerate().filter(chosen).map(|(_, record)| record.clone()).collect();
        let mut tried = replayed.clone();
        for record in &chosen {
            tried.apply(record);
        }
        let image = tried.image(Model::Whole);
        if image.files == truth.files {
            records.extend(chosen);
            return records;
        }
        nearest = image.differences(&truth);
    }
    panic!("the recording misses something (replayed and real): {nearest}");
}

fn in_phases(records: Vec<Record>) -> impl Iterator<Item = (Phase, Record)> {
    let mut phase = Phase::Starting;
    records.into_iter().map(move |record| {
        match record {
            Record::Answered | Record::Acknowledged { .. } => phase = phase.max(Phase::Serving),
            Record::Ending => phase = Phase::Ending,
            _ => {}
        }
        (phase, record)
    })
}
