//! As Prometheus reads it: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
use std::fmt::Write as _;

use super::{ALL, Kind, Metric, Value};

/// What the text is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics as text.
#[must_use]
pub fn text() -> String {
    of(ALL)
}

pub(super) fn of(metrics: &[&Metric]) -> String {
    let mut text = String::new();
    for metric in metrics {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        // A string takes whatever is written to it.
        let _ = writeln!(text, "# HELP {} {}\n# TYPE {} {kind}", metric.name, metric.help, metric.name);
        for (labels, value) in metric.series() {
            let labels: Vec<String> = metric
                .labels
                .iter()
                .zip(&labels)
                .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
                .collect();
            match metric.kind {
                Kind::Histogram(bounds) => histogram(&mut text, metric.name, &labels, &value, bounds),
                _ => line(&mut text, metric.name, &labels, value.number),
            }
        }
    }
    text
}

fn histogram(text: &mut String, name: &str, labels: &[String], value: &Value, bounds: &[f64]) {
    let mut count = 0;
    let bounds = bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
    for (bound, class) in bounds.zip(&value.classes) {
        count += class;
        let labels: Vec<String> = labels.iter().cloned().chain([format!("le=\"{bound}\"")]).collect();
        line(text, &format!("{name}_bucket"), &labels, count);
    }
    line(text, &format!("{name}_sum"), labels, value.number);
    line(text, &format!("{name}_count"), labels, count);
}

fn line(text: &mut String, name: &str, labels: &[String], value: impl std::fmt::Display) {
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(text, "{name}{labels} {value}");
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
