//! The daemon without its store: all of its parts, but the journal is the twin that keeps its rows in memory. Before each
//! answer it may append them to a file, which is about the least that a disk costs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use coalesced::backend::Backend;
use coalesced::config::{Config, Listen};
use coalesced::driver::{Driver, HistoryLimit, Parts};
use coalesced::http::{self, App, Listeners};
use coalesced::journal::{MemoryJournal, Storage};
use coalesced::refs::Remotes;
use coalesced::scheduler::{Settings, Snapshot};
use coalesced::telemetry;

use super::appended::Appended;

/// The word by which this program is told to be the one that keeps all in memory.
pub(super) const IN_MEMORY: &str = "--serve-in-memory";
/// The word by which it is told to be the one that appends to a file.
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
    let config = Arc::new(config);
    let listeners = Listeners::bind(&config.fixed.listen).expect("bound");
    let addresses = listeners.addresses();
    let Some(Listen::Tcp(address)) = addresses.first() else { panic!("it listens at {addresses:?}") };
    let policies: BTreeMap<_, _> =
        config.rules.images.iter().map(|(image, rules)| (image.clone(), rules.policy.clone())).collect();
    let (driver, handle, first_step) = Driver::new(Parts {
        reader: rows.reader(),
        journal,
        snapshot: Snapshot::default(),
        settings: Settings {
            policies,
            account_limits: config.rules.accounts.limits(),
            button_fold: Settings::BUTTON_FOLD,
            seed: 1,
        },
        backends: Backend::for_images(&config.rules).expect("back-ends"),
        remotes: Remotes::of(&config.rules),
        history: HistoryLimit { age: config.fixed.history, events: u64::from(config.fixed.history_events) },
        receipts_url: format!("http://{address}/v1/events"),
        watchdog: None,
    });
    println!("{address}");
    let driver = tokio::spawn(driver.drive(first_step, std::future::pending()));
    let app = App { config, handle, local_token: None };
    tokio::select! {
        ended = driver => panic!("the driver ended: {ended:?}"),
        _ = http::serve(listeners, app, std::future::pending()) => {}
    }
}
