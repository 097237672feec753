//! What a daemon holds and does while nothing happens: 10 images, at its first start and at its second.

use std::time::Duration;

use crate::ingest::Daemon;
use crate::table::{Row, quick};

const MIB: f64 = 1024.0 * 1024.0;
/// What it may hold.
const RESIDENT_MIB: f64 = 12.0;
/// After which what starting needed is over.
const SETTLED: Duration = Duration::from_secs(2);
/// How long its threads are watched.
const WATCHED: Duration = Duration::from_secs(20);
const WATCHED_QUICKLY: Duration = Duration::from_secs(3);
/// How the threads of sled's pool begin their names.
const POOL: &str = "sled-io";

pub(crate) fn measure(rows: &mut Vec<Row>) {
    let first = Daemon::start();
    std::thread::sleep(SETTLED);
    rows.push(resident("at rest, first start", &first));
    let again = Daemon::start_in(first.end());
    std::thread::sleep(SETTLED);
    rows.push(resident("at rest, second start", &again));

    let watched = if quick() { WATCHED_QUICKLY } else { WATCHED };
    let before = wakes(&again);
    std::thread::sleep(watched);
    let after = wakes(&again);
    let a_second = |of: fn((u64, u64)) -> u64| of(after).saturating_sub(of(before)) as f64 / watched.as_secs_f64();
    let (ours, pool) = (a_second(|wakes| wakes.0), a_second(|wakes| wakes.1));
    rows.push(Row {
        what: "wake-ups at rest".to_owned(),
        ours: format!("{ours:.1} a second"),
        beside: format!("and those of sled's pool, which has no switch: {pool:.1} a second"),
        ratio: if pool > 0.0 { ours / pool } else { 0.0 },
        wanted: None,
    });
}

fn resident(what: &str, daemon: &Daemon) -> Row {
    let (all, of_files) = (daemon.memory("VmRSS:") as f64 / MIB, daemon.memory("RssFile:") as f64 / MIB);
    Row {
        what: format!("memory {what}"),
        ours: format!("{all:.1} MiB, {of_files:.1} of them pages of the program and of libraries"),
        beside: format!("wanted: {RESIDENT_MIB} MiB"),
        ratio: RESIDENT_MIB / all,
        wanted: Some(1.0),
    }
}

/// How often threads have gone to sleep so far: ours, and those of sled's pool.
fn wakes(daemon: &Daemon) -> (u64, u64) {
    let mut wakes = (0, 0);
    for thread in std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it runs") {
        let status = std::fs::read_to_string(thread.expect("a thread").path().join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let times: u64 = line.and_then(|line| line.trim().parse().ok()).unwrap_or(0);
        let is_pool = status.lines().next().is_some_and(|name| name.contains(POOL));
        if is_pool { wakes.1 += times } else { wakes.0 += times }
    }
    wakes
}
