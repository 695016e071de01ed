//! What a producer does about each answer, and about none; its spool, and its pace.
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use talkback_producer::{Because, Flushed, Message, Outcome, Producer, Recorded, Settings};
use tokio::time::Instant;

use super::desk::{Desk, NOWHERE, Told, is_record, texts, uid_in};
use super::examples::example;
use crate::station::{BOT, MEMBER};

/// A patience that a story does not wait for.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);

fn message(text: &str) -> Message {
    Message::new("source.standard", text).unwrap()
}

/// Three parts.
fn long() -> String {
    "All work and no play makes Jack a dull boy. ".repeat(50).trim().to_owned()
}

/// Says a message and answers it by hand.
async fn answered(desk: &Desk, producer: &Producer, message: &Message, reply: Value) -> Outcome {
    let answering = async {
        let form = desk.take_all(1).await.remove(0);
        let mut reply = reply;
        reply["message_id"] = uid_in(&form).unwrap().into();
        crate::asyncapi::assert_reply(&reply);
        desk.reply(&form, &reply).await;
    };
    tokio::join!(producer.send(message), answering).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_talkback_has_or_refuses_is_never_taken_over() {
    let desk = Desk::open("answered").await;
    let producer = desk.producer(Told::default(), LONG);
    let talkback = |whole, banned| Outcome::Talkback { whole, banned, seen: false };
    for (reply, wanted) in [
        (example("producer-reply-taken"), talkback(false, false)),
        (example("producer-reply-success"), talkback(true, false)),
        (json!({ "body": { "status": "success", "message_id": "", "reason": "banned" } }), talkback(true, true)),
        (example("producer-reply-failure"), Outcome::Refused { reason: "blocked".to_owned() }),
    ] {
        assert_eq!(answered(&desk, &producer, &message("Signal lost."), reply["body"].clone()).await, wanted);
    }
    assert!(desk.station.sim.posts().is_empty());
    assert!(desk.spooled().is_empty());
    producer.close().await;
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_talkback_came_to_too_late_is_taken_over_at_once() {
    let desk = Desk::open("withdrawn").await;
    let producer = desk.producer(Told::default(), LONG);
    let late = json!({ "status": "failure", "message_id": "", "reason": "withdrawn" });
    let began = Instant::now();
    let outcome = answered(&desk, &producer, &message("Signal lost."), late).await;
    assert_eq!(outcome, Outcome::Posted { because: Because::Withdrawn, recorded: Recorded::Published });
    assert!(began.elapsed() < LONG / 2);
    assert_eq!(desk.lines().len(), 1);
    producer.close().await;
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_it_is_posted_at_once_and_recorded_by_the_next_who_finds_one() {
    let mut desk = Desk::open("no-broker").await;
    desk.station.start_dispatcher();
    let cut_off = desk.producer(Told { amqp_url: Some(NOWHERE), ..Told::default() }, LONG);
    let (said, text) = (message(&long()), long());
    let began = Instant::now();
    let outcome = cut_off.send(&said).await;
    assert!(matches!(outcome, Outcome::Posted { because: Because::Broker(_), recorded: Recorded::Spooled { .. } }));
    assert!(began.elapsed() < LONG / 4, "it did not wait for Talkback, which cannot have it");
    let wanted = texts(said.uid(), &text);
    assert_eq!(wanted.len(), 3);
    assert_eq!(desk.station.texts(), wanted);

    // What lies there is private, and has no secret in it.
    let spooled = desk.spooled();
    assert_eq!(spooled.len(), 1);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&spooled[0]), mode(spooled[0].parent().unwrap())), (0o600, 0o700));
    let kept = std::fs::read_to_string(&spooled[0]).unwrap();
    assert!(!kept.contains(BOT) && !kept.contains(MEMBER));

    // Two find it at the same time.
    let (one, other) = (desk.producer(Told::default(), LONG), desk.producer(Told::default(), LONG));
    let flushed = tokio::join!(one.flush(LONG), other.flush(LONG));
    assert_eq!((flushed.0.left, flushed.1.left, desk.spooled().len()), (0, 0, 0), "{flushed:?}");
    let mut records = Vec::new();
    while records.len() < 3 {
        records.extend(desk.take().await);
    }
    assert!(records.iter().all(is_record));
    // However often they come, and in whatever second, they are three calls.
    let relay = desk.station.relay("rabbitmq-consumer");
    for _ in 0..2 {
        desk.consume(&relay, &records).await;
    }
    let calls = "select outcome || ' ' || status from api_calls where operation = 'post'";
    assert_eq!(desk.station.column(calls).await, ["recorded 202"; 3]);
    assert_eq!(desk.station.column("select state from deliveries").await, ["sent"]);
    for producer in [cut_off, one, other] {
        producer.close().await;
    }
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_own_posts_wait_as_long_as_groupme_says_and_none_is_dropped() {
    let desk = Desk::open("limited").await;
    let limited = |seconds| What::Status { code: 429, retry_after: Some(seconds), shown: false };
    desk.station.sim.fault(Fault { containing: Some("(2/3)".into()), ..Fault::once(limited(1)) });
    let producer = desk.producer(Told { amqp_url: Some(NOWHERE), ..Told::default() }, LONG);
    let said = message(&long());
    let outcome = producer.send(&said).await;
    assert!(matches!(outcome, Outcome::Posted { .. }), "{outcome}");
    assert_eq!(desk.station.texts(), texts(said.uid(), &long()));
    let posts = desk.station.sim.posts();
    assert_eq!(posts.iter().map(|post| post.answer).collect::<Vec<_>>(), [202, 429, 202, 202].map(Some));
    assert!(posts[2].at - posts[1].at >= Duration::from_millis(990), "Retry-After was not honoured");
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_groupme_does_not_take_now_is_kept_and_the_rest_is_posted_by_the_next_flush() {
    let desk = Desk::open("kept").await;
    let busy = What::Status { code: 429, retry_after: Some(30), shown: false };
    desk.station.sim.fault(Fault { containing: Some("(2/3)".into()), ..Fault::once(busy) });
    let hasty = |amqp_url| {
        let told = Told { amqp_url, ..Told::default() };
        Settings { effort: Duration::from_secs(2), ..desk.settings(told, LONG) }
    };
    let producer = Producer::new(hasty(Some(NOWHERE))).unwrap();
    let said = message(&long());
    let outcome = producer.send(&said).await;
    let Outcome::Kept { posted: 1, parts: 3, last, .. } = &outcome else { panic!("{outcome}") };
    assert_eq!(last, "GroupMe: HTTP 429");
    // The same again is not a second message, and nobody is asked to post it.
    assert!(matches!(producer.send(&said).await, Outcome::Kept { because: Because::Spooled, posted: 1, .. }));
    // The time that GroupMe asked for is over.
    std::fs::remove_file(desk.folder.join("spool/pace")).unwrap();
    let next = Producer::new(hasty(None)).unwrap();
    assert_eq!(next.flush(LONG).await, Flushed { done: 1, ..Flushed::default() });
    assert_eq!(desk.station.texts(), texts(said.uid(), &long()));
    assert!(desk.spooled().is_empty());
    next.close().await;
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_refuses_the_record_and_never_the_post() {
    let desk = Desk::open("full").await;
    let told = Told { amqp_url: Some(NOWHERE), ..Told::default() };
    let producer = Producer::new(Settings { spool_count: 1, ..desk.settings(told, LONG) }).unwrap();
    let first = producer.send(&message("The first.")).await;
    assert!(matches!(first, Outcome::Posted { recorded: Recorded::Spooled { .. }, .. }), "{first}");
    let second = producer.send(&message("The second.")).await;
    let Outcome::Posted { recorded: Recorded::Nowhere { why }, .. } = &second else { panic!("{second}") };
    assert!(why.ends_with("the spool is full (messages)"), "{why}");
    assert_eq!(desk.station.said(), ["The first.", "The second."]);
    // A folder that cannot be one is no reason either.
    std::fs::write(desk.folder.join("file"), "").unwrap();
    let nowhere = Settings { spool: desk.folder.join("file/spool"), ..desk.settings(told, LONG) };
    let third = Producer::new(nowhere).unwrap().send(&message("The third.")).await;
    assert!(matches!(third, Outcome::Posted { recorded: Recorded::Nowhere { .. }, .. }), "{third}");
    assert_eq!(desk.station.said().len(), 3);
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_groupme_refuses_has_failed_and_says_so() {
    let desk = Desk::open("refused").await;
    desk.station.sim.fault(Fault::once(What::Status { code: 400, retry_after: None, shown: false }));
    let producer = desk.producer(Told::default(), SHORT);
    let outcome = producer.send(&message("No.")).await;
    let Outcome::Failed { because: Because::Silence { confirmed: true }, posted: 0, parts: 1, .. } = &outcome else {
        panic!("{outcome}")
    };
    assert!(desk.lines().is_empty() && desk.spooled().is_empty());
    // The call is recorded all the same, and settles nothing: the original is only withdrawn.
    let mut forms = Vec::new();
    while forms.len() < 2 {
        forms.extend(desk.take().await);
    }
    forms.reverse();
    desk.consume(&desk.station.relay("rabbitmq-consumer"), &forms).await;
    assert_eq!(
        desk.station.column("select outcome || ' ' || status from api_calls where operation = 'post'").await,
        ["recorded 400"]
    );
    assert_eq!(desk.station.column("select state from deliveries").await, ["withdrawn"]);
    producer.close().await;
    desk.end().await;
}

/// The way to the broker was cut while the original was on it, and the broker came to it much later: it is the
/// producer's by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_original_that_the_broker_sat_on_is_not_posted() {
    let desk = Desk::open("sat-on").await;
    let producer = desk.producer(Told::default(), SHORT);
    let said = message("Signal lost.");
    assert!(matches!(producer.send(&said).await, Outcome::Posted { .. }));
    let form = desk.take_all(1).await.remove(0);
    // As a broker would have it that was frozen for a minute: the stamp is of now, the rest is not.
    let mut late = form.clone();
    late["basicProperties"]["timestamp"] = json!(jiff::Timestamp::now().as_second() - 60);
    let by = jiff::Timestamp::now().checked_sub(Duration::from_secs(59)).unwrap();
    late["basicProperties"]["headers"]["deliver_by"] = crate::station::bytes(&by.to_string());
    desk.consume(&desk.station.relay("rabbitmq-consumer"), &[late]).await;
    desk.station.until("select state from deliveries", &["withdrawn"]).await;
    assert_eq!(desk.lines().len(), 1);
    producer.close().await;
    desk.end().await;
}
