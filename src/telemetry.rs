//! What can be observed from outside: the log, the metrics as text, and notifications to the service manager.

use std::io::IsTerminal;
use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use sd_notify::NotifyState;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sets up logging: text on a terminal, the journal's own fields under systemd, otherwise JSON lines on stderr.
/// `COALESCED_LOG` or `RUST_LOG` sets levels; the default is `info`.
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
    // A second call, as in a demo after a test, keeps the first setup.
    drop(result);
}

/// The journal's layer, if systemd says that stderr goes there.
fn journald() -> Option<tracing_journald::Layer> {
    std::env::var_os("JOURNAL_STREAM")?;
    tracing_journald::layer().ok()
}

/// The media type of [`exposition`].
pub const EXPOSITION_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The metrics in Prometheus's text format, version 0.0.4.
pub fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_text::encode(&mut text, registry).expect("a String takes all that is written to it");
    text
}

/// Tells the service manager that everything is open and serving.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells the service manager that the configuration is being reloaded.
pub fn reloading() {
    // The protocol requires the time, so that a reload is not mistaken for an earlier one.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("failed to read the clock for the service manager: {error}"),
    }
}

/// Tells the service manager that the reload is over, whatever the result.
pub fn reloaded() {
    notify(&[NotifyState::Ready]);
}

/// Tells the service manager that we are stopping.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the watchdog. Only the driver's loop calls it, and only while the journal's thread is well, so both a stuck
/// loop and a hung write are noticed.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Half of the service manager's watchdog interval, if it watches.
pub fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("failed to reach the service manager: {error}");
    }
}
