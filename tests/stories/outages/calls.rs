//! Postgres goes away while a call is in the air: what is known of the call reaches it by the broker.
use std::time::Duration;

use groupme_sim::{CallbackMode, Fault, Post, What};
use serde_json::json;
use talkback::broker::{Props, RETRY};
use talkback::relay::dispatch::Budget;
use tokio::time::Instant;
use uuid::Uuid;

use super::consumer::{publish, seen_at_once, until};
use super::{Diary, Outage};
use crate::payloads::wire::Wire;
use crate::setup::Setup;
use crate::station::{BOT, GROUP, PATIENCE, Station};

/// No callback tells of the post, and whoever found the part without a record would post it again, if only after a while.
fn without_callbacks(diary: &Diary) -> Setup {
    Setup { callbacks: false, ..diary.setup() }
}

async fn in_the_air(wire: &Wire) {
    let arrived = |posts: &[Post]| !posts.is_empty();
    wire.station.sim.wait_for_posts(arrived, PATIENCE).await.unwrap_or_else(|instead| panic!("{instead}"));
}

/// It was posted once, and the call is written down as if nothing had been.
async fn recorded(mut diary: Diary, wire: Wire, how: Outage) {
    let kept = async || wire.vhost.broker.depth(RETRY).await.is_ok_and(|depth| depth >= 1);
    until("the call on the broker", kept).await;
    diary.come_back(how).await;
    wire.station.until("select state from parts", &["sent"]).await;
    wire.station.until("select state from deliveries", &["sent"]).await;
    let calls = "select outcome || ' ' || status || ' ' || (latency_ms >= 500)::text || ' ' || attempt from api_calls";
    wire.station.until(calls, &["posted 202 true 1"]).await;
    assert_eq!(wire.station.sim.lines(GROUP).len(), 1);
    // The lane is free again.
    publish(&wire, "source.standard", &json!({ "body": "the next" }), Props::default()).await;
    wire.station.lines(2).await;
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_the_consumer_that_postgres_did_not_hear_of_is_recorded_later_and_not_made_again() {
    let mut diary = Diary::open("calls-consumer").await;
    let mut wire = Wire::open(without_callbacks(&diary)).await;
    wire.station.kill_dispatcher().await;
    wire.station.sim.callbacks_mode(BOT, CallbackMode::Never);
    wire.station.sim.fault(Fault::once(What::Slow(Duration::from_millis(500))));
    publish(&wire, "source.standard", &json!({ "body": "said once" }), Props::default()).await;
    in_the_air(&wire).await;
    diary.go(Outage::Frozen);
    // Behind the frozen call.
    let alarm = json!({ "body": "the alarm", "priority": "urgent", "wbor_message_id": Uuid::new_v4().to_string() });
    publish(&wire, "source.standard", &alarm, Props::default()).await;
    seen_at_once(&wire, "the alarm").await;
    diary.come_back(Outage::Frozen).await;
    let calls = "select m.verdict || ' ' || c.outcome || ' ' || c.status from api_calls c join messages m using (uid) order by 1";
    wire.station.until(calls, &["accepted posted 202", "already_sent posted 202"]).await;
    wire.station.until("select state from deliveries", &["sent", "sent"]).await;
    assert_eq!(wire.station.sim.lines(GROUP).len(), 2);
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_the_dispatcher_that_postgres_did_not_hear_of_is_recorded_later_and_not_made_again() {
    let mut diary = Diary::open("calls-dispatcher").await;
    let mut wire = Wire::open(without_callbacks(&diary)).await;
    wire.station.kill_dispatcher().await;
    wire.station.sim.fault(Fault::once(What::Slow(Duration::from_millis(500))));
    let message = Station::message("source.standard", &json!({ "body": "said once" }));
    wire.station.take_in(&[message]).await;
    let relay = wire.station.relay("dispatcher");
    let now = Instant::now();
    let budget = Budget {
        until: now + Duration::from_secs(1),
        end: now + Duration::from_secs(5),
        rooms: relay.room_names(),
        lanes: 2,
        poll: Some(Duration::from_millis(50)),
        stop: talkback::relay::stop::Stop::default(),
    };
    let dispatch = tokio::spawn(async move { relay.dispatch(&budget).await.is_ok() });
    in_the_air(&wire).await;
    diary.go(Outage::Killed);
    dispatch.await.unwrap();
    recorded(diary, wire, Outage::Killed).await;
}
