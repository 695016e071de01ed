//! What went wrong with the program that Talkback stands in for, fault by fault. Those of its HTTP door are told with
//! `send`.
use groupme_sim::{Fault, What};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use talkback::broker::{Exchange, ExchangeKind, QUEUE};
use uuid::Uuid;

use crate::answers::{asking, listeners_text, waiting_for};
use crate::front_end::FrontEnd;
use crate::station::{BOT, GROUP, Setup, Station, dressed};
use crate::vhost::Vhost;

fn uid() -> String {
    Uuid::new_v4().to_string()
}

fn standard(text: &str) -> Value {
    Station::message("source.standard", &json!({ "body": text, "wbor_message_id": uid() }))
}

fn status(code: u16) -> What {
    What::Status { code, retry_after: None, shown: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_message_does_not_stop_its_neighbours() {
    let mut station = Station::open().await;
    let key = "source.standard";
    let batch = [
        standard("first"),
        Station::message(key, &json!({ "body": "", "wbor_message_id": uid() })),
        standard("second"),
        Station::message(
            key,
            &json!({ "body": "", "images": ["https://i.groupme.com/1.png"], "wbor_message_id": uid() }),
        ),
        Station::message(key, &json!({ "text": "third, spelled `text`", "wbor_message_id": uid() })),
        Station::message("source.twilio.ban", &json!({ "ban_number": "+12075550123", "type": "ban" })),
        Station::message("source.twilio.unban", &json!({ "body": null })),
        Station::message("source.twilio.call-events", &json!({ "CallStatus": "ringing" })),
        standard("last"),
    ];
    station.start_dispatcher();
    station.consume(&batch).await;
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let said = station.said();
    assert_eq!((said[0].as_str(), said[1].as_str()), ("first", "second"));
    assert_eq!(said[2], "", "the picture");
    assert_eq!((said[4].as_str(), said[5].as_str()), ("third, spelled `text`", "last"));
    assert_eq!(said.len(), 6);
    // Each of the others is kept, with the reason, for a person to see.
    assert_eq!(
        station.column("select source || ' ' || reason from rejected order by source").await,
        ["source.standard no_body", "source.twilio.call-events no_body", "source.twilio.unban bad_field"]
    );
    assert_eq!(station.column("select source from messages where verdict = 'blocked'").await, ["source.twilio.ban"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_kept_once_however_often_it_comes() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let bare = |body: &[u8]| {
        let mut message = Station::raw_message("source.standard", body, json!({}));
        message["basicProperties"]["headers"] = Value::Null;
        // Without any mark, what comes again in the next five minutes would be another one.
        message["basicProperties"]["messageId"] = json!(body.len().to_string());
        message
    };
    let batch = [
        standard("before"),
        Station::raw_message("source.standard", b"{ this is no JSON", json!({})),
        Station::raw_message("source.standard", b"", json!({})),
        Station::raw_message("source.standard", b"[1, 2]", json!({})),
        Station::raw_message("source.standard", &[0xff, 0x00, 0xfe], json!({})),
        json!({ "basicProperties": {}, "data": "no base64 !" }),
        json!("no message at all"),
        bare(br#"{"hello": "no headers, and nothing tells a key"}"#),
        bare(br#"{"body": "no headers", "source": "standard", "wbor_message_id": 17}"#),
        Station::message("source.standard", &json!({ "body": "a number for a uid", "wbor_message_id": 4711 })),
        Station::message("source.standard", &json!({ "body": "no uid", "wbor_message_id": null })),
        Station::message("source.standard", &json!({ "body": "a list for a uid", "wbor_message_id": [1] })),
        standard("after"),
    ];
    // As after a crash: the whole batch comes again.
    let first = station.consume(&batch).await;
    let again = station.consume(&batch).await;
    assert_eq!(first, again);
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let said = station.said();
    assert_eq!(said, ["before", "no headers", "a number for a uid", "no uid", "after"]);
    let mut reasons = station.column("select reason from rejected").await;
    reasons.sort();
    let wanted = ["bad_base64", "bad_uid", "no_key", "no_object", "not_an_object", "not_json", "not_json", "not_json"];
    assert_eq!(reasons, wanted);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_connection_does_not_kill_the_consumer() {
    let mut station = Station::open().await;
    let relay = station.relay("rabbitmq-consumer");
    for n in 0..3 {
        let event = Station::batch(&[standard(&format!("{n}"))]);
        let answer = rabbitmq_consumer::handle(&relay, LambdaEvent::new(event, Context::default())).await.unwrap();
        assert_eq!(answer["messages"], 1);
        // Every connection of this database but the one that says so.
        station
            .column(
                "select count(pg_terminate_backend(pid))::text from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()",
            )
            .await;
    }
    station.start_dispatcher();
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    assert_eq!(station.said(), ["0", "1", "2"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_loses_nothing_and_nobody_is_told_success_before_it_is_posted() {
    let vhost = Vhost::new().await;
    vhost.queue("answers").await;
    let mut station = Station::with(Setup { vars: vec![("AMQP_URL", vhost.url())], ..Setup::default() }).await;
    station.start_dispatcher();
    station.sim.fault(Fault::always(status(429)));
    station.consume(&[asking(standard("patience"), "answers", "c-1")]).await;
    station.until("select distinct outcome from api_calls", &["limited"]).await;
    assert_eq!(station.column("select answer from messages").await, ["due"]);
    assert_eq!(vhost.broker.depth("answers").await.unwrap(), 0);
    station.sim.clear_faults();
    let (answer, _) = vhost.answer("answers").await;
    assert_eq!(answer["status"], "success");
    assert_eq!(station.said(), ["patience"], "it is there when its producer hears so");
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_uid_twice_is_one_post() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let twice = standard("once");
    station.consume(&[twice.clone(), twice.clone()]).await;
    tokio::join!(station.consume(std::slice::from_ref(&twice)), station.consume(std::slice::from_ref(&twice)));
    station.until("select state from deliveries", &["confirmed"]).await;
    assert_eq!(station.said(), ["once"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_failed_posts_nothing_twice() {
    let front_end = FrontEnd::answering(&[500]).await;
    let mut station = Station::with(waiting_for(&front_end)).await;
    station.start_dispatcher();
    let text = listeners_text(&uid(), "hello");
    station.take_in(std::slice::from_ref(&text)).await;
    station.until("select answer from messages", &["failed"]).await;
    station.consume(&[text]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    station.stop_dispatcher().await;
    assert_eq!(station.sim.posts().len(), 1);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_that_cannot_be_sent_are_said_in_words_and_not_in_json() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let images = ["https://example.org/1.jpg", "https://example.org/2.jpg"];
    for body in ["look", ""] {
        station
            .consume(&[Station::message(
                "source.standard",
                &json!({ "body": body, "images": images, "wbor_message_id": uid() }),
            )])
            .await;
    }
    let lines = station.lines(3).await;
    for notice in [&lines[1], &lines[2]] {
        let text = notice.text.as_deref().unwrap();
        assert!(text.starts_with("2 pictures could not be sent"), "{text}");
        assert!(!text.contains(['[', '{']) && !text.contains("example.org"), "{text}");
    }
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_pictures_only_is_posted_with_its_closing_line() {
    let mut station = Station::open().await;
    let images = ["https://i.groupme.com/1.png", "https://i.groupme.com/2.png"];
    let uid = uid();
    station.start_dispatcher();
    station
        .consume(&[Station::message(
            "source.standard",
            &json!({ "body": "", "images": images, "wbor_message_id": uid }),
        )])
        .await;
    station.until("select state from deliveries", &["confirmed"]).await;
    let lines = station.lines(3).await;
    let pictures: Vec<Option<&str>> = lines.iter().map(|line| line.picture_url.as_deref()).collect();
    assert_eq!(pictures, [Some(images[0]), Some(images[1]), None]);
    assert!(lines[2].text.as_deref().unwrap().contains(uid.split('-').next().unwrap()));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callback_is_not_open_and_a_callback_with_null_text_is_fine() {
    let station = Station::open().await;
    let line = json!({
        "attachments": [], "avatar_url": null, "created_at": 1_795_194_600, "group_id": GROUP, "id": "1795194600123",
        "name": "Ada", "sender_id": "7", "sender_type": "user", "source_guid": uid(), "system": false, "text": null,
        "user_id": "7",
    });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = station.callback.clone().unwrap();
    let answer = client.post(&url).json(&line).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let closed = url.replace("callback-token", "another-token");
    assert_eq!(client.post(closed).json(&line).send().await.unwrap().status(), 404);
    assert_eq!(station.column("select line_id from groupme_callbacks").await, ["1795194600123"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_is_kept_and_is_no_message_to_the_room() {
    let station = Station::open().await;
    let ban =
        json!({ "wbor_message_id": uid(), "ban_number": "+12075550123", "timestamp": "2026-11-20", "type": "ban" });
    station.consume(&[Station::message("source.twilio.ban", &ban)]).await;
    let kept = "select verdict || ' ' || coalesce(body, 'sealed') from messages";
    assert_eq!(station.column(kept).await, ["blocked sealed"]);
    assert!(station.sim.posts().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emoji_that_are_joined_stay_joined() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let text = "👩‍👩‍👧‍👦 🏳️‍🌈 ❤️‍🔥 👩🏽‍🚒 🏴󠁧󠁢󠁳󠁣󠁴󠁿";
    let uid = uid();
    let message = Station::message("source.standard", &json!({ "body": text, "wbor_message_id": uid }));
    station.consume(&[message]).await;
    let lines = station.lines(1).await;
    assert_eq!(lines[0].text.as_deref(), Some(dressed(text, &uid).as_str()));
    station.end().await;
}

/// The station's exchange, with all that Talkback declares behind it.
async fn declared() -> Vhost {
    let vhost = Vhost::new().await;
    let patterns = vec!["source.#".to_owned()];
    let exchange = Exchange { name: "source_exchange".into(), kind: ExchangeKind::Topic, patterns, declare: true };
    vhost.broker.declare(&[exchange], std::time::Duration::from_secs(5)).await.unwrap();
    vhost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_gets_a_message_again_because_we_could_not_store_it() {
    let vhost = declared().await;
    vhost.queue_of("source_exchange", "somebody-else").await;
    let mut station = Station::with(Setup { vars: vec![("AMQP_URL", vhost.url())], ..Setup::default() }).await;
    let record = json!({ "text": "x", "bot_id": BOT, "source": "standard", "code": 202, "wbor_message_id": uid() });
    let batch = [
        Station::raw_message("source.standard", b"no JSON", json!({})),
        Station::message("source.groupme.msg", &record),
        standard("a"),
    ];
    station.consume(&batch).await;
    // And while the database is away, as far as this function can tell.
    station.vars.insert("DATABASE_URL".into(), "postgres://nobody@127.0.0.1:1/none".into());
    station.settings = talkback::config::Settings::from_vars(&station.vars).unwrap();
    let relay = station.relay("rabbitmq-consumer");
    drop(rabbitmq_consumer::handle(&relay, LambdaEvent::new(Station::batch(&batch), Context::default())).await);
    assert_eq!(vhost.broker.depth("somebody-else").await.unwrap(), 0);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_to_be_written_down_waits_without_limit() {
    let vhost = declared().await;
    let queue = vhost.queue_facts(QUEUE).await;
    let arguments = queue["arguments"].as_object().unwrap();
    for limit in ["x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes"] {
        assert!(!arguments.contains_key(limit), "{limit}: {arguments:?}");
    }
    assert_eq!((queue["durable"].as_bool(), queue["type"].as_str()), (Some(true), Some("quorum")));
    // A record that the stamp let through is in it, and stays.
    vhost.broker.publish("source_exchange", "source.groupme.msg", b"{}", &Default::default(), true).await.unwrap();
    let waiting = vhost.next(QUEUE).await;
    assert_eq!(waiting.routing_key(&[]).unwrap().as_str(), "source.groupme.msg");
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_is_recorded_under_either_spelling() {
    let station = Station::open().await;
    for (field, status) in [("code", json!(202)), ("statuscode", json!(400)), ("statuscode", json!("503"))] {
        let mut record = json!({ "text": "x", "bot_id": BOT, "source": "standard", "wbor_message_id": uid() });
        record[field] = status;
        station.consume(&[Station::message("source.groupme.msg", &record)]).await;
    }
    assert_eq!(station.column("select status::text from api_calls order by status").await, ["202", "400", "503"]);
    station.end().await;
}
