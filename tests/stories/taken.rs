//! That a message is taken: told its producer as soon as something of it is in a room, so that it does not post by
//! itself while the rest is on its way.
use std::time::Duration;

use groupme_sim::{CallbackMode, Fault, What};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answers::asking;
use crate::station::{BOT, OTHER_BOT, OTHER_GROUP, Setup, Station, two_rooms};
use crate::vhost::Vhost;

fn limited() -> What {
    What::Status { code: 429, retry_after: None, shown: false }
}

/// Of two parts.
fn long(uid: &str) -> Value {
    let text = "All work and no play makes Jack a dull boy. ".repeat(30);
    Station::message("source.standard", &json!({ "body": text.trim(), "wbor_message_id": uid }))
}

/// A short one whose producer posts by itself after so many seconds.
fn hasty(uid: &str, seconds: i64) -> Value {
    let body = json!({ "body": "both", "wbor_message_id": uid }).to_string();
    let headers = json!({ "deliver_by": jiff::Timestamp::now().as_second() + seconds });
    Station::raw_message("source.standard", body.as_bytes(), headers)
}

async fn with_broker(setup: Setup) -> (Vhost, Station, String) {
    let vhost = Vhost::new().await;
    vhost.queue("answers").await;
    let mut setup = setup;
    setup.vars.push(("AMQP_URL", vhost.url()));
    (vhost, Station::with(setup).await, Uuid::new_v4().to_string())
}

/// The next answers, in order: what they say, and whom they are for.
async fn told(vhost: &Vhost, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        let (answer, correlation) = vhost.answer("answers").await;
        told.push(format!("{} {}", answer["status"].as_str().unwrap(), correlation.unwrap()));
    }
    told
}

/// No dispatcher is at work: the function that posts the first part is the one that tells it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_that_posts_the_first_part_tells_its_producer() {
    let (vhost, mut station, uid) = with_broker(Setup::default()).await;
    station.sim.fault(Fault { containing: Some("(2/2)".into()), ..Fault::always(limited()) });
    station.consume(&[asking(long(&uid), "answers", "c-1")]).await;
    let (answer, correlation) = vhost.answer("answers").await;
    assert_eq!(answer, json!({ "status": "taken", "message_id": uid }));
    assert_eq!(correlation.as_deref(), Some("c-1"));
    assert_eq!(station.column("select answer || ' ' || taken from messages").await, ["due true"]);
    station.sim.clear_faults();
    station.start_dispatcher();
    assert_eq!(told(&vhost, 1).await, ["success c-1"]);
    station.until("select outcome from api_calls where operation = 'reply'", &["ok", "ok"]).await;
    station.end().await;
    assert_eq!(vhost.broker.depth("answers").await.unwrap(), 0);
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_whole_at_once_is_answered_once() {
    let (vhost, mut station, uid) = with_broker(Setup::default()).await;
    let short = Station::message("source.standard", &json!({ "body": "short", "wbor_message_id": uid }));
    station.consume(&[asking(short, "answers", "c-1")]).await;
    station.start_dispatcher();
    assert_eq!(told(&vhost, 1).await, ["success c-1"]);
    station.until("select answer || ' ' || taken from messages", &["given false"]).await;
    station.end().await;
    assert_eq!(vhost.broker.depth("answers").await.unwrap(), 0);
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_who_posted_it_could_not_tell_is_told_by_the_next() {
    let (vhost, mut station, uid) = with_broker(Setup::default()).await;
    station.sim.fault(Fault { containing: Some("(2/2)".into()), ..Fault::always(limited()) });
    station.take_in(&[asking(long(&uid), "answers", "c-1")]).await;
    let mut alone = station.relay("dispatcher");
    alone.broker = None;
    let now = tokio::time::Instant::now();
    let budget = talkback::relay::dispatch::Budget::door(
        Duration::from_secs(3),
        Some(now + Duration::from_secs(8)),
        alone.room_names(),
    );
    alone.dispatch(&budget).await.unwrap();
    // And one that had taken it upon itself died.
    assert_eq!(alone.store.take_begun(None, 8).await.unwrap().len(), 1);
    assert!(alone.store.take_begun(None, 8).await.unwrap().is_empty(), "while it is leased nobody else tells it");
    assert_eq!(vhost.broker.depth("answers").await.unwrap(), 0);
    station.db().await.batch_execute("update messages set answer_until = now() - interval '1 s'").await.unwrap();
    station.start_dispatcher();
    assert_eq!(told(&vhost, 1).await, ["taken c-1"]);
    station.sim.clear_faults();
    assert_eq!(told(&vhost, 1).await, ["success c-1"]);
    station.end().await;
    vhost.gone().await;
}

/// Who has it never takes over, so nothing of it may be withdrawn any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_for_one_room_is_posted_in_the_other_however_late() {
    let (vhost, mut station, uid) = with_broker(two_rooms()).await;
    station.sim.fault(Fault { bot_id: Some(OTHER_BOT.into()), ..Fault::always(limited()) });
    station.consume(&[asking(hasty(&uid, 3), "answers", "c-1")]).await;
    assert_eq!(told(&vhost, 1).await, ["taken c-1"]);
    station.until("select (clock_timestamp() > accepted_at + interval '4 s')::text from messages", &["true"]).await;
    station.start_dispatcher();
    station.sim.clear_faults();
    assert_eq!(told(&vhost, 1).await, ["success c-1"]);
    assert_eq!((station.said().len(), station.sim.lines(OTHER_GROUP).len()), (1, 1));
    station.end().await;
    vhost.gone().await;
}

/// Its producer has taken it over there, and must hear of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_withdrawn_from_one_room_is_not_taken() {
    let (vhost, mut station, uid) = with_broker(two_rooms()).await;
    station.sim.fault(Fault { containing: Some("(2/2)".into()), ..Fault::always(limited()) });
    station.take_in(&[asking(long(&uid), "answers", "c-1")]).await;
    let withdrawn =
        "update deliveries set state = 'withdrawn', cause = 'its producer has taken over' where room = 'tech'";
    station.db().await.batch_execute(withdrawn).await.unwrap();
    station.start_dispatcher();
    station.until("select sent::text from deliveries where room = 'staff'", &["1"]).await;
    station.sim.clear_faults();
    let (answer, _) = vhost.answer("answers").await;
    assert_eq!(answer, json!({ "status": "failure", "message_id": uid, "reason": "withdrawn" }));
    station.end().await;
    assert_eq!(vhost.broker.depth("answers").await.unwrap(), 0);
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_that_asks_in_the_middle_is_told_too() {
    let (vhost, mut station, uid) = with_broker(Setup::default()).await;
    station.sim.fault(Fault { containing: Some("(2/2)".into()), ..Fault::always(limited()) });
    station.consume(&[asking(long(&uid), "answers", "c-1")]).await;
    assert_eq!(told(&vhost, 1).await, ["taken c-1"]);
    station.until("select answer || ' ' || taken from messages", &["due true"]).await;
    station.consume(&[asking(long(&uid), "answers", "c-2")]).await;
    station.start_dispatcher();
    assert_eq!(told(&vhost, 1).await, ["taken c-2"]);
    station.sim.clear_faults();
    assert_eq!(told(&vhost, 1).await, ["success c-2"]);
    station.end().await;
    vhost.gone().await;
}

/// The answer of its call is lost, the callback shows it: who hears the callback tells, whether or not a dispatcher is
/// at work; the producer is about to post by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_part_that_only_its_callback_shows_is_told_by_who_hears_it() {
    let (vhost, station, uid) = with_broker(Setup::default()).await;
    station.sim.callbacks_mode(BOT, CallbackMode::Late(Duration::from_millis(300)));
    station.sim.fault(Fault::once(What::ResetAfterRead { shown: true }));
    station.consume(&[asking(long(&uid), "answers", "c-1")]).await;
    assert_eq!(told(&vhost, 1).await, ["taken c-1"]);
    assert_eq!(station.column("select state from parts order by n").await, ["confirmed", "waiting"]);
    station.consume(&[]).await;
    assert_eq!(told(&vhost, 1).await, ["success c-1"]);
    station.end().await;
    vhost.gone().await;
}
