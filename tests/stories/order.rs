//! The order in a room, where accepts do not commit in the order of their numbers.
use serde_json::json;
use uuid::Uuid;

use crate::station::{Setup, Station, usual_rooms};

/// A delivery like the first one, for another message, in an accept that has drawn its number and not committed.
const LATE: &str = "
with m as (insert into messages select r.* from messages m, jsonb_populate_record(m, '{\"uid\": \"late\"}') r returning uid),
d as (
  insert into deliveries (uid, room, prio, qseq, state, cause, parts, age, expires_at)
  select m.uid, d.room, d.prio, nextval('queue_seq'), 'queued', 'accepted', 1, d.age, d.expires_at
  from m, deliveries d returning id, room)
insert into parts (delivery, n, room, kind, text, fingerprint) select id, 1, room, 'text', 'late', '\\x00' from d";

/// Numbers are drawn before the commit: a function that is frozen, or a disk that is slow, between the two lets one
/// with a lower number come later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_stored_late_does_not_come_between_the_parts_of_another() {
    let mut station = Station::with(Setup { rooms: usual_rooms("400ms", 1), ..Setup::default() }).await;
    station.start_dispatcher();
    let standard = |body: &str| {
        let body = json!({ "body": body, "wbor_message_id": Uuid::new_v4().to_string() });
        Station::message("source.standard", &body)
    };
    station.consume(&[standard("the first")]).await;
    station.lines(1).await;
    let client = station.db().await;
    client.batch_execute("begin").await.unwrap();
    client.batch_execute(LATE).await.unwrap();
    station.consume(&[standard("A part and another. ".repeat(60).trim())]).await;
    station.lines(2).await;
    client.batch_execute("commit").await.unwrap();
    let texts: Vec<String> = station.lines(4).await.into_iter().map(|line| line.text.unwrap_or_default()).collect();
    let begins: Vec<&str> = texts.iter().map(|text| text.split('\n').next().unwrap_or_default()).collect();
    assert_eq!(begins, ["\"the first\"", "(1/2):", "(2/2):", "late"]);
    station.end().await;
}
