//! What a line of the log holds, and who may write one.
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl io::Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(filter: &str, story: impl FnOnce()) -> Vec<Value> {
    let capture = Capture::default();
    let writer = capture.clone();
    let layer = layer("groupme-callback", filter.parse::<Targets>().unwrap(), move || writer.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), story);
    let text = String::from_utf8(capture.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_has_its_time_its_function_and_the_fields_of_its_spans_at_the_top() {
    let lines = logged("info", || {
        let outer = tracing::info_span!("dispatch", uid = "u-1", room = "staff", attempt = tracing::field::Empty);
        let _outer = outer.enter();
        outer.record("attempt", 2);
        let _inner = tracing::info_span!("post", room = "news").entered();
        tracing::info!(duration_ms = 12_u64, ok = true, pace = 0.5, "posted\nat last");
    });
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(line["message"], "posted\nat last");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["function"], "groupme-callback");
    assert_eq!(line["target"], "talkback::telemetry::tests");
    assert_eq!((&line["uid"], &line["room"]), (&"u-1".into(), &"news".into()));
    assert_eq!((&line["attempt"], &line["duration_ms"]), (&2.into(), &12.into()));
    assert_eq!((&line["ok"], &line["pace"]), (&true.into(), &0.5.into()));
    let time = line["timestamp"].as_str().unwrap();
    assert_eq!(time.len(), "2026-11-20T12:00:00.000Z".len(), "{time}");
    time.parse::<jiff::Timestamp>().unwrap();
}

#[test]
fn only_lines_of_the_first_invocation_and_before_it_are_a_cold_start() {
    let lines = logged("info", || {
        tracing::info!("starting");
        for request in ["r-1", "r-2"] {
            let _span = tracing::info_span!("Lambda runtime invoke", requestId = request).entered();
            tracing::info!("handled");
        }
        tracing::info!("between invocations");
    });
    let seen: Vec<_> = lines.iter().map(|line| (line["request_id"].as_str(), line["cold_start"].as_bool())).collect();
    let want = [(None, Some(true)), (Some("r-1"), Some(true)), (Some("r-2"), Some(false)), (None, Some(false))];
    assert_eq!(seen, want);
}

#[test]
fn what_a_line_is_about_is_told_also_where_only_warnings_are_logged() {
    let lines = logged("warn", || {
        let _span = tracing::info_span!("post", uid = "u-1").entered();
        tracing::info!("not asked for");
        tracing::warn!("asked for");
    });
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["uid"], "u-1");
}

#[test]
fn others_are_never_heard_below_info_whatever_is_asked_for() {
    let lines = logged("trace", || {
        tracing::trace!(target: "lambda_runtime::requests", "the payload");
        tracing::debug!(target: "tokio_postgres::query", "the password");
        tracing::info!(target: "tokio_postgres::query", "connected");
        tracing::debug!(target: "groupme_callback", "ours");
        tracing::trace!("ours too");
    });
    let said: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(said, ["connected", "ours", "ours too"]);
}

#[test]
fn lapin_is_never_heard_since_it_quotes_bodies_in_warnings() {
    for filter in ["info", "trace", "lapin=trace", "off,lapin::returned_messages=warn"] {
        let lines = logged(filter, || {
            tracing::warn!(target: "lapin::returned_messages", "Server returned us a message: the body");
            tracing::error!(target: "lapin", "the URL");
            tracing::error!("ours");
        });
        let said: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
        assert_eq!(said, if filter.starts_with("off") || filter.starts_with("lapin") { vec![] } else { vec!["ours"] });
    }
}

#[test]
fn a_field_cannot_pretend_to_be_the_lines_own() {
    let lines = logged("info", || {
        let _span = tracing::info_span!("post", message = "of the span", level = "DEBUG").entered();
        tracing::info!(function = "another", timestamp = 0, "of the event");
    });
    assert_eq!(lines[0]["message"], "of the event");
    assert_eq!(lines[0]["level"], "INFO");
    assert_eq!(lines[0]["function"], "groupme-callback");
    assert!(lines[0]["timestamp"].is_string());
}

#[test]
fn an_error_is_told_with_its_causes_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot post")]
    struct Outer(#[source] Middle);
    #[derive(Debug, thiserror::Error)]
    #[error("reading failed: {0}")]
    struct Middle(#[source] io::Error);

    let error = Outer(Middle(io::Error::other("the line is dead")));
    let lines = logged("info", || {
        tracing::error!(error = &error as &dyn std::error::Error, "post failed");
    });
    assert_eq!(lines[0]["error"], "cannot post: reading failed: the line is dead");
}
