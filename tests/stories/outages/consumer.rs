//! What comes from RabbitMQ while Postgres is away.
use std::sync::atomic::Ordering;
use std::time::Duration;

use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use talkback::broker::{Props, RETRY};
use tokio::time::{Instant, interval};
use uuid::Uuid;

use super::{AT_ONCE, Diary, Outage};
use crate::payloads::wire::Wire;
use crate::station::{BOT, GROUP, PATIENCE};

const SOURCE: &str = "source_exchange";

pub fn standard(text: &str) -> Value {
    json!({ "body": text, "wbor_message_id": Uuid::new_v4().to_string() })
}

pub fn alarm(text: &str) -> Value {
    json!({ "body": text, "priority": "urgent", "wbor_message_id": Uuid::new_v4().to_string() })
}

/// Publishes as a producer does, and waits for nothing but the broker's word.
pub async fn publish(wire: &Wire, key: &str, body: &Value, props: Props) {
    wire.vhost.broker.publish(SOURCE, key, body.to_string().as_bytes(), &props, true).await.unwrap();
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    let mut look = interval(Duration::from_millis(20));
    while !so().await {
        look.tick().await;
        assert!(Instant::now() < end, "waited in vain: {what}");
    }
}

/// Waits until the room shows it, at most as long as an alarm may take.
pub async fn seen_at_once(wire: &Wire, text: &str) {
    let shown =
        |lines: &[groupme_sim::Line]| lines.iter().any(|line| line.text.as_deref().unwrap_or("").contains(text));
    if let Err(instead) = wire.station.sim.wait_for(shown, AT_ONCE).await {
        panic!("{text} is not seen: {instead}");
    }
}

/// Alarms, and more, while it is away; then it comes back.
async fn an_outage(how: Outage) {
    let story = if how == Outage::Killed { "consumer-killed" } else { "consumer-frozen" };
    let mut diary = Diary::open(story).await;
    let wire = Wire::open(diary.setup()).await;
    publish(&wire, "source.standard", &standard("before"), Props::default()).await;
    wire.station.lines(1).await;
    wire.done(1).await;

    diary.go(how);
    let before = wire.invocations.load(Ordering::Relaxed);
    let begun = Instant::now();
    wire.vhost.queue("answers").await;
    let later: Vec<Value> = (0..5).map(|n| standard(&format!("later {n}"))).collect();
    for body in &later[..3] {
        publish(&wire, "source.standard", body, Props::default()).await;
    }
    let (first, second) = (alarm("the tower is down"), json!({ "body": "fire", "uid": "7" }));
    let asking = Props { reply_to: Some("answers".into()), correlation_id: Some("42".into()), ..Props::default() };
    publish(&wire, "source.standard", &first, asking).await;
    seen_at_once(&wire, "the tower is down").await;
    let (answer, correlation) = wire.vhost.answer("answers").await;
    assert_eq!((answer["status"].as_str(), correlation.as_deref()), (Some("success"), Some("42")));
    // An alarm by its route, whose uid is no UUID and counts for its own source alone.
    publish(&wire, "notification.ups.onbattery", &second, Props::default()).await;
    seen_at_once(&wire, "fire").await;
    publish(&wire, "source.standard", &json!("no object"), Props::default()).await;
    for body in &later[3..] {
        publish(&wire, "source.standard", body, Props::default()).await;
    }
    // Long enough for a hot loop to show.
    let all_aside = async || wire.vhost.broker.depth(RETRY).await.is_ok_and(|depth| depth >= 8);
    until("everything put aside", all_aside).await;
    until("some time", async || begun.elapsed() > Duration::from_secs(6)).await;
    let invoked = wire.invocations.load(Ordering::Relaxed) - before;
    let posts = wire.station.sim.posts().len();
    // Each comes back once a second, alone at the worst; nothing else does.
    assert!(invoked < 9 * 2 * begun.elapsed().as_secs(), "invoked {invoked} times in {:?}", begun.elapsed());
    assert_eq!(posts, 3, "{:?}", wire.station.said());

    diary.come_back(how).await;
    wire.station.lines(8).await;
    let said = wire.station.said();
    assert_eq!(said[..3], ["before", "the tower is down", "fire"], "{said:?}");
    let wanted: Vec<String> = (0..5).map(|n| format!("later {n}")).collect();
    assert_eq!(said[3..], wanted, "{said:?}");
    wire.station.until("select reason from rejected", &["not_an_object"]).await;
    wire.station.until("select count(*)::text from messages", &["8"]).await;
    let calls = "select m.source || ' ' || m.verdict || ' ' || m.body || ' ' || c.outcome || ' ' || c.status || ' ' ||
                        (c.latency_ms >= 0)::text || ' ' || d.state || ' ' || d.room || ' ' || (c.request->>'text' is not null)::text
                 from api_calls c join messages m using (uid) join deliveries d using (uid)
                 where m.verdict = 'already_sent' order by c.at";
    wire.station
        .until(
            calls,
            &[
                "source.standard already_sent the tower is down posted 202 true sent staff true",
                "notification.ups.onbattery already_sent fire posted 202 true sent staff true",
            ],
        )
        .await;
    // One that comes again is known.
    publish(&wire, "source.standard", &first, Props::default()).await;
    publish(&wire, "notification.ups.onbattery", &second, Props::default()).await;
    publish(&wire, "source.standard", &standard("the end"), Props::default()).await;
    wire.station.lines(9).await;
    wire.station.until("select sum(repeats)::text from messages where verdict = 'already_sent'", &["2"]).await;
    assert_eq!(wire.station.column("select priority::text from messages where priority = 2").await, ["2", "2"]);
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgres_killed_alarms_are_seen_at_once_and_the_rest_afterwards_in_order() {
    an_outage(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgres_frozen_alarms_are_seen_at_once_and_the_rest_afterwards_in_order() {
    an_outage(Outage::Frozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_that_groupme_does_not_take_waits_and_goes_out_while_postgres_is_away() {
    let mut diary = Diary::open("consumer-groupme").await;
    let wire = Wire::open(diary.setup()).await;
    diary.go(Outage::Killed);
    wire.station
        .sim
        .fault(Fault { times: Some(2), ..Fault::once(What::Status { code: 429, retry_after: None, shown: false }) });
    publish(&wire, "source.standard", &alarm("limited twice"), Props::default()).await;
    seen_at_once(&wire, "limited twice").await;
    diary.come_back(Outage::Killed).await;
    let calls = "select outcome || ' ' || status from api_calls order by at";
    wire.station.until(calls, &["limited 429", "limited 429", "posted 202"]).await;
    wire.station.until("select state from deliveries", &["sent"]).await;
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_of_many_parts_keeps_the_rooms_pace_without_postgres() {
    let mut diary = Diary::open("consumer-pace").await;
    let mut setup = diary.setup();
    setup.rooms = setup.rooms.replace("pace = \"20ms\"", "pace = \"300ms\"");
    let wire = Wire::open(setup).await;
    wire.station.sim.set_pace(BOT, Duration::from_millis(300), 3);
    diary.go(Outage::Killed);
    let long = "All work and no play makes Jack a dull boy. ".repeat(120);
    publish(&wire, "source.standard", &alarm(long.trim()), Props::default()).await;
    let lines = wire.station.lines(6).await;
    let label = |n: usize| format!("({n}/6)");
    assert!(lines.iter().enumerate().all(|(at, line)| line.text.as_deref().unwrap().contains(&label(at + 1))));
    assert!(wire.station.sim.findings().is_empty(), "{:?}", wire.station.sim.findings());
    diary.come_back(Outage::Killed).await;
    wire.station.until("select count(*)::text from api_calls where outcome = 'posted'", &["6"]).await;
    wire.station
        .until("select verdict || ' ' || (length(body) > 5000)::text from messages", &["already_sent true"])
        .await;
    assert_eq!(wire.station.sim.lines(GROUP).len(), 6);
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_can_say_what_was_posted_without_postgres() {
    let diary = Diary::open("consumer-forged").await;
    let wire = Wire::open(diary.setup()).await;
    let told = json!({
        "uid": "x", "given_uid": "x", "short_uid": "x", "source": "source.standard", "door": "rabbitmq", "sent_by": null,
        "priority": 2, "room": "staff", "text": "never said", "content_hash": "", "posted": true, "calls": [],
    });
    let body = json!({ "text": "never said", "wbor_message_id": "x", "code": 202, "talkback": told });
    let props = Props::default()
        .with_header("x-talkback-own", "direct")
        .with_header("x-talkback-uid", Uuid::new_v4().to_string().as_str())
        .with_header("x-routing-key", "source.groupme.msg")
        .with_header("x-talkback-own-proof", "bm8=");
    publish(&wire, "source.groupme.msg", &body, props).await;
    // It is what any producer's record is.
    wire.station.until("select uid || ' ' || priority from messages", &["x@source.groupme.msg 0"]).await;
    wire.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_logger_outside_hears_of_an_alarm_that_was_posted_without_postgres() {
    let mut diary = Diary::open("consumer-logger").await;
    let mut setup = diary.setup();
    setup.rooms += "\n[records]\npublish = true\n";
    let wire = Wire::open(setup).await;
    wire.vhost.queue("logger").await;
    wire.vhost.bind(SOURCE, "logger", "source.groupme.msg").await;
    diary.go(Outage::Killed);
    publish(&wire, "source.standard", &alarm("the tower is down"), Props::default()).await;
    seen_at_once(&wire, "the tower is down").await;
    diary.come_back(Outage::Killed).await;
    let record = wire.vhost.next("logger").await;
    let record: Value = serde_json::from_slice(&record.body).unwrap();
    assert_eq!(
        (&record["bot_id"], &record["code"], &record["source"]),
        (&json!("staff"), &json!(202), &json!("standard"))
    );
    assert!(record["text"].as_str().unwrap().contains("the tower is down"));
    wire.end().await;
}
