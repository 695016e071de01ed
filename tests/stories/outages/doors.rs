//! What comes by HTTP while Postgres is away: from senders, and from GroupMe.
use std::path::Path;
use std::time::Duration;

use groupme_sim::{CallbackMode, Line};
use serde_json::{Value, json};
use talkback::broker::{Props, RETRY};
use talkback::relay::unrecorded::{Imported, MARKER};
use tokio::time::Instant;
use uuid::Uuid;

use super::consumer::{publish, seen_at_once, until};
use super::{AT_ONCE, Diary, Outage};
use crate::payloads::wire::Wire;
use crate::privacy::Capture;
use crate::send_door::{OTHER_KEY, ask, send_as};
use crate::setup::Setup;
use crate::station::{BOT, GROUP, KEY, Station, sha256};

fn keys(setup: Setup) -> Setup {
    let keys = format!("tests:{}:#:urgent:rooms,other:{}:#:ok200:urgent", sha256(KEY), sha256(OTHER_KEY));
    let mut setup = setup;
    setup.vars.push(("TALKBACK_SEND_KEYS", keys));
    setup
}

fn uid() -> String {
    Uuid::new_v4().to_string()
}

fn count(lines: &[Line], text: &str) -> usize {
    lines.iter().filter(|line| line.text.as_deref().unwrap_or("").contains(text)).count()
}

async fn senders(how: Outage) {
    let story = if how == Outage::Killed { "doors-killed" } else { "doors-frozen" };
    let mut diary = Diary::open(story).await;
    let wire = Wire::open(keys(diary.setup())).await;
    let relay = wire.station.relay("send");
    let before = json!({ "body": "before", "uid": uid() });
    assert_eq!(send_as(&relay, KEY, &before).await.status, 202);

    diary.go(how);
    let plain = json!({ "body": "a plain one", "uid": "17", "source": "standard.weather" });
    let begun = Instant::now();
    let answer = send_as(&relay, KEY, &plain).await;
    assert!(begun.elapsed() < AT_ONCE, "{how:?}: answered after {:?}", begun.elapsed());
    assert_eq!((answer.status, &answer.body["state"], &answer.body["deliveries"]), (202, &json!("queued"), &json!([])));
    assert_eq!((&answer.body["uid"], answer.body.get("recorded")), (&json!("17"), None));
    // A repeat is a repeat, and somebody else's message under its uid is kept for a person to see.
    assert_eq!(send_as(&relay, KEY, &plain).await.status, 202);
    let foreign = send_as(&relay, OTHER_KEY, &plain).await;
    assert_eq!(foreign.status, 200, "{foreign:?}");
    let alarm = json!({ "body": "the alarm", "uid": uid(), "priority": "urgent", "rooms": ["staff"] });
    assert_eq!(send_as(&relay, KEY, &alarm).await.status, 202);
    seen_at_once(&wire, "the alarm").await;
    let bot = json!({ "bot_id": KEY, "text": "as a bot" });
    let headers = [("content-type", "application/json"), ("idempotency-key", "bots-17")];
    let answer = ask(&relay, "POST", "/v3/bots/post", &headers, &bot.to_string()).await;
    assert_eq!((answer.status, answer.body), (202, Value::Null));

    diary.come_back(how).await;
    wire.station.lines(4).await;
    wire.station.until("select reason from rejected", &["uid_reused"]).await;
    let rows = "select body || ' ' || door || ' ' || sent_by || ' ' || given_uid || ' ' || verdict from messages
                where body <> 'before' and body <> 'the alarm' order by 1";
    wire.station.until(rows, &["a plain one http tests 17 accepted", "as a bot http tests bots-17 accepted"]).await;
    let alarms = "select m.door || ' ' || m.sent_by || ' ' || m.priority || ' ' || c.outcome || ' ' || c.status
                  from messages m join api_calls c using (uid) where m.verdict = 'already_sent'";
    wire.station.until(alarms, &["http tests 2 posted 202"]).await;
    // Idempotent over the outage, for its own key alone.
    for (document, text) in [(&plain, "a plain one"), (&alarm, "the alarm")] {
        let answer = send_as(&relay, KEY, document).await;
        assert_eq!((answer.status, &answer.body["duplicate"]), (200, &json!(true)), "{answer:?}");
        assert_eq!(send_as(&relay, OTHER_KEY, document).await.status, if text == "the alarm" { 403 } else { 409 });
        assert_eq!(count(&wire.station.sim.lines(GROUP), text), 1);
    }
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgres_killed_what_is_sent_goes_by_the_broker_under_its_senders_key() {
    senders(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgres_frozen_what_is_sent_goes_by_the_broker_under_its_senders_key() {
    senders(Outage::Frozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_can_speak_as_the_holder_of_a_key() {
    let diary = Diary::open("doors-forged").await;
    let wire = Wire::open(keys(diary.setup())).await;
    let sent = json!({
        "uid": "18", "source": "source.standard", "body": "who am I", "images": [], "priority": null, "rooms": null,
        "expires_at": null, "sent_by": "tests",
    });
    let props = Props::default()
        .with_header("x-talkback-own", "sent")
        .with_header("x-talkback-uid", uid().as_str())
        .with_header("x-routing-key", "source.standard")
        .with_header("x-talkback-own-proof", "bm8=");
    publish(&wire, "source.standard", &sent, props).await;
    wire.station
        .until("select body || ' ' || door || ' ' || coalesce(sent_by, '-') from messages", &["who am I rabbitmq -"])
        .await;
    wire.end().await;
}

/// A broker that is frozen: it is connected to, and says nothing.
async fn silent_broker() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = listener.accept().await {
            held.push(connection);
        }
    });
    format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
}

/// Both are frozen: what takes longest to find out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_broker_away_too_alarms_go_out_and_are_imported_and_everything_else_is_refused() {
    let mut diary = Diary::open("doors-both").await;
    let mut setup = keys(diary.setup());
    setup.vars.push(("AMQP_URL", silent_broker().await));
    let station = Station::with(setup).await;
    let relay = station.relay("send");
    relay.wake().await.unwrap();

    diary.go(Outage::Frozen);
    let log = Capture::default();
    let listening = log.listen();
    let plain = json!({ "body": "a plain one", "uid": "17" });
    let answer = send_as(&relay, KEY, &plain).await;
    answer.is_problem(503, &[]);
    assert_eq!(answer.headers["retry-after"], "5");
    let alarm = json!({ "body": "the alarm", "uid": uid(), "priority": "urgent" });
    // Another process, which does not know yet that the database is down.
    let other = station.relay("send");
    let begun = Instant::now();
    let answer = send_as(&other, KEY, &alarm).await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!((answer.status, &answer.body["recorded"], &answer.body["state"]), (200, &json!(false), &json!("sent")));
    assert_eq!(count(&station.sim.lines(GROUP), "the alarm"), 1);
    // Sent again although it need not be: it is not said again.
    assert_eq!(send_as(&other, KEY, &alarm).await.status, 200);
    assert_eq!(count(&station.sim.lines(GROUP), "the alarm"), 1);
    drop(listening);
    let log = log.heard();
    assert!(log.contains(MARKER) && !log.contains("the alarm"), "{log}");

    diary.come_back(Outage::Frozen).await;
    // As a log's keeper gives it back: each line a text in JSON.
    let wrapped: Vec<String> = log.lines().map(|line| json!({ "message": line }).to_string()).collect();
    let rows = "select m.body || ' ' || m.door || ' ' || m.sent_by || ' ' || c.outcome || ' ' || d.state
                from messages m join api_calls c using (uid) join deliveries d using (uid)";
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outages").join("doors-both").join("log");
    std::fs::write(&file, wrapped.join("\n")).unwrap();
    for _ in 0..2 {
        let said = operator::run(&station.relay("operator"), &["import", file.to_str().unwrap()]).await.unwrap();
        assert_eq!(said, "2 records are in the database now");
        assert_eq!(station.column(rows).await, ["the alarm http tests posted sent"]);
    }
    let forged = format!("{MARKER}bm8= and {MARKER}");
    assert_eq!(station.relay("import").import(&forged).await.unwrap(), Imported { records: 0, unread: 2 });
    for relay in [&relay, &other] {
        // It asks the database again after a second.
        let known = async || send_as(relay, KEY, &alarm).await.body["duplicate"] == json!(true);
        until("a repeat that is known", known).await;
    }
    assert_eq!(station.column("select count(*)::text from api_calls").await, ["1"]);
    assert_eq!(send_as(&relay, KEY, &plain).await.status, 202);
    assert_eq!(count(&station.sim.lines(GROUP), "the alarm"), 1);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_comes_while_postgres_is_away_is_heard_when_it_is_back() {
    let mut diary = Diary::open("doors-callback").await;
    let wire = Wire::open(diary.setup()).await;
    let sim = &wire.station.sim;
    sim.callbacks_mode(BOT, CallbackMode::Late(Duration::from_millis(1500)));
    publish(&wire, "source.standard", &json!({ "body": "heard later" }), Props::default()).await;
    wire.station.lines(1).await;
    wire.station.until("select state from deliveries", &["sent"]).await;
    diary.go(Outage::Killed);
    let answered = |attempts: &[groupme_sim::CallbackAttempt]| !attempts.is_empty();
    sim.wait_for_callbacks(answered, AT_ONCE).await.unwrap_or_else(|instead| panic!("{instead}"));
    assert_eq!(sim.callbacks()[0].status, Some(200));
    sim.callbacks_mode(BOT, CallbackMode::Normal);
    sim.say(GROUP, "4711", "Ada", "!ping").await;
    let waits = async || wire.vhost.broker.depth(RETRY).await.is_ok_and(|depth| depth >= 2);
    until("lines on the broker", waits).await;
    diary.come_back(Outage::Killed).await;
    wire.station.until("select state from deliveries where prio = 0", &["confirmed"]).await;
    wire.station
        .until(
            "select learnt_by || ' ' || sender_type from groupme_callbacks where sender_type = 'user'",
            &["callback user"],
        )
        .await;
    // And obeyed.
    wire.station.lines(3).await;
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_can_confirm_a_post_by_the_broker() {
    let diary = Diary::open("doors-lie").await;
    let wire = Wire::open(diary.setup()).await;
    wire.station.sim.callbacks_mode(BOT, CallbackMode::Never);
    publish(&wire, "source.standard", &json!({ "body": "not heard" }), Props::default()).await;
    let lines = wire.station.lines(1).await;
    wire.station.until("select state from deliveries", &["sent"]).await;
    let lie = json!({
        "group_id": GROUP, "id": "4711", "sender_type": "bot", "text": lines[0].text, "created_at": 1, "attachments": [],
    });
    let props = Props::default()
        .with_header("x-talkback-own", "line")
        .with_header("x-talkback-uid", uid().as_str())
        .with_header("x-routing-key", "source.groupme.callback")
        .with_header("x-talkback-own-proof", "bm8=");
    publish(&wire, "source.groupme.callback", &lie, props).await;
    wire.station.until("select learnt_by from groupme_callbacks", &["record"]).await;
    assert_ne!(wire.station.column("select state from deliveries").await, ["confirmed"]);
    wire.end().await;
}
