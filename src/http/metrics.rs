//! How long requests took, by route and status, in Prometheus' text form.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::telemetry::histogram::Histogram;

/// The upper bounds of the histogram's buckets, in seconds.
const BOUNDS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// One histogram for each route and status. Routes are patterns, so that strangers can't make up more of them.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<BTreeMap<String, BTreeMap<u16, Histogram<{ BOUNDS.len() }>>>>);

impl Metrics {
    pub(super) fn add(&self, route: &str, status: u16, took: Duration) {
        let mut metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked up first: a text is made for a new route only.
        if !metrics.contains_key(route) {
            metrics.insert(route.to_owned(), BTreeMap::new());
        }
        let Some(statuses) = metrics.get_mut(route) else { return };
        statuses.entry(status).or_insert(Histogram::new(&BOUNDS)).add(took.as_secs_f64());
    }

    /// The text of all of them; empty while there are none.
    pub(super) fn text(&self) -> String {
        const NAME: &str = "coalesced_http_request_seconds";
        let metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        if !metrics.is_empty() {
            text.push_str("# HELP coalesced_http_request_seconds How long requests took until their answer began.\n");
            text.push_str("# TYPE coalesced_http_request_seconds histogram\n");
        }
        for (route, statuses) in metrics.iter() {
            for (status, histogram) in statuses {
                histogram.write(NAME, &format!("route=\"{route}\",status=\"{status}\""), &mut text);
            }
        }
        text
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
