//! Findings about what comes in, and about the database behind the doors, that no other story shows.
use std::time::Duration;

use serde_json::{Value, json};
use talkback::amqp_event::read_event;
use talkback::relay::Relay;
use talkback::store::{Store, StoreError};
use uuid::Uuid;

use crate::lanes::message;
use crate::station::{Station, connect};

async fn accept(relay: &Relay, messages: &[Value]) {
    let records = read_event(&Station::batch(messages)).unwrap();
    relay.take_in(records, jiff::Timestamp::now()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_database_refuses_harms_only_itself() {
    let station = Station::open().await;
    // Stands for whatever we have not thought of.
    let strict = "alter table messages add check (body not like 'bad%')";
    station.db().await.batch_execute(strict).await.unwrap();
    let said = ["a", "bad one", "b", "c", "d", "bad two", "e"].map(message);
    station.take_in(&said).await;
    assert_eq!(station.column("select body from messages order by 1").await, ["a", "b", "c", "d", "e"]);
    let kept = "select reason || ' ' || count(*) from rejected group by reason";
    assert_eq!(station.column(kept).await, ["refused_by_database 2"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_doors_with_the_same_messages_in_another_order_both_store_them() {
    let station = Station::open().await;
    let (one, other) = (station.relay("rabbitmq-consumer"), station.relay("send"));
    for _ in 0..40 {
        let said: Vec<Value> = (0..12)
            .map(|n| json!({ "body": format!("{n}"), "wbor_message_id": Uuid::new_v4().to_string() }))
            .map(|body| Station::message("source.standard", &body))
            .collect();
        let backwards: Vec<Value> = said.iter().rev().cloned().collect();
        tokio::join!(accept(&one, &said), accept(&other, &backwards));
    }
    assert_eq!(station.column("select count(*)::text from messages").await, ["480"]);
    assert_eq!(station.column("select count(*)::text from deliveries").await, ["480"]);
    assert_eq!(station.column("select distinct repeats::text from messages").await, ["1"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_a_free_connection_is_away_and_not_wrong() {
    let station = Station::open().await;
    let admin = station.db().await;
    let role = format!("crowded_{}", Uuid::new_v4().simple());
    admin.batch_execute(&format!("create role {role} login password '{role}' connection limit 1")).await.unwrap();
    let (scheme, rest) = station.database_url.split_once("://").unwrap();
    let server = rest.rsplit_once('@').map_or(rest, |(_, server)| server);
    let url = format!("{scheme}://{role}:{role}@{server}");
    let only = connect(&url).await;
    let store = Store::new(&url.into(), None, Duration::from_secs(2), 1).unwrap();
    let error = store.count_refusal("malformed").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)) && error.may_pass(), "{error}");
    drop(only);
    admin
        .batch_execute(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'; drop role {role}"
        ))
        .await
        .unwrap();
    station.end().await;
}
