//! The daemon without a disk: all of its parts, but the journal is the twin that keeps its rows in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use coalesced::backend::Backend;
use coalesced::config::{Config, Listen};
use coalesced::driver::{Driver, HistoryLimit, Parts};
use coalesced::http::{self, App, Listeners};
use coalesced::journal::MemoryJournal;
use coalesced::refs::Remotes;
use coalesced::scheduler::{Settings, Snapshot};
use coalesced::telemetry;

/// The word by which this program is told to be this server.
pub(super) const ROLE: &str = "--serve-in-memory";

/// Says where it listens, and serves.
pub(super) async fn serve() {
    telemetry::init();
    let text = super::configuration();
    let config = Config::parse(&text, "bench.toml", Path::new("."), &|_| None).expect("a configuration");
    let config = Arc::new(config);
    let listeners = Listeners::bind(&config).expect("bound");
    let addresses = listeners.addresses();
    let Some(Listen::Tcp(address)) = addresses.first() else { panic!("it listens at {addresses:?}") };
    let journal = MemoryJournal::default();
    let policies: BTreeMap<_, _> =
        config.images.iter().map(|(image, rules)| (image.clone(), rules.policy.clone())).collect();
    let (driver, handle, first_step) = Driver::new(Parts {
        reader: journal.reader(),
        journal,
        snapshot: Snapshot::default(),
        settings: Settings {
            policies,
            account_limits: vec![config.docker_hub.concurrent_builds],
            button_fold: Settings::BUTTON_FOLD,
            seed: 1,
        },
        backends: Backend::for_images(&config).expect("back-ends"),
        remotes: Remotes::of(&config),
        history: HistoryLimit { age: config.history, events: u64::from(config.history_events) },
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
