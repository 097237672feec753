//! Runs the simulation: a fixed set of histories, then fresh ones for `SIM_SECONDS` (none by default). `SEED=n` plays one.

// The table of marks is for the long run alone (`examples/simulation.rs`).
#[allow(dead_code)]
#[path = "sim/simulation.rs"]
pub(crate) mod simulation;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::simulation::{MARKS_FROM, Tally, play};

/// Played every time, so that a change that breaks one of them is seen on every machine.
const FIXED: std::ops::Range<u64> = 0..300;

#[test]
fn the_last_push_is_never_lost() {
    let mut tally = Tally::default();
    if let Some(seed) = number("SEED") {
        return play(seed, &mut tally).unwrap_or_else(|why| panic!("{why}"));
    }
    for seed in FIXED {
        play(seed, &mut tally).unwrap_or_else(|why| panic!("{why}"));
    }
    #[expect(clippy::disallowed_methods, reason = "fresh histories come from the clock, and are printed")]
    let begun = SystemTime::now();
    let first = begun.duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
    let first = u64::try_from(first).expect("a moment of this age");
    println!("fresh histories from SEED={first} on");
    let seconds = Duration::from_secs(number("SIM_SECONDS").unwrap_or(0));
    let mut seed = first;
    while begun.elapsed().unwrap_or(seconds) < seconds {
        play(seed, &mut tally).unwrap_or_else(|why| panic!("{why}"));
        seed += 1;
    }
    println!("{}", tally.summary());
    let unreached = tally.marks.unreached();
    assert!(tally.histories < MARKS_FROM || unreached.is_empty(), "never reached: {unreached:#?}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
