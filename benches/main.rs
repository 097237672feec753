//! Every measurement, in one table: `cargo bench`; some of them: `cargo bench -- journal ingest`.
//!
//! Each figure is shown next to another of the same run, because machines differ and are seldom quiet: read the ratios.
//! docs/performance.md says how.

mod history;
mod idle;
mod ingest;
mod journal;
mod scheduler;
mod table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Part = (&'static str, fn(&mut Vec<table::Row>));

const PARTS: [Part; 5] = [
    ("scheduler", scheduler::measure),
    ("journal", journal::measure),
    ("ingest", ingest::measure),
    ("history", history::measure),
    ("idle", idle::measure),
];

fn main() {
    if ingest::serve_if_told() {
        return;
    }
    let is_name = |word: &String| word.starts_with(|first: char| first.is_alphabetic());
    let words: Vec<String> = std::env::args().skip(1).filter(is_name).collect();
    let mut rows = Vec::new();
    for (name, measure) in PARTS {
        if words.is_empty() || words.iter().any(|word| word == name) {
            measure(&mut rows);
        }
    }
    table::print(&rows);
}
