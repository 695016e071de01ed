//! What a chat API does to a lane: rate limits, lost answers, refusals, poison; and what the lane makes of it.
use std::time::Duration;

use groupme_sim::{CallbackMode, Fault, What};
use serde_json::{Value, json};
use talkback::relay::Relay;
use talkback::relay::dispatch::Budget;
use talkback::store::StoreError;
use talkback::store::lanes::{After, CallReport, Claim, Claimed, Outcome, Recorded, Then};
use uuid::Uuid;

use crate::station::{BOT, GROUP, MEMBER, Setup, Station, dressed, usual_rooms};

pub fn message(text: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": Uuid::new_v4().to_string() }))
}

/// Writes a call down and goes on in the lane.
pub async fn record_and_claim(
    relay: &Relay,
    token: &str,
    report: &CallReport<'_>,
) -> Result<(Recorded, Claim), StoreError> {
    match relay.store.record(token, report, &relay.settings.lanes, Then::Claim).await? {
        (recorded, After::Claimed(claim)) => Ok((recorded, claim)),
        _ => panic!("nothing was claimed"),
    }
}

/// Writes a call down and lets go of the lane.
pub async fn record_and_release(relay: &Relay, token: &str, report: &CallReport<'_>) -> Result<Recorded, StoreError> {
    relay.store.record(token, report, &relay.settings.lanes, Then::LetGo).await.map(|(recorded, _)| recorded)
}

/// What there is to record of a call that ended so.
pub fn called(claimed: &Claimed, outcome: Outcome) -> CallReport<'_> {
    CallReport {
        claimed,
        channel: "groupme",
        outcome,
        status: None,
        latency: Duration::ZERO,
        request: json!({}),
        response: None,
        error: None,
        pause: Duration::ZERO,
        room_fingerprint: Vec::new(),
    }
}

pub fn status(code: u16) -> What {
    What::Status { code, retry_after: None, shown: false }
}

/// The bodies that the room shows, in order, without their dress.
pub fn said(station: &Station) -> Vec<String> {
    station.texts().iter().map(|t| t.split('"').nth(1).unwrap_or(t).to_owned()).collect()
}

pub const STATES: &str = "select d.state from deliveries d join messages m using (uid) order by m.body";
const OUTCOMES: &str = "select outcome from api_calls where operation = 'post' order by id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_slows_the_room_and_nothing_is_dropped_or_reordered() {
    for code in [420, 429, 403] {
        let mut station = Station::open().await;
        station.sim.fault(Fault { times: Some(2), ..Fault::once(status(code)) });
        station.consume(&[message("a"), message("b"), message("c")]).await;
        station.start_dispatcher();
        station.until(STATES, &["confirmed", "confirmed", "confirmed"]).await;
        assert_eq!(said(&station), ["a", "b", "c"], "{code}");
        station.until(OUTCOMES, &["limited", "limited", "posted", "posted", "posted"]).await;
        station.until("select (slow_until > clock_timestamp())::text from lanes", &["true"]).await;
        station.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_hidden_in_another_status_is_one() {
    let mut station = Station::open().await;
    station.sim.fault(Fault::once(What::MetaCode429));
    station.consume(&[message("a")]).await;
    station.start_dispatcher();
    station.until(STATES, &["confirmed"]).await;
    station.until(OUTCOMES, &["limited", "posted"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_honoured() {
    let mut station = Station::open().await;
    station.sim.fault(Fault::once(What::Status { code: 429, retry_after: Some(2), shown: false }));
    station.consume(&[message("a")]).await;
    station
        .until(
            "select (paused_until - clock_timestamp() between interval '500 ms' and interval '2 s')::text from lanes",
            &["true"],
        )
        .await;
    station.start_dispatcher();
    station.until(STATES, &["confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_whose_line_appeared_is_not_posted_again() {
    let shown = [
        What::Status { code: 502, retry_after: None, shown: true },
        What::Silence { shown: true },
        What::ResetAfterRead { shown: true },
    ];
    for what in shown {
        let mut station = Station::open().await;
        station.sim.fault(Fault::once(what.clone()));
        station.consume(&[message("a"), message("b")]).await;
        station.start_dispatcher();
        station.until(STATES, &["confirmed", "confirmed"]).await;
        assert_eq!(said(&station), ["a", "b"], "{what:?}");
        station.until(OUTCOMES, &["unknown", "posted"]).await;
        station.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_request_is_posted_again_once_and_in_its_place() {
    for what in [status(500), status(503), What::Silence { shown: false }, What::ResetAfterRead { shown: false }] {
        let mut station = Station::open().await;
        station.consume(&[message("0")]).await;
        station.until(STATES, &["confirmed"]).await;
        station.sim.fault(Fault::once(what.clone()));
        station.consume(&[message("a"), message("b")]).await;
        // Somebody speaks: so callbacks come, and that ours is not among them proves something.
        station.sim.say(GROUP, "7", "Ada", "hello?").await;
        station.start_dispatcher();
        station.until(STATES, &["confirmed", "confirmed", "confirmed"]).await;
        assert_eq!(said(&station), ["0", "hello?", "a", "b"], "{what:?}");
        station.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_never_was_is_simply_tried_again() {
    let mut station = Station::open().await;
    let (api, port) = (station.sim.api_url(), station.sim.page_url());
    station.sim.stop().await;
    // Nobody listens there now.
    station.sim = groupme_sim::Sim::start(groupme_sim::SimConfig::default()).await.unwrap();
    station.consume(&[message("a")]).await;
    station.until("select distinct outcome || ': ' || error from api_calls", &["retry: no connection"]).await;
    station.until(STATES, &["queued"]).await;
    assert!(api.contains(port.trim_start_matches("http://").trim_end_matches('/')));
    station.end().await;
}

fn silent_room(unknown: &str, vars: Vec<(&'static str, String)>) -> Setup {
    let rooms = usual_rooms("20ms", 3).replace("burst = 3", &format!("burst = 3\nunknown = \"{unknown}\""));
    Setup { rooms, callbacks: false, vars, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_can_tell_a_lost_answer_is_sent_again_or_given_up_as_configured() {
    for (unknown, states, lines) in [("resend", ["sent", "sent"], 3), ("give_up", ["unconfirmed", "sent"], 2)] {
        let mut station = Station::with(silent_room(unknown, Vec::new())).await;
        station.sim.fault(Fault::once(What::ResetAfterRead { shown: true }));
        station.consume(&[message("a"), message("b")]).await;
        station.start_dispatcher();
        station.until(STATES, &states).await;
        assert_eq!(station.texts().len(), lines, "{unknown}");
        station.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_members_token_the_room_is_read_before_anything_is_sent_again() {
    for (shown, calls) in [(true, &["unknown", "ok"][..]), (false, &["unknown", "ok", "posted"][..])] {
        let vars = vec![("GROUPME_ACCESS_TOKEN", MEMBER.to_owned())];
        let mut station = Station::with(silent_room("give_up", vars)).await;
        station.sim.fault(Fault::once(What::ResetAfterRead { shown }));
        station.consume(&[message("a")]).await;
        station.start_dispatcher();
        station.until("select outcome from api_calls order by id", calls).await;
        station.until(STATES, &[if shown { "confirmed" } else { "sent" }]).await;
        assert_eq!(said(&station), ["a"]);
        station.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_cannot_be_read_back_heals_itself() {
    let vars = vec![("GROUPME_ACCESS_TOKEN", "a-token-that-is-not-the-members".to_owned())];
    let mut station = Station::with(silent_room("resend", vars)).await;
    station.sim.fault(Fault::once(What::ResetAfterRead { shown: false }));
    station.consume(&[message("a")]).await;
    station.start_dispatcher();
    station.until(STATES, &["sent"]).await;
    station.until("select count(*)::text from api_calls where operation = 'read' and status = 401", &["5"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_died_in_its_call_leaves_a_row_that_its_finder_writes() {
    let mut station = Station::open().await;
    station.consume(&[message("0")]).await;
    station.until(STATES, &["confirmed"]).await;
    station.sim.fault(Fault::once(What::Silence { shown: true }));
    let relay = station.relay("dies");
    let task = {
        let relay = relay.clone();
        let uid = Uuid::new_v4().to_string();
        let batch =
            Station::batch(&[Station::message("source.standard", &json!({ "body": "a", "wbor_message_id": uid }))]);
        let records = talkback::amqp_event::read_event(&batch).unwrap();
        relay.take_in(records, jiff::Timestamp::now()).await.unwrap();
        tokio::spawn(async move {
            let rooms = relay.room_names();
            drop(relay.dispatch(&Budget::door(Duration::from_secs(9), None, rooms)).await);
        })
    };
    // It is in its call: the line is there, the answer is not.
    station.lines(2).await;
    task.abort();
    station.sim.clear_faults();
    station.start_dispatcher();
    station.until(STATES, &["confirmed", "confirmed"]).await;
    assert_eq!(said(&station), ["0", "a"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_part_fails_alone() {
    let mut station = Station::open().await;
    station.sim.fault(Fault { containing: Some("bad".into()), ..Fault::always(status(400)) });
    station.consume(&[message("a"), message("bad"), message("c")]).await;
    station.start_dispatcher();
    station.until(STATES, &["confirmed", "failed", "confirmed"]).await;
    assert_eq!(said(&station), ["a", "c"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_alone_keeps_failing_is_set_aside_and_fails_at_last() {
    let mut station = Station::open().await;
    station.sim.fault(Fault { containing: Some("poison".into()), ..Fault::always(status(500)) });
    station.consume(&[message("a"), message("poison"), message("z")]).await;
    station.start_dispatcher();
    let talk = station.sim.say(GROUP, "7", "Ada", "still there?").await;
    assert!(!talk.is_empty());
    station
        .until("select d.state from deliveries d join messages m using (uid) where m.body = 'z'", &["confirmed"])
        .await;
    assert!(!said(&station).contains(&"poison".to_owned()));
    station
        .until(
            "select count(*)::text from delivery_events where new_state = 'scheduled' and cause like 'set aside%'",
            &["1"],
        )
        .await;
    // It comes back, and each time somebody else got through: after its last chance it has failed.
    let client = station.db().await;
    client
        .batch_execute("update deliveries set set_asides = 3 where state in ('scheduled', 'queued', 'sending')")
        .await
        .unwrap();
    station.until(STATES, &["confirmed", "failed", "confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_message_comes_next_however_long_the_queue() {
    let mut station = Station::with(Setup { rooms: usual_rooms("30ms", 1), ..Setup::default() }).await;
    let batch: Vec<Value> = (0..200).map(|n| message(&format!("{n:03}"))).collect();
    station.start_dispatcher();
    station.consume(&batch).await;
    station.lines(3).await;
    let alarm = Station::message("notification.ups.onbattery", &json!({ "body": "on battery" }));
    let before = station.texts().len();
    station.consume(&[alarm]).await;
    let shown =
        |lines: &[groupme_sim::Line]| lines.iter().any(|l| l.text.as_deref().is_some_and(|t| t.contains("battery")));
    station.sim.wait_for(shown, crate::station::PATIENCE).await.unwrap();
    let place = said(&station).iter().position(|t| t == "on battery").unwrap();
    let accepted_at = 100;
    assert!(place < accepted_at, "place {place} of 200, {before} lines before");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_never_seen_in_a_room_that_confirms_is_unconfirmed_and_not_posted_again() {
    let mut station = Station::open().await;
    station.consume(&[message("a")]).await;
    station.until(STATES, &["confirmed"]).await;
    station.sim.fault(Fault::once(What::NeverShown));
    station.consume(&[message("b")]).await;
    station.start_dispatcher();
    station.until(STATES, &["confirmed", "unconfirmed"]).await;
    assert_eq!(station.sim.posts().len(), 2);
    // A person sends it again.
    let uid: String =
        station.db().await.query_one("select uid from messages where body = 'b'", &[]).await.unwrap().get(0);
    assert_eq!(station.relay("chat").store.replay(&uid).await.unwrap(), 1);
    station.until(STATES, &["confirmed", "confirmed"]).await;
    assert_eq!(said(&station), ["a", "b"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_late_twice_or_shuffled_confirm_each_part_once() {
    for mode in [CallbackMode::Late(Duration::from_millis(400)), CallbackMode::Twice, CallbackMode::Shuffled] {
        let mut station = Station::open().await;
        station.sim.callbacks_mode(BOT, mode);
        station.start_dispatcher();
        station.consume(&[message("same"), message("same"), message("same"), message("other")]).await;
        station.until(STATES, &["confirmed"; 4]).await;
        station.until("select count(*)::text from groupme_callbacks", &["4"]).await;
        station.until("select count(distinct confirmed_by)::text from parts", &["4"]).await;
        assert_eq!(station.sim.lines(GROUP).len(), 4);
        station.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_urgent_message_is_said_in_the_room_in_one_line() {
    let rooms = usual_rooms("20ms", 3).replace("priority = \"urgent\"", "priority = \"urgent\"\nage = \"300ms\"");
    let mut station = Station::with(Setup { rooms, ..Setup::default() }).await;
    station.sim.fault(Fault { containing: Some("\"on battery".into()), ..Fault::always(status(429)) });
    station.consume(&[Station::message("notification.ups.onbattery", &json!({ "body": "on battery" }))]).await;
    station.start_dispatcher();
    station.until("select state from deliveries where prio = 2", &["expired"]).await;
    let lines = station.lines(1).await;
    let text = lines[0].text.clone().unwrap_or_default();
    assert!(text.contains("notification.ups.onbattery") && text.contains("expired"), "{text}");
    station.until("select count(*)::text from deliveries where told", &["1"]).await;
    assert_eq!(station.texts().len(), 1);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_found_after_its_producer_took_over_is_withdrawn() {
    let mut station = Station::open().await;
    let body = json!({ "body": "late", "wbor_message_id": Uuid::new_v4().to_string() });
    let headers = json!({ "deliver_by": jiff::Timestamp::now().as_second() - 1 });
    let mut late = Station::raw_message("source.standard", body.to_string().as_bytes(), headers);
    late["basicProperties"]["replyTo"] = json!("nobody");
    late["basicProperties"]["correlationId"] = json!("1");
    station.consume(&[late, message("on time")]).await;
    station.start_dispatcher();
    station.until(STATES, &["withdrawn", "confirmed"]).await;
    assert_eq!(said(&station), ["on time"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_dressed_as_people_know_it() {
    let station = Station::open().await;
    let uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let body = json!({ "body": "caf\u{e9}\r\n\u{202e}x", "wbor_message_id": uid });
    station.consume(&[Station::message("source.standard", &body)]).await;
    let lines = station.lines(1).await;
    assert_eq!(lines[0].text.as_deref(), Some(dressed("café\n\u{fffd}x", uid).as_str()));
    station.end().await;
}
