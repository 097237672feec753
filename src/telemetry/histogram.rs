//! Histograms in Prometheus' text form.

use std::fmt::Write as _;

/// Counts values by upper bounds, and adds them up.
#[derive(Clone, Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [f64; N],
    /// How many fell under each bound but not under the one before.
    buckets: [u64; N],
    count: u64,
    sum: f64,
}

impl<const N: usize> Histogram<N> {
    /// `bounds` rise.
    pub const fn new(bounds: &'static [f64; N]) -> Self {
        Self { bounds, buckets: [0; N], count: 0, sum: 0.0 }
    }

    pub fn add(&mut self, value: f64) {
        if let Some(bucket) = self.bounds.iter().position(|&bound| value <= bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += value;
    }

    /// Writes the lines of metric `name`; `labels` are written out, and empty where there are none.
    pub fn write(&self, name: &str, labels: &str, text: &mut String) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut below = 0;
        for (bound, count) in self.bounds.iter().zip(self.buckets) {
            below += count;
            let _infallible = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}");
        }
        let Self { count, sum, .. } = self;
        let _infallible = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _infallible = writeln!(text, "{name}_sum{braces} {sum}");
        let _infallible = writeln!(text, "{name}_count{braces} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_end_in_the_count() {
        let mut histogram = Histogram::new(&[0.5, 1.0]);
        for value in [0.5, 0.75, 40.0] {
            histogram.add(value);
        }
        let mut text = String::new();
        histogram.write("x_seconds", "", &mut text);
        let lines = "x_seconds_bucket{le=\"0.5\"} 1\nx_seconds_bucket{le=\"1\"} 2\nx_seconds_bucket{le=\"+Inf\"} 3\n\
                     x_seconds_sum 41.25\nx_seconds_count 3\n";
        assert_eq!(text, lines);
        text.clear();
        histogram.write("x", "a=\"b\"", &mut text);
        assert!(text.starts_with("x_bucket{a=\"b\",le=\"0.5\"} 1\n"), "{text}");
        assert!(text.ends_with("x_sum{a=\"b\"} 41.25\nx_count{a=\"b\"} 3\n"), "{text}");
    }
}
