//! `GET /messages/{uid}`: what became of a message, for who sent it and nobody else.
use serde_json::{Value, json};
use talkback::relay::Relay;

use crate::send_door::{Answer, OTHER_KEY, PLAIN_KEY, ask, send_as, station};
use crate::station::KEY;

async fn look(relay: &Relay, key: &str, uid: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    ask(relay, "GET", &format!("/messages/{uid}"), &[("authorization", &bearer)], "").await
}

async fn sent(relay: &Relay, document: Value) {
    let answer = send_as(relay, KEY, &document).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_sees_what_became_of_its_message() {
    let station = station().await;
    let relay = station.relay("send");
    sent(&relay, json!({ "body": "hello", "uid": "alarm-7" })).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    for uid in ["alarm-7", "ALARM-7", "alarm", "%61larm-7"] {
        let found = look(&relay, KEY, uid).await;
        assert_eq!(found.status, 200, "{uid}: {found:?}");
        let body = &found.body;
        assert_eq!((&body["uid"], &body["short_uid"]), (&json!("alarm-7"), &json!("alarm")));
        assert_eq!((&body["source"], &body["verdict"]), (&json!("source.standard"), &json!("accepted")));
        assert_eq!(body["state"], "confirmed");
        let delivery = &body["deliveries"][0];
        assert_eq!((&delivery["room"], &delivery["state"]), (&json!("staff"), &json!("confirmed")));
        assert_eq!(delivery["parts"], json!([{ "n": 1, "kind": "text", "state": "confirmed", "attempt": 1 }]));
        let events: Vec<&Value> = delivery["events"].as_array().unwrap().iter().map(|event| &event["to"]).collect();
        assert_eq!((events[0], events[events.len() - 1]), (&json!("queued"), &json!("confirmed")));
        assert!(!body.to_string().contains("hello"), "what was said is not told again");
    }
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_what_another_key_sent() {
    let station = station().await;
    let relay = station.relay("send");
    sent(&relay, json!({ "body": "hello", "uid": "7" })).await;
    let others = look(&relay, OTHER_KEY, "7").await;
    others.is_problem(404, &["uid"]);
    let nobodys = look(&relay, OTHER_KEY, "8").await;
    assert_eq!((others.body, others.headers), (nobodys.body, nobodys.headers));
    look(&relay, KEY, "two%20words").await.is_problem(404, &["uid"]);
    look(&relay, KEY, &"7".repeat(65)).await.is_problem(404, &["uid"]);
    look(&relay, "wrong", "7").await.is_problem(401, &[]);
    ask(&relay, "GET", "/messages/7", &[], "").await.is_problem(401, &[]);
    assert_eq!(look(&relay, PLAIN_KEY, "7").await.status, 404);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_uid_is_answered_with_its_candidates() {
    let station = station().await;
    let relay = station.relay("send");
    sent(&relay, json!({ "body": "one", "uid": "alarm-1" })).await;
    sent(&relay, json!({ "body": "two", "uid": "alarm-2" })).await;
    let several = look(&relay, KEY, "alarm").await;
    several.is_problem(409, &["uid"]);
    let uids: Vec<&Value> =
        several.body["candidates"].as_array().unwrap().iter().map(|candidate| &candidate["uid"]).collect();
    assert_eq!(uids, [&json!("alarm-2"), &json!("alarm-1")], "the latest first");
    assert_eq!(look(&relay, KEY, "alarm-1").await.body["uid"], "alarm-1");
    // The same uid from two sources: kept apart, and told apart by the source.
    sent(&relay, json!({ "body": "here", "uid": "7" })).await;
    sent(&relay, json!({ "body": "there", "uid": "7", "source": "standard.x" })).await;
    look(&relay, KEY, "7").await.is_problem(409, &["uid"]);
    assert_eq!(look(&relay, KEY, "7?source=standard.x").await.body["source"], "source.standard.x");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_answered_like_get_without_a_body() {
    let station = station().await;
    let relay = station.relay("send");
    sent(&relay, json!({ "body": "hello", "uid": "7" })).await;
    let bearer = format!("Bearer {KEY}");
    for (path, status) in [("/messages/7", 200), ("/messages/8", 404), ("/health", 200), ("/", 200)] {
        let answer = ask(&relay, "HEAD", path, &[("authorization", &bearer)], "").await;
        assert_eq!((answer.status, &answer.body), (status, &Value::Null), "{path}");
    }
    station.end().await;
}
