//! What a long history costs: starts, memory and the way in with many events on disk, and the disk that they take.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::ingest::load;
use crate::ingest::{Daemon, configuration};
use crate::journal::Ours;
use crate::table::{MIB, Row, median, mib, quick};

/// How many events are there, how soon the daemon must be ready with them, and in how many bytes of memory.
const SIZES: [(u64, Duration, u64); 2] =
    [(100_000, Duration::from_millis(500), 64 * MIB), (1_000_000, Duration::from_secs(2), 128 * MIB)];
/// What a long life sees, of which as many are kept as the configuration does unless told, and the disk that it may take.
const WRITTEN: u64 = 3_000_000;
const KEPT: u64 = 200_000;
const DISK_MAX: u64 = 96 * MIB;
/// Events of one commit while a history is made.
const GROUP: usize = 512;
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const STARTS: usize = 3;

pub(crate) fn measure(rows: &mut Vec<Row>) {
    let part = if quick() { 10 } else { 1 };
    for (events, soon, memory) in SIZES {
        let events = events / part;
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("coalesced.toml"), configuration()).expect("a configuration");
        write(&directory.path().join("data"), events, u64::MAX);
        with_history(events, soon, memory, directory, rows);
    }
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), WRITTEN / part, KEPT / part);
    let taken = size_of(directory.path());
    rows.push(Row {
        what: format!("disk after {} events, {} kept", WRITTEN / part, KEPT / part),
        ours: format!("{:.1} MiB", mib(taken)),
        beside: format!("wanted: {:.0} MiB", mib(DISK_MAX)),
        ratio: mib(DISK_MAX) / mib(taken),
        wanted: Some(1.0),
    });
}

fn with_history(events: u64, soon: Duration, memory: u64, mut directory: tempfile::TempDir, rows: &mut Vec<Row>) {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let (started, after) = timed(|| Daemon::start_in(directory));
        took.push(after.as_secs_f64());
        directory = started.end();
    }
    let daemon = Daemon::start_in(directory);
    let at_start = daemon.memory_peak();
    let fresh = Daemon::start();
    let ((), fresh_took) = timed(|| drop(Daemon::start()));
    let took = median(took);
    rows.push(Row {
        what: format!("start with {events} events"),
        ours: format!("ready after {took:.2} s"),
        beside: format!("wanted: {:.1} s; with none: {:.2} s", soon.as_secs_f64(), fresh_took.as_secs_f64()),
        ratio: soon.as_secs_f64() / took,
        wanted: Some(1.0),
    });
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(load::run(fresh.address, CONNECTIONS, ROUND).rate());
        with.push(load::run(daemon.address, CONNECTIONS, ROUND).rate());
    }
    let (with, without) = (median(with), median(without));
    rows.push(Row {
        what: format!("ingest with {events} events, {CONNECTIONS} connections"),
        ours: format!("{with:.0}/s"),
        beside: format!("with none at first: {without:.0}/s"),
        ratio: with / without,
        wanted: Some(0.9),
    });
    let peak = |daemon: &Daemon| mib(daemon.memory_peak());
    rows.push(Row {
        what: format!("memory with {events} events, at its highest"),
        ours: format!("{:.0} MiB, {:.0} MiB under that load", mib(at_start), peak(&daemon)),
        beside: format!("wanted: {:.0} MiB; with none at first: {:.0} MiB under the load", mib(memory), peak(&fresh)),
        ratio: mib(memory) / mib(at_start),
        wanted: Some(1.0),
    });
}

/// Writes so many events of the last days, as a daemon that takes them in by the hundreds.
fn write(data_dir: &Path, events: u64, kept: u64) {
    let mut journal = Ours::open(data_dir);
    let now = coalesced::clock::wall();
    let mut written = 0;
    while written < events {
        let age = Duration::from_millis((events - written) * 50);
        journal.commit_at(GROUP, now.minus(age), kept);
        written += GROUP as u64;
    }
    journal.close();
}

#[expect(clippy::disallowed_methods, reason = "this measures")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let made = work();
    (made, begun.elapsed())
}

fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    let size = |entry: std::fs::DirEntry| {
        let meta = entry.metadata().expect("it is there");
        if meta.is_dir() { size_of(&entry.path()) } else { meta.len() }
    };
    entries.map(size).sum()
}
