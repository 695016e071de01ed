//! The events that Lambda hands to the functions, as they lie in `events/`: also what `cargo lambda invoke` sends.
use lambda_http::RequestExt as _;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;

use crate::station::{Station, dressed};

pub fn event(name: &str) -> Value {
    let path = format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_apis_event_of_a_message_is_posted() {
    let station = Station::open().await;
    let answer = send::invoke(&station.relay("send"), LambdaEvent::new(event("http-send"), Context::default())).await;
    assert_eq!(answer["statusCode"], 202, "{answer}");
    let lines = station.lines(1).await;
    let wanted = dressed("Signal lost on the main stream", "5b0c7f0e-2a55-4f0e-9c58-0f4f1f6f2b11");
    assert_eq!(lines[0].text.as_deref(), Some(wanted.as_str()));
    let health = send::invoke(&station.relay("send"), LambdaEvent::new(event("http-health"), Context::default())).await;
    assert_eq!(health["statusCode"], 200, "{health}");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_apis_event_of_a_callback_is_obeyed() {
    let station = Station::open().await;
    // It was said now: what was said long ago is not obeyed.
    let now = format!("\\\"created_at\\\": {}", jiff::Timestamp::now().as_second());
    let event = event("http-callback").to_string().replace("\\\"created_at\\\": 1795180800", &now);
    let request = lambda_http::request::from_str(&event).unwrap();
    assert_eq!(request.raw_http_path(), "/groupme/callback/callback-token-of-the-tests");
    let answer = groupme_callback::handle(&station.relay("groupme-callback"), request).await;
    assert_eq!(answer.status(), 200);
    let lines = station.lines(1).await;
    assert_eq!(lines[0].text.as_deref(), Some("pong"));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schedules_event_and_the_one_of_a_migration_are_understood() {
    let station = Station::open().await;
    let scheduled = serde_json::from_value(event("schedule")).unwrap();
    let answer =
        dispatcher::handle(&station.relay("dispatcher"), LambdaEvent::new(scheduled, Context::default())).await;
    assert_eq!(answer.unwrap()["calls"], 0);
    let relay = station.relay("migrate");
    let answer = migrate::handle(&relay, LambdaEvent::new(event("migrate"), Context::default())).await.unwrap();
    assert_eq!(answer["applied"].as_array().map(Vec::len), Some(0), "the template is migrated already");
    let without = migrate::handle(&relay, LambdaEvent::new(Value::Null, Context::default())).await;
    assert!(without.unwrap_err().to_string().contains("AMQP_URL"));
    station.end().await;
}
