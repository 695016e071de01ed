//! CloudWatch's embedded metric format: lines of the log that CloudWatch makes metrics of
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//! Each line is a line of our log like any other.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use super::{ALL, Kind, Metric, Unit, Value};

/// Where CloudWatch keeps them.
const NAMESPACE: &str = "Talkback";

/// The function that tells, where it is to.
static TELLS: OnceLock<&'static str> = OnceLock::new();

/// From now on [`emit`] writes lines, as those of this function.
pub fn embed(function: &'static str) {
    TELLS.get_or_init(|| function);
}

/// Writes to standard output what was counted since the last time, where that is wanted: to be called at the end of each
/// invocation, after which the environment is frozen.
pub fn emit() {
    let Some(function) = TELLS.get() else { return };
    let mut lines = String::new();
    for document in documents(ALL, function, Timestamp::now()) {
        lines += &document.to_string();
        lines.push('\n');
    }
    // Whoever can no longer log has nowhere to say so.
    let _ = std::io::stdout().write_all(lines.as_bytes());
}

/// Labels with their values.
type Labels<'a> = Vec<(&'a str, String)>;

/// The documents that tell what is in these metrics, and empties them.
pub(super) fn documents(metrics: &[&Metric], function: &str, now: Timestamp) -> Vec<Json> {
    // What has the same labels goes into one.
    let mut groups: BTreeMap<Labels<'_>, Vec<(&Metric, Value)>> = BTreeMap::new();
    for metric in metrics {
        for (labels, value) in metric.take() {
            let labels = metric.labels.iter().copied().zip(labels).collect();
            groups.entry(labels).or_default().push((metric, value));
        }
    }
    groups.into_iter().map(|(labels, values)| document(&labels, &values, function, now)).collect()
}

fn document(labels: &[(&str, String)], values: &[(&Metric, Value)], function: &str, now: Timestamp) -> Json {
    let mut document = Map::new();
    let definitions: Vec<Json> =
        values.iter().map(|(metric, _)| json!({ "Name": metric.name, "Unit": unit(metric.unit) })).collect();
    document.insert("timestamp".into(), format!("{now:.3}").into());
    document.insert("level".into(), "INFO".into());
    document.insert("message".into(), "metrics".into());
    document.insert("function".into(), function.into());
    document.insert("target".into(), module_path!().into());
    document.insert(
        "_aws".into(),
        json!({
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": dimensions(labels), "Metrics": definitions }],
        }),
    );
    for (label, value) in labels {
        document.insert((*label).to_owned(), value.as_str().into());
    }
    for (metric, value) in values {
        document.insert(metric.name.to_owned(), told(metric, value));
    }
    Json::Object(document)
}

/// By all labels, by each alone, and by none: an alarm that is for all rooms needs a metric without one. CloudWatch bills
/// each combination that occurs.
fn dimensions(labels: &[(&str, String)]) -> Vec<Vec<String>> {
    let all: Vec<String> = labels.iter().map(|(label, _)| (*label).to_owned()).collect();
    let mut sets = vec![Vec::new()];
    if all.len() > 1 {
        sets.extend(all.iter().map(|label| vec![label.clone()]));
    }
    if !all.is_empty() {
        sets.push(all);
    }
    sets
}

/// A number, or of a histogram each class that has something, by its upper bound (and what is above all bounds by the
/// last of them).
fn told(metric: &Metric, value: &Value) -> Json {
    let Kind::Histogram(bounds) = metric.kind else { return json!(value.number) };
    let bound = |class: usize| bounds.get(class).or(bounds.last()).copied().unwrap_or_default();
    let (values, counts): (Vec<f64>, Vec<u64>) =
        value.classes.iter().enumerate().filter(|(_, count)| **count > 0).map(|(n, count)| (bound(n), *count)).unzip();
    json!({ "Values": values, "Counts": counts })
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "Count",
        Unit::Seconds => "Seconds",
        Unit::Bytes => "Bytes",
    }
}
