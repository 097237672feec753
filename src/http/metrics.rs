//! How long requests took, by route and status.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::telemetry;

/// The upper bounds of the histogram's buckets, in seconds.
const BOUNDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// One histogram per route and status. Routes are patterns, so that strangers can't create more.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Histogram, Buckets>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: String,
    status: u16,
}

#[derive(Clone, Debug)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BOUNDS)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let (mut registry, requests) = (Registry::default(), Family::new_with_constructor(Buckets));
        let help = "How long requests took until their answer began";
        registry.register("coalesced_http_request_seconds", help, requests.clone());
        Self { registry, requests }
    }
}

impl Metrics {
    pub(super) fn add(&self, route: &str, status: u16, took: Duration) {
        self.requests.get_or_create(&Labels { route: route.to_owned(), status }).observe(took.as_secs_f64());
    }

    /// All of them as text; empty while there are none.
    pub(super) fn text(&self) -> String {
        telemetry::exposition(&self.registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_end_in_the_count() {
        let metrics = Metrics::default();
        assert_eq!(metrics.text(), "");
        for millis in [1, 3, 40_000] {
            metrics.add("/ready", 200, Duration::from_millis(millis));
        }
        let text = metrics.text();
        for line in [
            "# HELP coalesced_http_request_seconds How long requests took until their answer began.",
            "coalesced_http_request_seconds_bucket{route=\"/ready\",status=\"200\",le=\"0.001\"} 1",
            "coalesced_http_request_seconds_bucket{route=\"/ready\",status=\"200\",le=\"0.005\"} 2",
            "coalesced_http_request_seconds_bucket{route=\"/ready\",status=\"200\",le=\"30\"} 2",
            "coalesced_http_request_seconds_bucket{route=\"/ready\",status=\"200\",le=\"+Inf\"} 3",
            "coalesced_http_request_seconds_count{route=\"/ready\",status=\"200\"} 3",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
