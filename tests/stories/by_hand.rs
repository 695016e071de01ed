//! What an operator does by hand: `cargo xtask replay` and `cargo xtask import`.
use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::station::Station;

const STATES: &str = "select state from deliveries order by length(uid) desc, uid";

fn standard(uid: &str, text: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "uid": uid }))
}

/// A station where these messages failed.
async fn failed(messages: &[Value]) -> Station {
    let mut station = Station::open().await;
    let refused = What::Status { code: 400, retry_after: None, shown: false };
    station.sim.fault(Fault { times: Some(u32::try_from(messages.len()).unwrap()), ..Fault::once(refused) });
    station.take_in(messages).await;
    station.start_dispatcher();
    station.until(STATES, &vec!["failed"; messages.len()]).await;
    station
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_message_is_sent_again_by_its_uid_or_by_what_the_chat_shows_of_it() {
    let uid = Uuid::new_v4().to_string();
    let station = failed(&[standard(&uid, "one"), standard("7", "two")]).await;
    let relay = station.relay("operator");
    let said = operator::run(&relay, &["replay", uid.split('-').next().unwrap()]).await.unwrap();
    assert_eq!(said, format!("{uid}: queued again for 1 of its rooms"));
    station.until(STATES, &["confirmed", "failed"]).await;
    assert_eq!(
        operator::run(&relay, &["replay", "7"]).await.unwrap(),
        "7@source.standard: queued again for 1 of its rooms"
    );
    station.until(STATES, &["confirmed", "confirmed"]).await;
    assert_eq!(station.said(), ["one", "two"]);
    let again = operator::run(&relay, &["replay", "7"]).await.unwrap_err().to_string();
    assert!(again.contains("nothing of it failed"), "{again}");
    let unknown = operator::run(&relay, &["replay", "8"]).await.unwrap_err().to_string();
    assert_eq!(unknown, "no message has the uid 8");
    assert!(operator::run(&relay, &["replay", "--all"]).await.is_err());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_failed_is_sent_again_in_its_old_order() {
    let messages: Vec<Value> = (0..4).map(|n| standard(&n.to_string(), &format!("number {n}"))).collect();
    let station = failed(&messages).await;
    let said = operator::run(&station.relay("operator"), &["replay", "--failed"]).await.unwrap();
    assert_eq!(said, "4 messages are queued again, for 4 rooms in all");
    station.until(STATES, &["confirmed"; 4]).await;
    assert_eq!(station.said(), ["number 0", "number 1", "number 2", "number 3"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_uid_that_may_be_several_messages_is_asked_back_for() {
    let mut station = Station::open().await;
    let other = Station::message("source.other", &json!({ "body": "other", "uid": "7" }));
    station.take_in(&[standard("7", "one"), other]).await;
    station.start_dispatcher();
    station.until(STATES, &["confirmed", "confirmed"]).await;
    let which = operator::run(&station.relay("operator"), &["replay", "7"]).await.unwrap_err().to_string();
    assert!(which.contains("7@source.standard") && which.contains("7@source.other"), "{which}");
    station.end().await;
}
