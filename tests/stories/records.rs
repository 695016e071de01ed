//! Producers that posted by themselves and say so: whichever comes first, the message or its record, the room sees one
//! post, and the call is written down.
use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::station::{BOT, GROUP, OTHER_BOT, OTHER_GROUP, Setup, Station, two_rooms, usual_rooms};

fn uid() -> String {
    Uuid::new_v4().to_string()
}

fn original(uid: &str, text: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": uid }))
}

/// The record of a bot post, as the station's programs publish it.
fn record_by(bot: &str, uid: &str, code: u16) -> Value {
    let body = json!({
        "text": "in its producer's words", "bot_id": bot, "source": "standard", "code": code, "type": "log",
        "wbor_message_id": uid,
    });
    Station::message("source.groupme.msg", &body)
}

fn record(uid: &str) -> Value {
    record_by(BOT, uid, 202)
}

const STATES: &str = "select d.state from deliveries d order by d.qseq, d.id";
const CAUSES: &str =
    "select coalesce(old_state, '') || ' ' || new_state || ': ' || cause from delivery_events order by id";
const CALLS: &str =
    "select operation || ' ' || outcome || ' ' || coalesce(status::text, '-') from api_calls order by id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_before_its_message_leaves_nothing_to_post() {
    let station = Station::open().await;
    let uid = uid();
    station.consume(&[record(&uid)]).await;
    assert_eq!(station.column("select verdict from messages").await, ["already_sent"]);
    station.consume(&[original(&uid, "once")]).await;
    station.until(STATES, &["sent"]).await;
    assert_eq!(station.column("select verdict || ' ' || body from messages").await, ["accepted once"]);
    assert_eq!(station.column(CALLS).await, ["post recorded 202"]);
    assert!(station.sim.posts().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_settles_a_message_that_still_waits() {
    let station = Station::open().await;
    let uid = uid();
    station.take_in(&[original(&uid, "waits")]).await;
    assert_eq!(station.column(STATES).await, ["queued"]);
    station.consume(&[record(&uid)]).await;
    assert_eq!(station.column(CAUSES).await, [" queued: accepted", "queued sent: its producer posted it"]);
    assert!(station.sim.posts().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_stops_the_remaining_parts_of_what_is_being_posted() {
    let mut station = Station::with(Setup { rooms: usual_rooms("600ms", 1), ..Setup::default() }).await;
    let uid = uid();
    let long = "All work and no play makes Jack a dull boy. ".repeat(100);
    station.take_in(&[original(&uid, long.trim())]).await;
    station.start_dispatcher();
    station.lines(2).await;
    station.take_in(&[record(&uid)]).await;
    // One more may have been in the air; then whatever comes after it is next.
    station.take_in(&[original(&Uuid::new_v4().to_string(), "the next")]).await;
    station.until(STATES, &["sent", "confirmed"]).await;
    let said = station.texts();
    assert!((3..=4).contains(&said.len()), "{said:?}");
    assert!(said.last().unwrap().contains("the next"));
    let parts = station.column("select p.state from parts p order by p.delivery, p.n").await;
    assert_eq!(parts[4], "waiting", "{parts:?}");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_changes_nothing_about_what_the_room_shows_already() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let uid = uid();
    station.consume(&[original(&uid, "shown")]).await;
    station.until(STATES, &["confirmed"]).await;
    station.consume(&[record(&uid)]).await;
    assert_eq!(station.column(STATES).await, ["confirmed"]);
    assert_eq!(station.column("select verdict || ' ' || body from messages").await, ["accepted shown"]);
    assert_eq!(station.column(CALLS).await, ["post posted 202", "post recorded 202"]);
    assert_eq!(station.said(), ["shown"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_settles_what_was_withdrawn_expired_or_failed() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    station.sim.fault(Fault {
        containing: Some("refused".into()),
        ..Fault::always(What::Status { code: 400, retry_after: None, shown: false })
    });
    let uids = [uid(), uid(), uid()];
    let mut late = Station::raw_message(
        "source.standard",
        json!({ "body": "late", "wbor_message_id": uids[0] }).to_string().as_bytes(),
        json!({ "deliver_by": jiff::Timestamp::now().as_second() - 1 }),
    );
    late["basicProperties"]["replyTo"] = json!("nobody");
    let old = json!({ "body": "old", "wbor_message_id": uids[1], "expires_at": "2026-01-01T00:00:00Z" });
    station.consume(&[late, Station::message("source.standard", &old), original(&uids[2], "refused")]).await;
    station.until(STATES, &["withdrawn", "expired", "failed"]).await;
    let records: Vec<Value> = uids.iter().map(|uid| record(uid)).collect();
    station.consume(&records).await;
    assert_eq!(station.column(STATES).await, ["sent", "sent", "sent"]);
    assert!(station.texts().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_and_its_record_that_waited_together_post_nothing_in_either_order() {
    for record_first in [true, false] {
        let station = Station::open().await;
        let uid = uid();
        let mut batch = vec![original(&uid, "together"), record(&uid)];
        if record_first {
            batch.reverse();
        }
        let counts = station.consume(&batch).await;
        assert_eq!((counts["messages"].as_u64(), counts["settled"].as_u64()), (Some(1), Some(1)));
        assert_eq!(station.column(STATES).await, ["sent"], "record first: {record_first}");
        assert_eq!(station.column(CALLS).await, ["post recorded 202"]);
        assert!(station.sim.posts().is_empty());
        station.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_and_its_record_at_once_from_two_consumers_are_settled_each_time() {
    let station = Station::open().await;
    let rounds = 30;
    for _ in 0..rounds {
        let uid = uid();
        let (one, two) = ([original(&uid, "at once")], [record(&uid)]);
        tokio::join!(station.take_in(&one), station.take_in(&two));
    }
    assert_eq!(station.column("select distinct state from deliveries").await, ["sent"]);
    assert_eq!(station.column("select count(*)::text from deliveries").await, [rounds.to_string()]);
    assert_eq!(station.column("select distinct verdict from messages").await, ["accepted"]);
    assert_eq!(station.column("select count(*)::text from api_calls").await, [rounds.to_string()]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_settles_the_room_of_its_bot_and_no_other() {
    let mut station = Station::with(two_rooms()).await;
    station.start_dispatcher();
    let uid = uid();
    station.consume(&[record_by(OTHER_BOT, &uid, 202), original(&uid, "for both")]).await;
    station.until("select room || ' ' || state from deliveries order by room", &["staff confirmed", "tech sent"]).await;
    assert_eq!(station.said(), ["for both"]);
    assert!(station.sim.lines(OTHER_GROUP).is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_a_bot_that_nobody_knows_is_written_down_and_settles_nothing() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let uid = uid();
    station.consume(&[record_by("n0b0dys-b0t-n0b0dys-b0t", &uid, 202), original(&uid, "posted")]).await;
    station.until(STATES, &["confirmed"]).await;
    assert_eq!(station.said(), ["posted"]);
    let calls = "select operation || ' ' || outcome || ' ' || coalesce(room, 'no room') from api_calls order by id";
    assert_eq!(station.column(calls).await, ["post recorded no room", "post posted staff"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_a_call_that_failed_settles_nothing_and_is_written_down() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    for (uid, first) in [(uid(), true), (uid(), false)] {
        let mut batch = vec![vec![record_by(BOT, &uid, 400)], vec![original(&uid, "it was not posted")]];
        if !first {
            batch.reverse();
        }
        for messages in &batch {
            station.consume(messages).await;
        }
    }
    station.until(STATES, &["confirmed", "confirmed"]).await;
    assert_eq!(station.said(), ["it was not posted", "it was not posted"]);
    assert_eq!(
        station.column("select outcome || ' ' || status from api_calls order by outcome").await,
        ["posted 202", "posted 202", "recorded 400", "recorded 400"]
    );
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_records_of_one_message_are_one_message_and_a_call_each() {
    let station = Station::open().await;
    let uid = uid();
    let image = json!({
        "raw_img": "https://camera.example.org/now.jpg", "bot_id": BOT, "source": "standard", "code": 200, "type": "img",
        "wbor_message_id": uid,
    });
    let batch = [record(&uid), record(&uid), Station::message("source.groupme.img", &image)];
    station.consume(&batch).await;
    let three = ["post recorded 202", "post recorded 202", "upload recorded 200"];
    assert_eq!(station.column(CALLS).await, three);
    // The same batch, delivered again, adds nothing.
    station.consume(&batch).await;
    assert_eq!(station.column(CALLS).await, three);
    assert_eq!(station.column("select verdict from messages").await, ["already_sent"]);
    assert_eq!(station.column(STATES).await, ["sent"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listeners_text_marked_as_sent_already_is_written_down_and_not_posted() {
    let station = Station::open().await;
    for mark in [json!(true), json!("true"), json!(1)] {
        let text = json!({
            "MessageSid": "SM1", "From": "+12075550123", "To": "+12075550199", "Body": "Who sang that?",
            "NumMedia": "0", "SenderName": "Robin Doe", "FromCity": "PORTLAND", "wbor_message_id": uid(),
            "source": "twilio", "type": "sms.incoming",
        });
        let headers = json!({ "alreadysent": mark });
        let message = Station::raw_message("source.twilio.sms.incoming", text.to_string().as_bytes(), headers);
        station.consume(&[message]).await;
    }
    assert_eq!(station.column("select verdict || ' ' || body from messages").await, ["already_sent Who sang that?"; 3]);
    assert_eq!(station.column("select room || ' ' || state from deliveries").await, ["staff sent"; 3]);
    assert!(station.sim.posts().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_callback_is_a_line_of_the_room_heard_once() {
    let station = Station::open().await;
    let guid = uid();
    let callback = json!({
        "attachments": [], "avatar_url": null, "created_at": 1_795_194_600, "group_id": GROUP,
        "id": "179519460012345678", "name": "Studio", "sender_id": "900001", "sender_type": "user", "source_guid": guid,
        "system": false, "text": null, "user_id": "900001", "bot_id": BOT, "source": "groupme.callback", "code": 200,
        "type": "callback", "wbor_message_id": guid,
    });
    let message = Station::message("source.groupme.callback", &callback);
    station.consume(std::slice::from_ref(&message)).await;
    station.consume(&[message]).await;
    let lines = "select group_id || ' ' || line_id || ' ' || learnt_by || ' ' || sender_type from groupme_callbacks";
    assert_eq!(station.column(lines).await, [format!("{GROUP} 179519460012345678 record user")]);
    assert_eq!(station.column(CALLS).await, ["callback recorded 200"]);
    assert!(station.column(STATES).await.is_empty(), "a callback settles nothing");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_names_its_message_by_the_source_that_the_payload_names() {
    let station = Station::open().await;
    // 42 is no UUID: it counts within `source.standard`, and the record comes by `source.groupme.msg`.
    station.consume(&[original("42", "forty-two"), record("42")]).await;
    assert_eq!(station.column("select uid from messages").await, ["42@source.standard"]);
    assert_eq!(station.column(STATES).await, ["sent"]);
    assert!(station.sim.posts().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_number_as_uid_of_two_sources_is_two_messages() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let weather = json!({ "body": "snow", "wbor_message_id": 42 });
    station.consume(&[original("42", "news"), Station::message("source.weather", &weather)]).await;
    station.until(STATES, &["confirmed", "confirmed"]).await;
    assert_eq!(station.said(), ["news", "snow"]);
    assert!(station.column("select reason from rejected").await.is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_uid_with_other_content_is_kept_as_rejected_and_not_dropped_in_silence() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let uid = uid();
    let other = original(&uid, "another");
    // In one batch, and again later: one row, for it is one input.
    station.consume(&[original(&uid, "the first"), other.clone()]).await;
    station.consume(&[other]).await;
    station.until(STATES, &["confirmed"]).await;
    assert_eq!(station.said(), ["the first"]);
    let rows = "select reason || ' ' || door || ' ' || source from rejected";
    assert_eq!(station.column(rows).await, ["uid_reused rabbitmq source.standard"]);
    let raw: Vec<u8> = station.db().await.query_one("select raw_sealed from rejected", &[]).await.unwrap().get(0);
    let id: Uuid = station.db().await.query_one("select id from rejected", &[]).await.unwrap().get(0);
    let place = talkback::seal::Place { table: "rejected", column: "raw_sealed", row: &id.to_string() };
    let opened: Value = serde_json::from_slice(&station.settings.data_keys.open(place, &raw).unwrap()).unwrap();
    assert_eq!(opened["body"], "another");
    station.end().await;
}
