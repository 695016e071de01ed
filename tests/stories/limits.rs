//! How often one key may send.
use serde_json::json;

use crate::send_door::{ask, send_as};
use crate::setup::usual_rooms;
use crate::station::{KEY, Setup, Station, sha256};

const OTHER: &str = "another-key-of-the-tests";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_sends_too_much_is_told_when_to_come_again_and_harms_only_itself() {
    let keys = format!("tests:{}:#,other:{}:#", sha256(KEY), sha256(OTHER));
    let rooms = format!("[send]\nper_minute = 2\nburst = 3\n{}", usual_rooms("20ms", 3));
    let setup = Setup { rooms, vars: vec![("TALKBACK_SEND_KEYS", keys)], ..Setup::default() };
    let station = Station::with(setup).await;
    let relay = station.relay("send");
    let send = async |key, uid: &str| send_as(&relay, key, &json!({ "body": uid, "uid": uid })).await;
    for uid in ["a", "b", "c"] {
        assert_eq!(send(KEY, uid).await.status, 202);
    }
    let refused = send(KEY, "d").await;
    refused.is_problem(429, &[]);
    let wait: u64 = refused.headers["retry-after"].as_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    // As GroupMe, in its own form; and whoever only asks is not counted.
    let post = json!({ "bot_id": KEY, "text": "e" }).to_string();
    let answer = ask(&relay, "POST", "/v3/bots/post", &[("content-type", "application/json")], &post).await;
    assert_eq!((answer.status, &answer.body["meta"]["code"]), (429, &json!(429)), "{answer:?}");
    let bearer = format!("Bearer {KEY}");
    assert_eq!(ask(&relay, "GET", "/messages/a", &[("authorization", &bearer)], "").await.status, 200);
    assert_eq!(send(OTHER, "f").await.status, 202);
    station.until("select given_uid from messages order by 1", &["a", "b", "c", "f"]).await;
    station.end().await;
}
