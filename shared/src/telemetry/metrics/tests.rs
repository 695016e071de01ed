//! Both forms, and the rules for names.
use serde_json::{Value as Json, json};

use super::*;

static CALLS: Metric =
    Metric::new("test_calls_seconds", Kind::Histogram(&[0.1, 1.0]), Unit::Seconds, &["room"], "How long they took.");
static TOLD: Metric = Metric::counter("test_told_total", &["room", "outcome"], "How often.");

#[test]
fn prometheus_reads_counters_gauges_and_histograms() {
    static POSTS: Metric = Metric::counter("test_posts_total", &["room", "outcome"], "Posts.");
    static WAITS: Metric =
        Metric::new("test_wait_seconds", Kind::Histogram(&[0.1, 1.0]), Unit::Seconds, &["room"], "Waits.");
    static SIZE: Metric = Metric::new("test_size_bytes", Kind::Gauge, Unit::Bytes, &[], "Size.");
    POSTS.increment(&["a \"b\"\\\n", "posted"]);
    POSTS.increment(&["a \"b\"\\\n", "posted"]);
    [0.05, 0.1, 0.5, 7.0].into_iter().for_each(|wait| WAITS.observe(&["staff"], wait));
    SIZE.set(&[], 12.5);
    let want = "\
# HELP test_posts_total Posts.
# TYPE test_posts_total counter
test_posts_total{room=\"a \\\"b\\\"\\\\\\n\",outcome=\"posted\"} 2
# HELP test_wait_seconds Waits.
# TYPE test_wait_seconds histogram
test_wait_seconds_bucket{room=\"staff\",le=\"0.1\"} 2
test_wait_seconds_bucket{room=\"staff\",le=\"1\"} 3
test_wait_seconds_bucket{room=\"staff\",le=\"+Inf\"} 4
test_wait_seconds_sum{room=\"staff\"} 7.65
test_wait_seconds_count{room=\"staff\"} 4
# HELP test_size_bytes Size.
# TYPE test_size_bytes gauge
test_size_bytes 12.5
";
    assert_eq!(prometheus::of(&[&POSTS, &WAITS, &SIZE]), want);
}

#[test]
fn cloudwatch_is_told_once_of_what_came_since_by_each_label_and_by_none() {
    CALLS.observe(&["staff"], 0.05);
    CALLS.observe(&["staff"], 5.0);
    TOLD.increment(&["staff", "posted"]);
    let now = "2026-11-29T12:00:00.5Z".parse().unwrap();
    let documents = embedded::documents(&[&CALLS, &TOLD], "dispatcher", now);
    assert_eq!(documents.len(), 2);
    let metrics = |document: &Json| document["_aws"]["CloudWatchMetrics"][0].clone();
    assert_eq!(
        metrics(&documents[0]),
        json!({
            "Namespace": "Talkback", "Dimensions": [[], ["room"]],
            "Metrics": [{ "Name": "test_calls_seconds", "Unit": "Seconds" }],
        })
    );
    assert_eq!(documents[0]["test_calls_seconds"], json!({ "Values": [0.1, 1.0], "Counts": [1, 1] }));
    assert_eq!(documents[0]["_aws"]["Timestamp"], 1_795_953_600_500_i64);
    assert_eq!(
        (&documents[0]["room"], &documents[0]["timestamp"]),
        (&json!("staff"), &json!("2026-11-29T12:00:00.500Z"))
    );
    assert_eq!(metrics(&documents[1])["Dimensions"], json!([[], ["room"], ["outcome"], ["room", "outcome"]]));
    assert_eq!(documents[1]["test_told_total"], 1.0);
    assert_eq!(embedded::documents(&[&CALLS, &TOLD], "dispatcher", now), Vec::<Json>::new());
}

#[test]
fn more_series_than_there_may_be_are_counted_as_others() {
    static MANY: Metric = Metric::counter("test_many_total", &["source"], "Many.");
    (0..SERIES + 7).for_each(|n| MANY.increment(&[&n.to_string()]));
    let series = MANY.series();
    assert_eq!(series.len(), SERIES + 1);
    let others = series.iter().find(|(labels, _)| labels[0] == "other").map(|(_, value)| value.number);
    assert_eq!(others, Some(7.0));
}

#[test]
fn names_are_as_prometheus_wants_them_and_each_is_in_the_table_once() {
    let mut names: Vec<&str> = ALL.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
    for metric in ALL {
        let name = metric.name;
        assert!(name.starts_with("talkback_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(metric.unit == Unit::Seconds, name.ends_with("_seconds"), "{name}");
        assert_eq!(metric.unit == Unit::Bytes, name.ends_with("_bytes"), "{name}");
        assert!(metric.help.ends_with('.'), "{name}");
        if let Kind::Histogram(bounds) = metric.kind {
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        }
    }
    let table = include_str!("table.rs");
    assert_eq!(table.matches("pub static ").count(), ALL.len() + 1, "one is not in ALL");
}
