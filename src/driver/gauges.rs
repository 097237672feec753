//! Gauges, read from the published picture and the journal when metrics are requested. Nothing here is counted.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::clock::wall;
use crate::journal::Vitals;
use crate::model::{ImageName, Timestamp};
use crate::status::Picture;

#[derive(Debug)]
struct Gauges {
    picture: watch::Receiver<Picture>,
    vitals: Arc<Vitals>,
}

/// Registers them next to the counters.
pub(super) fn register(registry: &mut Registry, picture: watch::Receiver<Picture>, vitals: Arc<Vitals>) {
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("coalesced_build", "Which coalesced this is", version);
    registry.register_collector(Box::new(Gauges { picture, vitals }));
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        images(&mut encoder, &self.picture.borrow(), wall())?;
        journal(&mut encoder, &self.vitals)
    }
}

fn images(encoder: &mut DescriptorEncoder<'_>, picture: &Picture, now: Timestamp) -> fmt::Result {
    let blocked = |image: &ImageName| picture.lanes[image].refusal.as_ref().is_some_and(|refusal| refusal.blocked);
    let open = |image: &ImageName| picture.lanes[image].open_events();
    let behind = |image: &ImageName| picture.behind_since(image).map_or(0.0, |since| now.since(since).as_secs_f64());
    let mut each = |name, help, value: &dyn Fn(&ImageName) -> f64| -> fmt::Result {
        let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for image in picture.lanes.keys() {
            ConstGauge::new(value(image)).encode(gauge.encode_family(&[("image", image.as_str())])?)?;
        }
        Ok(())
    };
    #[expect(clippy::cast_precision_loss, reason = "a gauge's value")]
    each("coalesced_open_events", "Events that no build covers yet.", &|image| open(image) as f64)?;
    each("coalesced_behind_seconds", "Age of the oldest event that no ended build covers.", &behind)?;
    let help = "1 where the back-end refuses until an operator acts.";
    each("coalesced_blocked", help, &|image| f64::from(u8::from(blocked(image))))
}

fn journal(encoder: &mut DescriptorEncoder<'_>, vitals: &Vitals) -> fmt::Result {
    let seconds = |at: Option<Timestamp>| at.map_or(0, |at| at.as_millis() / 1_000);
    let mut gauge = |name, help, value: i64| {
        let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(gauge)
    };
    let restored = i64::from(vitals.restored().is_some());
    gauge("coalesced_journal_restored", "1 where a damaged journal was replaced by an export.", restored)?;
    let help = "Files of the journal that are never synced; 0 is right.";
    gauge("coalesced_journal_stray_files", help, i64::try_from(vitals.stray_files()).unwrap_or(i64::MAX))?;
    let help = "When this process last made an export; 0 if it has not.";
    gauge("coalesced_journal_export_timestamp_seconds", help, seconds(vitals.exported_at()))?;
    let (name, help) = ("coalesced_journal_exports_failed", "Exports that could not be written.");
    let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(vitals.exports_failed()).encode(counter)
}
