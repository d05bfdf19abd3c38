//! `/metrics` in Prometheus' text format: families of numbers that the process hands in, written down here.
//!
//! Always holds: a family is written once, with its help and kind, whatever samples it has; names and labels are the caller's promise.
//! Left out on purpose: registration and counting. The parts count for themselves and are read when somebody looks.

use std::fmt::Write as _;
use std::sync::Arc;

/// The media type of the text format.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of number a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Follows the family's name: `_bucket`, `_sum` and `_count` of a histogram, else nothing.
    pub suffix: &'static str,
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

impl Sample {
    /// A number with labels.
    pub fn new(labels: &[(&'static str, &str)], value: f64) -> Self {
        Self { suffix: "", labels: labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), value }
    }
}

/// Numbers of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it means, in one line.
    pub help: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The numbers.
    pub samples: Vec<Sample>,
}

/// Reads all families when somebody looks. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<dyn Fn() -> Vec<Family> + Send + Sync>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Metrics that are read in this way.
    pub fn new(read: impl Fn() -> Vec<Family> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// All of them, as they are now.
    pub fn families(&self) -> Vec<Family> {
        (self.0)()
    }

    /// All of them as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for family in self.families() {
            write_family(&mut text, &family);
        }
        text
    }
}

fn write_family(text: &mut String, Family { name, help, kind, samples }: &Family) {
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    // Writing to a string cannot fail.
    let _ = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n", help.replace('\\', "\\\\").replace('\n', "\\n"));
    for Sample { suffix, labels, value } in samples {
        let _ = write!(text, "{name}{suffix}");
        for (at, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(text, "{}{label}=\"{value}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_each_family_is_explained() {
        let samples = vec![Sample::new(&[("token", "a\"b\\c\nd"), ("signal", "logs")], 2.5), Sample::new(&[], 3.0)];
        let family = Family { name: "haldane_x_total", help: "Things.", kind: Kind::Counter, samples };
        let text = Metrics::new(move || vec![family.clone()]).text();
        let expected = "# HELP haldane_x_total Things.\n# TYPE haldane_x_total counter\n\
             haldane_x_total{token=\"a\\\"b\\\\c\\nd\",signal=\"logs\"} 2.5\nhaldane_x_total 3\n";
        assert_eq!(text, expected);
    }
}
