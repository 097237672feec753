//! `kill -9` at random moments of the real binary's life, under load, in one directory that survives all of it.
//!
//! `KILLS=1000` kills more often than a test run does.

use std::collections::BTreeMap;
use std::time::Duration;

use coalesced::random::Random;

use crate::crash::{Load, Process, World, number};

const KILLS: u64 = 50;
const CLIENTS: usize = 6;
/// More than a client can make before the kill.
const PUSHES: usize = 100_000;
/// A life under load is at most so long, in microseconds.
const SERVES_MAX: u64 = 400_000;
/// A start is killed within so many microseconds, which is about as long as one takes.
const STARTS_MAX: u64 = 120_000;
/// An end is killed within so many microseconds after it was asked for.
const ENDS_MAX: u64 = 15_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Starting,
    Ending,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_lose_nothing_that_was_answered_202() {
    let (kills, seed) = (number("KILLS", KILLS), number("CRASH_SEED", 1));
    println!("CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let world = World::new().await;
    let directory = world.directory.path();
    let load = Load::default();
    let mut by_phase: BTreeMap<Phase, u64> = BTreeMap::new();
    let (mut checked, mut slowest) = (0, Duration::ZERO);
    for _ in 0..kills {
        let phase = match random.below(6) {
            0 => Phase::Starting,
            1 => Phase::Ending,
            _ => Phase::Serving,
        };
        *by_phase.entry(phase).or_default() += 1;
        let mut process = Process::spawn(directory, &[]);
        if phase == Phase::Starting {
            tokio::time::sleep(some_micros(&mut random, STARTS_MAX)).await;
            process.kill();
            continue;
        }
        slowest = slowest.max(ready(&mut process).await);
        checked = load.check_repeated(checked, &process.url).await;
        let mut clients = load.begin(CLIENTS, PUSHES, &process.url);
        tokio::time::sleep(some_micros(&mut random, SERVES_MAX)).await;
        if phase == Phase::Ending {
            process.ask_to_end();
            process.until_ended(some_micros(&mut random, ENDS_MAX)).await;
        }
        process.kill();
        while let Some(client) = clients.join_next().await {
            client.expect("no client fails");
        }
    }
    let mut process = Process::spawn(directory, &[]);
    slowest = slowest.max(ready(&mut process).await);
    load.check_repeated(checked, &process.url).await;
    let listed = load.check_listed(&process.url).await;
    println!(
        "kills {kills}: {by_phase:?}; events acknowledged {}, listed {listed}, lost 0, torn deliveries 0; slowest start to \
         ready {slowest:?}",
        load.events(),
    );
    assert!(load.events() as u64 > kills, "only {} events were acknowledged", load.events());
    assert!(process.terminate().await.is_some_and(|status| status.success()), "{}", process.log());
}

async fn ready(process: &mut Process) -> Duration {
    match process.until_ready().await {
        Ok(took) => took,
        Err(status) => panic!("after a kill it ends with {status}: {}", process.log()),
    }
}

fn some_micros(random: &mut Random, below: u64) -> Duration {
    Duration::from_micros(random.below(below))
}
