//! What is forgotten, and what is not.
use std::time::Duration;

use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::station::{GROUP, Station};

fn message(text: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": Uuid::new_v4().to_string() }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_and_finished_is_forgotten_with_all_that_belongs_to_it() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    station.consume(&[message("old"), Station::raw_message("source.standard", b"no JSON", json!({}))]).await;
    station.sim.say(GROUP, "7", "Ada", "hello").await;
    station.until("select state from deliveries", &["confirmed"]).await;
    station.until("select count(*)::text from groupme_callbacks", &["2"]).await;
    station.sim.fault(Fault::always(What::Status { code: 429, retry_after: None, shown: false }));
    station.consume(&[message("old, and waits")]).await;
    station.until("select distinct outcome from api_calls order by 1", &["limited", "posted"]).await;
    station.stop_dispatcher().await;
    let age = "update messages set accepted_at = accepted_at - interval '2 h';
               insert into pictures (uid, channel, n, url) select uid, 'groupme', 1, 'url' from messages;
               update rejected set at = at - interval '2 h';
               update groupme_callbacks set received_at = received_at - interval '2 h';
               insert into callback_refusals values (date_trunc('minute', now() - interval '2 h'), 'malformed', 1)";
    station.db().await.batch_execute(age).await.unwrap();
    station.take_in(&[message("young")]).await;
    let store = station.relay("dispatcher").store;
    let counts = "
        select concat_ws(' ', (select count(*) from messages), (select count(*) from deliveries),
                         (select count(distinct delivery) from parts), (select count(distinct delivery) from delivery_events),
                         (select count(distinct uid) from api_calls), (select count(*) from rejected),
                         (select count(*) from groupme_callbacks), (select count(*) from callback_refusals),
                         (select count(*) from pictures))";
    let all = ["3 3 3 3 2 1 2 1 2"];
    store.forget(None, None, None).await.unwrap();
    assert_eq!(station.column(counts).await, all, "for ever");
    let day = Some(Duration::from_secs(86_400));
    store.forget(day, day, day).await.unwrap();
    assert_eq!(station.column(counts).await, all, "nothing is so old");
    let hour = Some(Duration::from_secs(3600));
    store.forget(hour, hour, hour).await.unwrap();
    assert_eq!(station.column(counts).await, ["2 2 2 2 1 0 0 0 1"]);
    assert_eq!(station.column("select body from messages order by body").await, ["old, and waits", "young"]);
    station.end().await;
}
