//! What the outside can watch: the log, the metrics as text, and what the service manager is told.

use std::io::IsTerminal;
use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use sd_notify::NotifyState;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sets the log up: text on a terminal, the journal's own fields under systemd, else JSON lines on stderr.
/// `COALESCED_LOG` or `RUST_LOG` chooses levels; the default is `info`.
pub fn init() {
    let chosen = std::env::var("COALESCED_LOG").or_else(|_| std::env::var("RUST_LOG"));
    let filter = EnvFilter::try_new(chosen.unwrap_or_default()).ok().filter(|filter| !filter.to_string().is_empty());
    let registry = tracing_subscriber::registry().with(filter.unwrap_or_else(|| EnvFilter::new("info")));
    let result = if std::io::stderr().is_terminal() {
        registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false)).try_init()
    } else if let Some(journald) = journald() {
        registry.with(journald).try_init()
    } else {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).try_init()
    };
    // A second call, as in a demo after a test, keeps the first set-up.
    drop(result);
}

/// The journal's layer, where systemd says that stderr goes there.
fn journald() -> Option<tracing_journald::Layer> {
    std::env::var_os("JOURNAL_STREAM")?;
    tracing_journald::layer().ok()
}

/// The media type of [`exposition`].
pub const EXPOSITION_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The metrics in Prometheus' text format, version 0.0.4.
pub fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_text::encode(&mut text, registry).expect("a String takes all that is written to it");
    text
}

/// Tells the service manager that everything is open and serving.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells the service manager that the configuration is being read again.
pub fn reloading() {
    // The protocol asks for the time, so that a reload is not taken for an earlier one.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("failed to read the clock for the service manager: {error}"),
    }
}

/// Tells the service manager that the reload is over, whatever became of it.
pub fn reloaded() {
    notify(&[NotifyState::Ready]);
}

/// Tells the service manager that we end.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the watchdog. Called by the driver's loop alone, and only while the journal's thread is well: a loop that
/// is stuck and a write that hangs are both noticed.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Half of what the service manager's watchdog allows, where it watches.
pub fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("failed to reach the service manager: {error}");
    }
}
