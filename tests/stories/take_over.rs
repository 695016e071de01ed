//! Producers that took over: what was left to them and is not told of is told in the room.
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answers::{asking, listeners_text, waiting_for};
use crate::front_end::FrontEnd;
use crate::station::{BOT, OTHER_GROUP, Setup, Station, texts, two_rooms, usual_rooms};

const STATES: &str =
    "select state from deliveries d join messages m using (uid) where m.door = 'rabbitmq' order by state";

fn uid() -> String {
    Uuid::new_v4().to_string()
}

/// A message whose producer has posted it by itself when it is found.
fn late(uid: &str) -> Value {
    let body = json!({ "body": "late", "wbor_message_id": uid }).to_string();
    let headers = json!({ "deliver_by": jiff::Timestamp::now().as_second() - 1 });
    asking(Station::raw_message("source.standard", body.as_bytes(), headers), "nobody", "c-1")
}

fn record(uid: &str) -> Value {
    let record = json!({ "text": "late", "bot_id": BOT, "source": "standard", "code": 202, "wbor_message_id": uid });
    Station::message("source.groupme.msg", &record)
}

/// A station that waits for records so long, in a unit that its lines are short with.
fn waiting(within: &str) -> Setup {
    Setup { lanes: format!("record_within = \"{within}\""), ..Setup::default() }
}

async fn trouble(station: &Station) -> i64 {
    let relay = station.relay("send");
    relay.store.room_states(&relay.room_names()).await.unwrap().iter().map(|room| room.trouble).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_taken_over_and_of_which_no_record_comes_is_told_in_the_room_once() {
    let mut station = Station::with(waiting("1s")).await;
    let uid = uid();
    station.take_in(&[late(&uid)]).await;
    let relay = station.relay("dispatcher");
    relay.tend_once().await.unwrap();
    assert_eq!(station.column(STATES).await, ["withdrawn"]);
    assert_eq!(station.column("select count(*)::text from messages").await, ["1"], "its time is not over");
    assert_eq!(trouble(&station).await, 0);
    let over =
        "select (clock_timestamp() > at + interval '1 s')::text from delivery_events where new_state = 'withdrawn'";
    station.until(over, &["true"]).await;
    // Two dispatchers at once, and one that died before it could note that it had told.
    let other = station.relay("dispatcher");
    let (one, two) = tokio::join!(relay.tend_once(), other.tend_once());
    one.and(two).unwrap();
    station.db().await.batch_execute("update deliveries set told = false where state = 'withdrawn'").await.unwrap();
    relay.tend_once().await.unwrap();
    station.start_dispatcher();
    let lines = station.lines(1).await;
    let text = lines[0].text.clone().unwrap();
    assert_eq!(
        text,
        format!(
            "⚠ A message from source.standard came too late to be posted ({}). Its producer was to post it by itself, \
             and has not told within 1 s that it did: it may be missing here.",
            uid.split('-').next().unwrap()
        )
    );
    let alarm = "select priority || ' ' || state from messages join deliveries using (uid) where door = 'talkback'";
    station.until(alarm, &["2 confirmed"]).await;
    assert_eq!(trouble(&station).await, 1);
    // It comes after all.
    station.take_in(&[record(&uid)]).await;
    assert_eq!(station.column(STATES).await, ["sent"]);
    assert_eq!(trouble(&station).await, 0);
    assert_eq!(station.texts().len(), 1);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_comes_in_time_keeps_the_room_quiet() {
    let mut station = Station::with(waiting("700ms")).await;
    let (told, untold) = (uid(), uid());
    station.take_in(&[late(&told), late(&untold)]).await;
    station.start_dispatcher();
    station.until(STATES, &["withdrawn", "withdrawn"]).await;
    station.take_in(&[record(&told)]).await;
    let line = station.lines(1).await[0].text.clone().unwrap();
    assert!(
        line.contains(untold.split('-').next().unwrap()) && !line.contains(told.split('-').next().unwrap()),
        "{line}"
    );
    station.until(STATES, &["sent", "withdrawn"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_were_taken_over_are_one_line_a_room() {
    let setup = Setup { lanes: "record_within = \"500ms\"".to_owned(), ..two_rooms() };
    let mut station = Station::with(setup).await;
    let uids: Vec<String> = (0..7).map(|_| uid()).collect();
    let batch: Vec<Value> = uids.iter().map(|uid| late(uid)).collect();
    station.take_in(&batch).await;
    let relay = station.relay("dispatcher");
    relay.tend_once().await.unwrap();
    let over = "select (clock_timestamp() > max(at) + interval '500 ms')::text from delivery_events where new_state = 'withdrawn'";
    station.until(over, &["true"]).await;
    relay.tend_once().await.unwrap();
    station.start_dispatcher();
    let line = station.lines(1).await[0].text.clone().unwrap();
    assert!(line.starts_with("⚠ 7 messages came too late to be posted ("), "{line}");
    let named = uids.iter().filter(|uid| line.contains(uid.split('-').next().unwrap())).count();
    assert!(named == 5 && line.contains(", …), the first from source.standard."), "{line}");
    station.until("select count(*)::text from deliveries where state = 'confirmed'", &["2"]).await;
    assert_eq!(texts(&station.sim.lines(OTHER_GROUP)), [line]);
    assert_eq!(station.texts().len(), 1);
    station.end().await;
}

/// A listener's text that its front end has posted by the time it is found, by the patience of its route; and the same
/// where nobody could answer the front end, so that it is posted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patience_binds_and_is_judged_only_where_the_front_end_can_be_answered() {
    let rooms = usual_rooms("20ms", 3).replace("patience = \"15s\"", "patience = \"1s\"");
    let front_end = FrontEnd::answering(&[200]).await;
    let answered = Setup { rooms: rooms.clone(), ..waiting_for(&front_end) };
    let lanes = format!("{}\nrecord_within = \"500ms\"", answered.lanes);
    for (setup, judged) in [(Setup { lanes, ..answered }, true), (Setup { rooms, ..waiting("500ms") }, false)] {
        let mut station = Station::with(setup).await;
        station.take_in(&[listeners_text(&uid(), "hello")]).await;
        station.until("select (clock_timestamp() > accepted_at + interval '2 s')::text from messages", &["true"]).await;
        station.start_dispatcher();
        let line = station.lines(1).await[0].text.clone().unwrap();
        assert_eq!(line.starts_with("⚠ A message from source.twilio.sms.incoming came too late"), judged, "{line}");
        station.until(STATES, &[if judged { "withdrawn" } else { "confirmed" }]).await;
        station.end().await;
    }
    assert!(front_end.heard().is_empty(), "only a success is acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replayed_is_judged_no_more() {
    let mut station = Station::with(waiting("300ms")).await;
    let uid = uid();
    station.take_in(&[late(&uid)]).await;
    let relay = station.relay("dispatcher");
    relay.tend_once().await.unwrap();
    assert_eq!(relay.store.replay(&uid).await.unwrap(), 1);
    station.start_dispatcher();
    station.until(STATES, &["confirmed"]).await;
    station.until("select (clock_timestamp() > accepted_at + interval '1 s')::text from messages", &["true"]).await;
    relay.tend_once().await.unwrap();
    assert_eq!((station.said(), trouble(&station).await), (vec!["late".to_owned()], 0));
    station.end().await;
}
