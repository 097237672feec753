//! Every state of small scopes: `cargo run --release --example explore [-- --wrong N | --small] [--scope N] [--threads N] [--layers]`.
//!
//! `--wrong N` puts the N-th wrong design around the scheduler, which must be found: its story is printed. How much of each
//! kind may happen is chosen for all scopes by `--pushes N`, `--taps N`, `--late N`, `--again N`, `--crashes N`,
//! `--calls N`, `--unreadable N`, `--stale N`, `--bad N`, `--waits N`; each increment makes it several times larger.

#[path = "../tests/it/explore/explorer.rs"]
mod explorer;

use std::process::ExitCode;
use std::time::Instant;

use explorer::{Budget, Scope, WRONGS, Wrong, explore, large, small, story_of};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let number = |name: &str| -> Option<usize> {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1)?.parse().ok()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = number("--threads").unwrap_or(cores).max(1);
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(wrong) = number("--wrong") {
        let Some(wrong) = wrong.checked_sub(1).and_then(|index| WRONGS.get(index)) else {
            println!("wrong designs: 1 to {}", WRONGS.len());
            return ExitCode::FAILURE;
        };
        return prove(*wrong, threads);
    }
    let mut scopes = if words.iter().any(|word| word == "--small") { small() } else { large() };
    for Scope { budget, .. } in &mut scopes {
        let Budget { pushes, taps, late, again, crashes, calls, unreadable, stale, bad, waits } = budget;
        let kinds: [(&str, &mut u8); 10] = [
            ("--pushes", pushes),
            ("--taps", taps),
            ("--late", late),
            ("--again", again),
            ("--crashes", crashes),
            ("--calls", calls),
            ("--unreadable", unreadable),
            ("--stale", stale),
            ("--bad", bad),
            ("--waits", waits),
        ];
        for (name, kind) in kinds {
            *kind = number(name).and_then(|chosen| u8::try_from(chosen).ok()).unwrap_or(*kind);
        }
    }
    let scopes = match number("--scope") {
        Some(chosen) => scopes.into_iter().skip(chosen.saturating_sub(1)).take(1).collect(),
        None => scopes,
    };
    run(scopes, threads, words.iter().any(|word| word == "--layers"))
}

/// Success if the wrong design is found.
fn prove(wrong: Wrong, threads: usize) -> ExitCode {
    println!("{wrong:?}");
    let Some(story) = story_of(wrong, threads) else {
        println!("it was not noticed");
        return ExitCode::FAILURE;
    };
    println!("{story}");
    ExitCode::SUCCESS
}

fn run(scopes: Vec<Scope>, threads: usize, layers: bool) -> ExitCode {
    println!("{:>10} {:>12} {:>6} {:>8} {:>8}", "states", "transitions", "depth", "at rest", "seconds");
    let (mut states, mut transitions, mut all) = (0u64, 0, 0.0);
    for scope in scopes {
        #[expect(clippy::disallowed_methods, reason = "how long it took is told; nothing is decided by it")]
        let begun = Instant::now();
        let told = |depth: u32, width: usize| {
            if layers {
                eprintln!("{width:>10} states {depth} turns from the beginning");
            }
        };
        let count = match explore(&scope, threads, told) {
            Ok(count) => count,
            Err(story) => {
                println!("{story}");
                return ExitCode::FAILURE;
            }
        };
        let took = begun.elapsed().as_secs_f64();
        let explorer::Count { states: here, transitions: turns, depth, at_rest, widest } = count;
        println!("{here:>10} {turns:>12} {depth:>6} {at_rest:>8} {took:>8.1}  {} (widest {widest})", scope.name);
        states += u64::from(here);
        transitions += turns;
        all += took;
    }
    println!("{states:>10} {transitions:>12} {:>6} {:>8} {all:>8.1}  no promise was broken", "", "");
    ExitCode::SUCCESS
}
