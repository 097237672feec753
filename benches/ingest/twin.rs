//! The daemon without its store: all of its parts, but the journal is the twin that keeps its rows in memory. Before each
//! answer it may append them to a file, which is about the least that a disk costs.

use std::path::Path;

use coalesced::config::{Config, Listen};
use coalesced::driver::{Configuration, Driver, HistoryLimit, Parts};
use coalesced::http::{self, App, Listeners};
use coalesced::journal::{MemoryJournal, Storage};
use coalesced::scheduler::Snapshot;
use coalesced::telemetry;
use tokio_util::sync::CancellationToken;

use super::appended::Appended;

/// The argument that makes this program the one that keeps all in memory.
pub(super) const IN_MEMORY: &str = "--serve-in-memory";
/// The argument that makes it the one that appends to a file.
pub(super) const APPENDED: &str = "--serve-appended";

pub(super) async fn serve_in_memory() {
    let memory = MemoryJournal::default();
    serve(memory.clone(), memory).await;
}

pub(super) async fn serve_appended() {
    let memory = MemoryJournal::default();
    serve(memory.clone(), Appended::new(memory)).await;
}

/// Says where it listens, and serves.
async fn serve(rows: MemoryJournal, journal: impl Storage + Sync) {
    telemetry::init();
    let text = super::configuration();
    let config = Config::parse(&text, "bench.toml", Path::new("."), &|_| None).expect("a configuration");
    let listeners = Listeners::bind(&config.fixed.listen).expect("bound");
    let addresses = listeners.addresses();
    let Some(Listen::Tcp(address)) = addresses.first() else { panic!("it listens at {addresses:?}") };
    let (driver, handle, first_step) = Driver::new(Parts {
        reader: rows.reader(),
        journal,
        snapshot: Snapshot::default(),
        configuration: Configuration::new(config.rules, 1).expect("back-ends"),
        history: HistoryLimit { age: config.fixed.history, events: u64::from(config.fixed.history_events) },
        receipts_url: format!("http://{address}/v1/events"),
        watchdog: None,
    });
    println!("{address}");
    let driver = tokio::spawn(driver.drive(first_step, std::future::pending()));
    let connections_max = config.fixed.connections_max;
    let app = App { handle, local_token: None, reloader: None, connections_max };
    tokio::select! {
        ended = driver => panic!("the driver ended: {ended:?}"),
        _ = http::serve(listeners, app, CancellationToken::new()) => {}
    }
}
