//! Many histories against the real scheduler: `cargo run --release --example simulation -- --histories 1000000`.
//!
//! `--seed N` says where to begin. It fails at the first broken promise, and where a rare branch was never reached.

#[path = "../tests/it/sim/simulation.rs"]
mod simulation;

use std::process::ExitCode;
use std::time::Instant;

use simulation::{MARKS_FROM, Tally, in_summary, play};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let number = |name: &str, otherwise: u64| {
        let at = words.iter().position(|word| word == name);
        at.and_then(|at| words.get(at + 1)?.parse().ok()).unwrap_or(otherwise)
    };
    let (histories, first) = (number("--histories", 20_000), number("--seed", 1));
    std::panic::set_hook(Box::new(|_| {}));
    #[expect(clippy::disallowed_methods, reason = "how long it took is told; nothing is decided by it")]
    let begun = Instant::now();
    println!("{histories} histories from --seed {first} on");
    let mut tally = Tally::default();
    for seed in first..first + histories {
        if let Err(why) = play(seed, &mut tally) {
            println!("{why}");
            return ExitCode::FAILURE;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    for (mark, count) in tally.marks.counts().iter().filter(|(mark, _)| !in_summary(mark)) {
        println!("{count:>12}  {mark}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = tally.histories as f64 / took * 60.0;
    println!("{}\n{took:.1} s: {rate:.0} histories a minute", tally.summary());
    let unreached = tally.marks.unreached();
    if unreached.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("never reached: {unreached:#?}");
    if histories >= MARKS_FROM { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
