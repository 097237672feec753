//! What a daemon holds and does while nothing happens: 10 images, at its first start and at its second.

use std::time::Duration;

use crate::ingest::Daemon;
use crate::table::{MIB, Row, mib, quick};

/// What it may hold.
const RESIDENT_MAX: u64 = 12 * MIB;
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
    let a_second = |before: f64, after: f64| (after - before) / watched.as_secs_f64();
    let (ours, pool) = (a_second(before.0, after.0), a_second(before.1, after.1));
    rows.push(Row {
        what: "wake-ups at rest".to_owned(),
        ours: format!("{ours:.1} a second"),
        beside: format!("and those of sled's pool, which has no switch: {pool:.1} a second"),
        ratio: if pool > 0.0 { ours / pool } else { 0.0 },
        wanted: None,
    });
}

fn resident(what: &str, daemon: &Daemon) -> Row {
    let (all, of_files) = (mib(daemon.memory("VmRSS:")), mib(daemon.memory("RssFile:")));
    Row {
        what: format!("memory {what}"),
        ours: format!("{all:.1} MiB, {of_files:.1} of them pages of the program and of libraries"),
        beside: format!("wanted: {:.0} MiB", mib(RESIDENT_MAX)),
        ratio: mib(RESIDENT_MAX) / all,
        wanted: Some(1.0),
    }
}

/// How often threads have gone to sleep so far: ours, and those of sled's pool.
fn wakes(daemon: &Daemon) -> (f64, f64) {
    let mut wakes = (0.0, 0.0);
    for thread in std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it runs") {
        let status = std::fs::read_to_string(thread.expect("a thread").path().join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let times: f64 = line.and_then(|line| line.trim().parse().ok()).unwrap_or(0.0);
        let is_pool = status.lines().next().is_some_and(|name| name.contains(POOL));
        if is_pool { wakes.1 += times } else { wakes.0 += times }
    }
    wakes
}
