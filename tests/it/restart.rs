//! `kill -9` at the worst moments: no event that was answered 202 is lost, and a kill costs one build at most.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use coalesced::emulator::{Fault, HubSettings, Mode, TakesTip};
use serde_json::Value;

use crate::daemon::{Push, Stage, builds_take, quiet};

fn ids(events: &Value) -> BTreeSet<String> {
    let events = events.as_array().expect("a list");
    events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_was_answered_202_is_there_after_a_kill() {
    let mut stage = Stage::set(builds_take(200), quiet("1s")).await;
    let mut accepted = BTreeSet::new();
    for number in 1..=6 {
        let answer = stage.push(&Push::to_branch("master", number)).await;
        stage.daemon.kill();
        accepted.extend(ids(&answer["receipts"]));
        stage.daemon.restart().await;
        let (_, events) = stage.daemon.get("/v1/events?limit=1000").await;
        assert_eq!(ids(&events), accepted);
    }
    // A redelivery answers with the receipt of before the kills.
    let (status, again) = stage.daemon.push(&Push::to_branch("master", 1)).await;
    assert_eq!((status, &again["repeated"]), (202, &Value::Bool(true)));
    assert!(accepted.is_superset(&ids(&again["receipts"])));
    stage.daemon.until_at_rest().await;
    assert!(stage.has_built(&Push::to_branch("master", 6).after));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_a_burst_loses_nothing() {
    for (mode, takes_tip) in [(Mode::Classic, TakesTip::WhenTriggered), (Mode::Current, TakesTip::WhenStarted)] {
        let mut stage = Stage::set(HubSettings { mode, takes_tip, ..builds_take(400) }, quiet("1s")).await;
        for number in 1..=25 {
            stage.push(&Push::to_branch("master", number)).await;
        }
        stage.daemon.kill();
        stage.daemon.restart().await;
        for number in 26..=50 {
            stage.push(&Push::to_branch("master", number)).await;
        }
        all_built(&stage, 50, 2 + 1).await;
    }
}

/// sled's tables are nearly empty, and must not be filled with zeros out of memory that was used before.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_starts_again_holds_no_more_memory_than_at_first() {
    const MORE_KIB_MAX: u64 = 3 * 1024;
    if !option_env!("CFLAGS").is_some_and(|flags| flags.contains("MI_DEFAULT_ARENA_MAX_OBJECT_SIZE")) {
        println!("skipped: this was built with C flags of its own, not with those of .cargo/config.toml");
        return;
    }
    let mut stage = Stage::set(builds_take(200), quiet("1s")).await;
    let at_first = stage.daemon.anonymous_kib();
    for again in 1..=2 {
        stage.daemon.terminate();
        stage.daemon.restart().await;
        // What starting needed is given back in a moment.
        let mut now = stage.daemon.anonymous_kib();
        for _ in 0..30 {
            if now <= at_first + MORE_KIB_MAX {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            now = stage.daemon.anonymous_kib();
        }
        assert!(now <= at_first + MORE_KIB_MAX, "{at_first} KiB at first, {now} KiB after {again} more");
    }
}

/// The Hub has counted the call; what the daemon knows of it is chance, and must not matter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_right_after_the_call_began_costs_one_build_at_most() {
    for takes_tip in [TakesTip::WhenTriggered, TakesTip::WhenStarted] {
        let mut stage = Stage::set(HubSettings { takes_tip, ..builds_take(400) }, short_grace()).await;
        stage.push(&Push::to_branch("master", 1)).await;
        stage.until_triggered(1).await;
        stage.daemon.kill();
        stage.tip(&Push::to_branch("master", 2));
        stage.daemon.restart().await;
        stage.push(&Push::to_branch("master", 2)).await;
        all_built(&stage, 2, 2 + 1).await;
    }
}

/// The call had its effect, its answer was lost, and the daemon dies while uncertain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_a_call_is_uncertain_costs_one_build_at_most() {
    for fault in [Fault::LoseAnswer, Fault::LoseTrigger] {
        let mut stage = Stage::set(builds_take(400), short_grace()).await;
        stage.hub.plan(fault);
        stage.push(&Push::to_branch("master", 1)).await;
        stage.until_triggered(1).await;
        stage.daemon.kill();
        stage.daemon.restart().await;
        all_built(&stage, 1, 1 + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_order_ends_with_zero_and_carries_on() {
    let mut stage = Stage::set(builds_take(300), quiet("1s")).await;
    stage.push(&Push::to_branch("master", 1)).await;
    assert_eq!(stage.daemon.terminate(), Some(0), "{}", stage.daemon.log());
    stage.daemon.restart().await;
    all_built(&stage, 1, 1).await;
}

/// Reads what the kernel was asked to do: between a request and its 202 lies a finished sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_202_is_written_before_its_sync() {
    let usable = Command::new("strace").args(["-D", "-o", "/dev/null", "true"]).stdout(Stdio::null()).status();
    if !usable.is_ok_and(|status| status.success()) {
        println!("skipped: strace is missing here, or may not trace");
        return;
    }
    let calls = "trace=fsync,fdatasync,read,recvfrom,sendto,write,writev";
    let under = ["strace", "-D", "-f", "-s", "24", "-e", calls, "-o", "trace"].map(str::to_owned).to_vec();
    let mut stage = Stage::set(builds_take(100), crate::daemon::Wanted { under, ..quiet("1s") }).await;
    for number in 1..=5 {
        stage.push(&Push::to_branch("master", number)).await;
    }
    stage.daemon.terminate();
    let trace = std::fs::read_to_string(stage.daemon.directory.path().join("trace")).expect("a trace");
    let (mut synced, mut answers) = (false, 0);
    for line in trace.lines() {
        if line.contains("\"POST /hooks") {
            synced = false;
        } else if (line.contains("fsync") || line.contains("fdatasync")) && line.trim_end().ends_with("= 0") {
            synced = true;
        } else if line.contains("\"HTTP/1.1 202") && !line.contains("read") && !line.contains("recv") {
            assert!(synced, "a 202 before its sync:\n{trace}");
            answers += 1;
        }
    }
    assert_eq!(answers, 5, "{trace}");
}

fn short_grace() -> crate::daemon::Wanted {
    crate::daemon::Wanted { defaults: "uncertain_grace = \"1s\"\nuncertain_limit = \"2s\"", ..quiet("200ms") }
}

/// Every push up to `last` is built in the end, in at most so many builds, the newest by the Hub's truth.
async fn all_built(stage: &Stage, last: u32, builds_max: usize) {
    stage.daemon.until_at_rest().await;
    let (_, events) = stage.daemon.get("/v1/events?limit=1000").await;
    let events = events.as_array().expect("a list");
    assert_eq!(events.len(), last as usize);
    assert!(events.iter().all(|event| event["state"] == "built"), "{events:#?}");
    let builds = stage.builds();
    assert!(builds.len() <= builds_max, "{builds:#?}\n{}", stage.daemon.log());
    assert!(stage.has_built(&Push::to_branch("master", last).after), "{builds:#?}\n{}", stage.daemon.log());
    let counters = stage.hub.counters();
    assert!(counters.most_queued <= 1 && counters.most_running <= 1, "{counters:?}");
}
