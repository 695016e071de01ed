//! Producers that wait: the reply on RabbitMQ, and the acknowledgement of the Twilio front end.
use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::front_end::FrontEnd;
use crate::station::{OTHER_BOT, Setup, Station, two_rooms};
use crate::vhost::Vhost;

fn uid() -> String {
    Uuid::new_v4().to_string()
}

fn status(code: u16) -> What {
    What::Status { code, retry_after: None, shown: false }
}

/// The same message, whose producer waits.
pub fn asking(mut message: Value, queue: &str, correlation: &str) -> Value {
    message["basicProperties"]["replyTo"] = json!(queue);
    message["basicProperties"]["correlationId"] = json!(correlation);
    message
}

fn standard(uid: &str, text: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": uid }))
}

pub fn listeners_text(uid: &str, text: &str) -> Value {
    let body = json!({
        "MessageSid": "SM1", "From": "+12075550123", "To": "+12075550199", "Body": text, "NumMedia": "0",
        "SenderName": "Ada", "wbor_message_id": uid, "source": "twilio", "type": "sms.incoming",
    });
    Station::message("source.twilio.sms.incoming", &body)
}

/// A station whose front end waits. Its dispatcher stays long: three tries that fail are not cut in two by the end of a
/// minute, after which the rest would wait for half of one.
pub fn waiting_for(front_end: &FrontEnd) -> Setup {
    let lanes = "stay_unknown_deadline = \"60s\"".to_owned();
    Setup { lanes, vars: vec![("ACK_URL", front_end.url())], ..Setup::default() }
}

/// A station with a broker, on which the queue `answers` waits.
async fn with_broker(setup: Setup) -> (Vhost, Station) {
    let vhost = Vhost::new().await;
    vhost.queue("answers").await;
    let mut setup = setup;
    setup.vars.push(("AMQP_URL", vhost.url()));
    (vhost, Station::with(setup).await)
}

const CALLS: &str =
    "select operation || ' ' || outcome || ' ' || coalesce(status::text, '-') from api_calls order by id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn success_is_replied_after_the_last_part_and_not_before() {
    let (vhost, mut station) = with_broker(Setup::default()).await;
    station.start_dispatcher();
    station.sim.fault(Fault { containing: Some("(2/2)".into()), ..Fault::always(status(429)) });
    let uid = uid();
    let long = "All work and no play makes Jack a dull boy. ".repeat(30);
    station.consume(&[asking(standard(&uid, long.trim()), "answers", "c-1")]).await;
    station
        .until("select distinct outcome from api_calls where operation = 'post' order by 1", &["limited", "posted"])
        .await;
    let (answer, correlation) = vhost.answer("answers").await;
    assert_eq!((answer["status"].as_str(), correlation.as_deref()), (Some("taken"), Some("c-1")));
    station.until("select answer from messages", &["due"]).await;
    assert_eq!(vhost.broker.depth("answers").await.unwrap(), 0);
    station.sim.clear_faults();
    let (answer, correlation) = vhost.answer("answers").await;
    assert_eq!(answer, json!({ "status": "success", "message_id": uid }));
    assert_eq!(correlation.as_deref(), Some("c-1"));
    assert_eq!(station.lines(2).await.len(), 2);
    station.until("select answer from messages", &["given"]).await;
    station.end().await;
    assert_eq!(vhost.broker.depth("answers").await.unwrap(), 0, "one answer");
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_for_two_rooms_is_answered_when_both_have_it() {
    let (vhost, mut station) = with_broker(two_rooms()).await;
    station.start_dispatcher();
    station.sim.fault(Fault { bot_id: Some(OTHER_BOT.into()), ..Fault::always(status(429)) });
    station.consume(&[asking(standard(&uid(), "both"), "answers", "c-1")]).await;
    station
        .until("select distinct outcome from api_calls where operation = 'post' order by 1", &["limited", "posted"])
        .await;
    assert_eq!(vhost.answer("answers").await.0["status"], "taken");
    assert_eq!(vhost.broker.depth("answers").await.unwrap(), 0);
    station.sim.clear_faults();
    assert_eq!(vhost.answer("answers").await.0["status"], "success");
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_never_will_be_posted_is_answered_with_failure_and_why() {
    let (vhost, mut station) = with_broker(Setup::default()).await;
    station.start_dispatcher();
    station.sim.fault(Fault { containing: Some("refused".into()), ..Fault::always(status(400)) });
    let uids = [uid(), uid(), uid(), uid()];
    let ban = json!({ "wbor_message_id": uids[0], "ban_number": "+12075550123", "type": "ban" });
    let old = json!({ "body": "old", "wbor_message_id": uids[1], "expires_at": "2026-01-01T00:00:00Z" });
    let late = json!({ "body": "late", "wbor_message_id": uids[2] }).to_string();
    let headers = json!({ "deliver_by": jiff::Timestamp::now().as_second() - 1 });
    station
        .consume(&[
            asking(Station::message("source.twilio.ban", &ban), "answers", "0"),
            asking(Station::message("source.standard", &old), "answers", "1"),
            asking(Station::raw_message("source.standard", late.as_bytes(), headers), "answers", "2"),
            asking(standard(&uids[3], "refused"), "answers", "3"),
        ])
        .await;
    let mut answers = Vec::new();
    for _ in 0..uids.len() {
        let (answer, correlation) = vhost.answer("answers").await;
        answers.push((correlation.unwrap(), answer));
    }
    answers.sort_by(|one, two| one.0.cmp(&two.0));
    let wanted: Vec<(String, Value)> = ["route", "expired", "withdrawn", "failed"]
        .into_iter()
        .enumerate()
        .map(|(n, why)| (n.to_string(), json!({ "status": "failure", "message_id": uids[n], "reason": why })))
        .collect();
    assert_eq!(answers, wanted);
    assert!(station.texts().is_empty());
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_refused_at_the_door_is_answered_with_failure_and_why() {
    let (vhost, station) = with_broker(Setup::default()).await;
    let (empty, reused) = (uid(), uid());
    let nothing = json!({ "body": "", "wbor_message_id": empty });
    let broken = Station::raw_message("source.standard", b"no JSON", json!({}));
    let batch = [
        asking(Station::message("source.standard", &nothing), "answers", "0"),
        asking(broken, "answers", "1"),
        standard(&reused, "the first"),
        asking(standard(&reused, "another"), "answers", "2"),
    ];
    station.take_in(&batch).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let (answer, correlation) = vhost.answer("answers").await;
        assert_eq!(answer["status"], "failure");
        answers.push((correlation.unwrap(), answer["reason"].clone(), answer["message_id"].clone()));
    }
    assert_eq!(answers[0], ("0".to_owned(), json!("no_body"), json!(empty)));
    assert_eq!((&answers[1].0[..], &answers[1].1), ("1", &json!("not_json")));
    assert_eq!(answers[2], ("2".to_owned(), json!("uid_reused"), json!(reused)));
    assert_eq!(station.column(CALLS).await, ["reply ok -"; 3]);
    // The first has not been answered by this, nor is it: nobody asked.
    assert_eq!(station.column("select coalesce(answer, '-') from messages").await, ["-"]);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_names_the_message_as_its_producer_wrote_it() {
    let (vhost, mut station) = with_broker(Setup::default()).await;
    station.start_dispatcher();
    let upper = uid().to_uppercase();
    station.consume(&[asking(standard(&upper, "upper"), "answers", "c-1")]).await;
    assert_eq!(vhost.answer("answers").await.0["message_id"], json!(upper));
    let number = Station::message("source.standard", &json!({ "body": "number", "wbor_message_id": 42 }));
    station.consume(&[asking(number, "answers", "c-2")]).await;
    assert_eq!(vhost.answer("answers").await.0["message_id"], "42");
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_queue_that_vanished_is_written_down_and_harms_nothing() {
    let (vhost, mut station) = with_broker(Setup::default()).await;
    station.start_dispatcher();
    station.consume(&[asking(standard(&uid(), "a"), "nobody-waits-here", "c-1"), standard(&uid(), "b")]).await;
    station.until("select state from deliveries", &["confirmed", "confirmed"]).await;
    station.until("select coalesce(answer, 'none') from messages order by body", &["failed", "none"]).await;
    assert_eq!(station.said(), ["a", "b"]);
    let replies = "select outcome || ': ' || error from api_calls where operation = 'reply'";
    assert_eq!(
        station.column(replies).await,
        ["failed: no queue takes this message: nothing is bound for its exchange and routing key"]
    );
    // Nothing is left to try: another minute posts and answers nothing.
    station.stop_dispatcher().await;
    station.relay("dispatcher").tend_once().await.unwrap();
    assert_eq!(station.column(replies).await.len(), 1);
    assert_eq!(station.sim.posts().len(), 2);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_that_asks_about_a_finished_message_is_answered_again() {
    let (vhost, mut station) = with_broker(Setup::default()).await;
    station.start_dispatcher();
    let uid = uid();
    station.consume(&[asking(standard(&uid, "once"), "answers", "c-1")]).await;
    assert_eq!(vhost.answer("answers").await.1.as_deref(), Some("c-1"));
    station
        .until("select state || ' ' || answer from deliveries join messages using (uid)", &["confirmed given"])
        .await;
    station.consume(&[asking(standard(&uid, "once"), "answers", "c-2")]).await;
    let (answer, correlation) = vhost.answer("answers").await;
    assert_eq!((answer["status"].as_str(), correlation.as_deref()), (Some("success"), Some("c-2")));
    assert_eq!(station.sim.posts().len(), 1);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_its_producer_posted_itself_is_answered_with_success() {
    let (vhost, mut station) = with_broker(Setup::default()).await;
    let uid = uid();
    let record = json!({ "text": "x", "bot_id": crate::station::BOT, "source": "standard", "code": 202, "wbor_message_id": uid });
    let record = Station::message("source.groupme.msg", &record);
    station.consume(&[asking(standard(&uid, "once"), "answers", "c-1"), record]).await;
    station.start_dispatcher();
    assert_eq!(vhost.answer("answers").await.0["status"], "success");
    assert!(station.sim.posts().is_empty());
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_end_is_told_once_of_each_text_that_was_posted() {
    let front_end = FrontEnd::answering(&[200, 404, 200]).await;
    let mut station = Station::with(Setup { vars: vec![("ACK_URL", front_end.url())], ..Setup::default() }).await;
    let uids = [uid(), uid(), uid()];
    let texts: Vec<Value> = uids.iter().map(|uid| listeners_text(uid, "hello")).collect();
    station.start_dispatcher();
    station.consume(&texts).await;
    // 404: the front end has forgotten it. That is an answer, too.
    station.until("select answer from messages", &["given"; 3]).await;
    let mut heard: Vec<Value> = front_end.heard();
    let mut wanted: Vec<Value> = uids.iter().map(|uid| json!({ "wbor_message_id": uid })).collect();
    heard.sort_by_key(ToString::to_string);
    wanted.sort_by_key(ToString::to_string);
    assert_eq!(heard, wanted);
    station.until("select state from deliveries", &["confirmed"; 3]).await;
    station
        .until(
            "select outcome || ' ' || status from api_calls where operation = 'ack' order by status",
            &["ok 200", "ok 200", "ok 404"],
        )
        .await;
    assert_eq!(station.sim.posts().len(), 3);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_fails_three_times_is_given_up_and_the_text_is_posted_once() {
    let front_end = FrontEnd::answering(&[500]).await;
    let mut station = Station::with(waiting_for(&front_end)).await;
    station.start_dispatcher();
    let text = listeners_text(&uid(), "hello");
    station.take_in(std::slice::from_ref(&text)).await;
    station.until("select answer from messages", &["failed"]).await;
    assert_eq!(front_end.heard().len(), 3);
    station.until("select state from deliveries", &["confirmed"]).await;
    station.stop_dispatcher().await;
    assert_eq!(station.column(CALLS).await, ["post posted 202", "ack failed 500", "ack failed 500", "ack failed 500"]);
    assert_eq!(station.sim.posts().len(), 1);
    assert_eq!(front_end.heard().len(), 3);
    // The front end publishes the text again, since it heard nothing: it is told, and nothing is posted.
    station.take_in(&[text]).await;
    station.start_dispatcher();
    station.until("select count(*)::text from api_calls where operation = 'ack'", &["6"]).await;
    assert_eq!(station.sim.posts().len(), 1);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_end_is_not_told_of_what_was_not_posted() {
    let front_end = FrontEnd::answering(&[200]).await;
    let mut station = Station::with(Setup { vars: vec![("ACK_URL", front_end.url())], ..Setup::default() }).await;
    station.start_dispatcher();
    station.sim.fault(Fault { containing: Some("refused".into()), ..Fault::always(status(400)) });
    station.consume(&[listeners_text(&uid(), "refused"), listeners_text(&uid(), "posted")]).await;
    station.until("select state from deliveries order by state", &["confirmed", "failed"]).await;
    station.until("select answer from messages", &["given"; 2]).await;
    assert_eq!(front_end.heard().len(), 1);
    station.end().await;
}

/// A banned sender's message has no deliveries. (Which senders are is decided by what comes with the chat's commands;
/// the row is made here as `accept` writes one.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_producer_of_a_banned_senders_text_hears_success_with_the_reason_and_stops_asking() {
    let front_end = FrontEnd::answering(&[200]).await;
    let (vhost, mut station) =
        with_broker(Setup { vars: vec![("ACK_URL", front_end.url())], ..Setup::default() }).await;
    let uid = uid();
    station.take_in(&[asking(listeners_text(&uid, "hello"), "answers", "c-1")]).await;
    let banned = "delete from parts; delete from deliveries; update messages set verdict = 'banned', body = null";
    station.db().await.batch_execute(banned).await.unwrap();
    station.start_dispatcher();
    let reply = vhost.next("answers").await;
    assert_eq!(reply.headers.bool("x-banned"), Some(true));
    assert_eq!(reply.correlation_id.as_deref(), Some("c-1"));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    crate::asyncapi::assert_reply(&body);
    assert_eq!(body, json!({ "status": "success", "message_id": uid, "reason": "banned" }));
    station.until("select answer from messages", &["given"]).await;
    assert_eq!(front_end.heard(), [json!({ "wbor_message_id": uid })]);
    assert!(station.sim.posts().is_empty());
    station.end().await;
    vhost.gone().await;
}
