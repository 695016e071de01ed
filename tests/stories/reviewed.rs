//! What a review of the lanes found: each story failed before its fault was mended.
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::station::Station;

fn message(text: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": Uuid::new_v4().to_string() }))
}

fn again(text: &str, uid: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": uid }))
}

fn records(messages: &[Value]) -> Vec<talkback::amqp_event::Record> {
    talkback::amqp_event::read_event(&Station::batch(messages)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accept_that_was_given_up_leaves_no_open_transaction_behind() {
    let station = Station::open().await;
    let relay = station.relay("callback");
    relay.wake().await.unwrap();
    relay.take_in(records(&[message("a")]), jiff::Timestamp::now()).await.unwrap();
    let other = station.db().await;
    // Somebody else is at the same message.
    other.batch_execute("begin; update messages set repeats = 7").await.unwrap();
    let again =
        records(&[again("a", &other.query_one("select uid from messages", &[]).await.unwrap().get::<_, String>(0))]);
    // Its caller has less patience than the database.
    let given_up = timeout(Duration::from_millis(300), relay.take_in(again, jiff::Timestamp::now()));
    assert!(given_up.await.is_err());
    other.batch_execute("rollback").await.unwrap();
    // What the same process writes next is there for everybody.
    relay.store.count_refusal("malformed").await.unwrap();
    let row = other.query_one("select count(*) from callback_refusals", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1, "written in a transaction that nobody will commit");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_database_refuses_harms_only_itself() {
    let station = Station::open().await;
    // Stands for whatever we have not thought of.
    let strict = "alter table api_calls add check (request->>'text' <> 'bad')";
    station.db().await.batch_execute(strict).await.unwrap();
    let record = |text: &str| {
        let uid = Uuid::new_v4().to_string();
        Station::message("source.groupme.msg", &json!({ "text": text, "code": 202, "wbor_message_id": uid }))
    };
    station.consume(&[record("a"), record("bad"), record("c"), message("d")]).await;
    station.until("select body from messages order by 1", &["a", "c", "d"]).await;
    station.until("select reason from rejected", &["refused_by_database"]).await;
    station.end().await;
}
